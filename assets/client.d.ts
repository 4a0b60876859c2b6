// The types of client.js, the Belfry client.

/** `connecting` is the first try, `reconnecting` every later one; `failed` waits for `retry()`. */
export type State = "connecting" | "connected" | "reconnecting" | "disconnected" | "failed";
export type Priority = "low" | "medium" | "high" | "critical";
export type Mark = "seen" | "read" | "unread" | "archived";
/** `workflow:<id>` or `topic:<name>`. */
export type Channel = `workflow:${string}` | `topic:${string}`;

export interface Action {
  label: string;
  /** Written by whoever sent the notification: check that it is http or https before you make it a link. */
  url: string;
}

/** A notification as it arrives live. */
export interface Notification {
  type: "notification";
  id: string;
  user_id: string;
  title: string;
  message: string;
  priority: Priority;
  category: string;
  action: Action | null;
  metadata: unknown;
  notification_type: string;
  /** RFC 3339. */
  timestamp: string;
  /** Its place in the user's stream. A broadcast to everybody has none. */
  offset?: number;
  /** It was missed, and is sent now that the connection is back. */
  replay?: true;
}

/** A notification as the inbox lists it. */
export interface InboxItem {
  id: string;
  user_id: string;
  type: string;
  title: string;
  message: string;
  priority: Priority;
  category: string;
  action: Action | null;
  metadata: unknown;
  timestamp: string;
  created_at: string;
  offset: number;
  seen: boolean;
  read: boolean;
  archived: boolean;
}

export interface Counts {
  total: number;
  unread: number;
  unseen: number;
}

export interface WorkflowUpdate {
  type: "workflow_update";
  workflow_id: string;
  session_id: string | null;
  stage: string | null;
  /** From 0 to 1. */
  progress: number | null;
  status: "starting" | "running" | "completed" | "failed" | "review_required" | "canceled" | null;
  message: string | null;
  metadata: unknown;
  timestamp: string;
}

/** A mark that was made, on this device or another. */
export interface InboxChange {
  type: "inbox";
  op: Mark;
  ids: string[];
  counts: Counts;
  timestamp: string;
}

export interface Hello {
  type: "hello";
  connection_id: string;
  user_id: string | null;
  session_id: string | null;
  epoch: string | null;
  offset: number;
  recovered: boolean;
  /** What was missed cannot be replayed (it was trimmed, or the token now speaks for another user): load the inbox anew. */
  gap: boolean;
  /** Seconds. */
  heartbeat_interval: number;
  /** Seconds. */
  connection_timeout: number;
  /** Bytes. */
  max_message_size: number;
  reconnect: { max_attempts: number; delay_ms: number; factor: number; jitter: number };
  unread: number;
  timestamp: string;
}

/** A right that was taken away: the channel is not watched any more, nor after a reconnect. */
export interface Unsubscribed {
  type: "unsubscribed";
  channel: Channel;
}

export interface StateChange {
  state: State;
  previous: State;
  /** With `connecting` and `reconnecting`: how many tries came before. */
  attempt?: number;
  /** With `reconnecting` before a wait: how long it is. */
  delayMs?: number;
  /** The close code that led here, 1006 where the network broke. */
  code?: number;
  /** With `failed`: why, as a sentence for people. */
  message?: string;
  /** With `failed`: the server does not want this client (close codes 45xx and 4005): it does not try again by itself. */
  final?: boolean;
}

export interface Events {
  /** Each exactly once and in order, across reconnects and restarts of the server. */
  notification: Notification;
  workflow_update: WorkflowUpdate;
  inbox: InboxChange;
  state: StateChange;
  error: BelfryError;
  hello: Hello;
  unsubscribed: Unsubscribed;
}

export class BelfryError extends Error {
  /** A close code, a code of the protocol or of the API (`FORBIDDEN`, `validation_failed`), or `UNREACHABLE`, `CONNECT_FAILED`, `CLOSED`, `UNSUBSCRIBED`. */
  readonly code: number | string;
  /** The HTTP status, 0 where there is none. */
  readonly status: number;
  readonly details: unknown;
  /** What the server asks to wait for, in milliseconds. */
  readonly retryAfterMs: number | null;
}

export interface Position {
  epoch: string;
  offset: number;
}

export interface Options {
  /** The server's address, with its path where a proxy gives it one. By default where client.js itself came from. */
  url?: string | URL;
  /**
   * A user token, or a function that answers one. The function is called when a token is needed first, and once more
   * when the server refuses the one it gave. The token travels in a frame or a header, never in an address.
   */
  token: string | (() => string | Promise<string>);
  /** The connection is then subscribed to `workflow:<sessionId>`, if the token allows it. */
  sessionId?: string;
  /** Channels to watch from the start. */
  subscribe?: Channel[];
  /** Where an earlier client left off, see `position`. */
  resume?: Position | null;
  /** A WebSocket class, for runtimes without one: Node before 22 with the package `ws`. */
  WebSocket?: new (url: string) => unknown;
  fetch?: typeof globalThis.fetch;
}

export interface InboxQuery {
  /** `all` by default. */
  status?: "unread" | "all" | "archived";
  category?: string;
  /** From 1 to 200, 50 by default. */
  limit?: number;
  /** `next_cursor` of the page before. */
  cursor?: string | null;
}

export interface InboxPage {
  data: InboxItem[];
  next_cursor: string | null;
}

export interface Marked {
  success: boolean;
  /** How many changed. */
  marked?: number;
  counts: Counts;
}

/** One live connection that comes back by itself, and the inbox. A promise of it that nobody waits for never becomes an unhandled rejection. */
export class BelfryClient {
  constructor(options: Options);
  readonly state: State;
  /** Everything up to here has been delivered. `null` before the first `hello`. */
  readonly position: Position | null;
  /**
   * What carries the connection; `null` without one. After two WebSockets in a row that never came to a `hello`, as behind
   * some proxies, the client goes on over Server-Sent Events with all the same events.
   */
  readonly transport: "websocket" | "sse" | null;
  /** The channels that are watched, or will be with the next connection. */
  readonly channels: string[];
  /** Calls `listener` with every event of that type. The answer ends it. */
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => unknown): () => void;
  /** Opens the connection and keeps it. Settles with the next `hello`, or rejects with `failed` or `close()`. */
  connect(): Promise<Hello>;
  /** After `failed`: begins again. While `reconnecting` waits: tries at once. */
  retry(): Promise<Hello>;
  /** Ends the connection. Position and subscriptions are kept for another `connect()`. */
  close(): void;
  /** Watches a channel, now and after every reconnect. Rejects with `FORBIDDEN` where the token does not allow it. */
  subscribe(channel: Channel): Promise<void>;
  /** Watches it no more. */
  unsubscribe(channel: Channel): Promise<void>;
  /** A page of the inbox, newest first. */
  inbox(query?: InboxQuery): Promise<InboxPage>;
  counts(): Promise<Counts>;
  /** Marks notifications; every device of the user hears it as an `inbox` event. */
  mark(ids: string | string[], as: Mark): Promise<Marked>;
  markAll(as: Mark): Promise<Marked>;
}
