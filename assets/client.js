// The Belfry client: one live connection that comes back by itself and resumes where it stopped, and the inbox by REST.
// No dependency and no build step; for browsers, and for Node 22 or any runtime that is given a WebSocket.
//
//   import { BelfryClient } from "https://belfry.example/client.js";
//   const client = new BelfryClient({ token: () => fetch("/my-token").then((answer) => answer.text()) });
//   client.on("notification", (notification) => console.log(notification.title));
//   client.connect();
//
// The types, with a word on every member, are in client.d.ts.

/** Until the server's `hello` says otherwise; the same figures as its defaults. */
const DEFAULT_RECONNECT = { max_attempts: 5, delay_ms: 1000, factor: 2, jitter: 0.5 };
/** However patient the server asks us to be, nobody should wait longer than this between two tries; nor storm it. */
const DELAY_MAX_MS = 30_000;
const DELAY_MIN_MS = 50;
/** A hello that has not come after this long will not come. The server itself waits 10 s for the token. */
const HELLO_WAIT_MAX_MS = 12_000;
/** This many beats of the server's heart without a sound mean that the line is dead, whatever TCP believes. */
const BEATS_MISSED_MAX = 2.5;
/** After a sleep or a change of network, a living line answers a ping within this time. */
const WAKE_ANSWER_MAX_MS = 5_000;
/** A connection that was ended sooner than this is not reopened at once, whatever the reason. */
const SETTLED_AFTER_MS = 10_000;
/** Acknowledgements are gathered: the newest offset stands for all before it. */
const ACK_DELAY_MS = 500;
const REQUEST_MAX_MS = 30_000;
/** After so many WebSockets in a row that never came to a hello though the server was there, an event stream is tried. */
const FALLBACK_AFTER = 2;
/** An event stream is told its channels when it is opened: changes are gathered for so long before it is opened anew. */
const RESUBSCRIBE_MS = 100;
/** The server's own bounds. */
const CHANNELS_MAX = 1_000;
const CHANNEL_NAME_BYTES_MAX = 256;
const IDS_PER_REQUEST_MAX = 1_000;
const MARKS = ["seen", "read", "unread", "archived"];

const CLOSE_TOKEN_EXPIRED = 4005;
const CLOSE_TOKEN_INVALID = 4500;
/** A code of our own for what the network did (RFC 6455, 7.4.1: never sent, only reported). */
const CLOSE_ABNORMAL = 1006;
const WHY = {
  [CLOSE_TOKEN_EXPIRED]: "This token has expired.",
  [CLOSE_TOKEN_INVALID]: "The server does not accept this token.",
  4502: "The server did not receive the token in time.",
  4503: "An administrator closed this connection.",
  4504: "Too many connections are open. Close another one and try again.",
  4507: "This token may not open a live connection.",
};
const UNREACHABLE = "The server cannot be reached.";
const CLOSED = "The client was closed.";

/** What a refused event stream would have been told by a close code. */
const CODE_OF_STATUS = { 401: CLOSE_TOKEN_INVALID, 403: 4507 };

const OPEN = 1;

/** What went wrong, in words and as a code: an HTTP `status`, a close code, or a name from the protocol. */
export class BelfryError extends Error {
  constructor(code, message, more = {}) {
    super(message);
    this.name = "BelfryError";
    this.code = code;
    this.status = more.status ?? 0;
    this.details = more.details ?? null;
    this.retryAfterMs = more.retryAfterMs ?? null;
  }
}

export class BelfryClient {
  #base;
  #tokenSource;
  #token = null;
  #asking = null;
  #sessionId;
  #WebSocket;
  #fetch;
  #listeners = new Map();

  #state = "disconnected";
  #socket = null;
  /** Counts attempts to open a line, so that what an older one still does is known for what it is. */
  #line = 0;
  #attempt = 0;
  #reconnect = DEFAULT_RECONNECT;
  #greetedAt = 0;
  #heardAt = 0;
  #silenceMaxMs = 0;
  /** WebSockets in a row that never came to a hello though the server was there. */
  #unheard = 0;
  /** The last WebSocket never came to a hello: was that the server, or what lies between? */
  #doubtful = false;
  /** The channels that the open event stream was told; null while the line is a WebSocket. */
  #streamed = null;
  #final = false;
  #renewed = false;
  #timers = new Map();
  #awaken = null;
  #greeting = null;
  #hello = null;

  #position = null;
  #otherUser = false;
  #userId = null;
  /** Channel name to the pledge of its answer: what is to be watched after every hello. */
  #channels = new Map();
  #channelOfId = new Map();
  #lastId = 0;

  constructor({ url, token, sessionId, subscribe = [], resume = null, WebSocket = globalThis.WebSocket, fetch = globalThis.fetch } = {}) {
    if (typeof token !== "function" && (typeof token !== "string" || token === "")) {
      throw new TypeError("token must be a string, or a function that answers one");
    }
    if (typeof WebSocket !== "function") throw new TypeError("there is no WebSocket here: pass one as an option");
    this.#base = baseOf(url);
    this.#tokenSource = token;
    this.#sessionId = sessionId;
    this.#WebSocket = WebSocket;
    this.#fetch = fetch;
    if (resume) this.#position = { epoch: String(resume.epoch), offset: Number(resume.offset) };
    for (const channel of subscribe) this.subscribe(channel);
  }

  get state() {
    return this.#state;
  }

  /** Everything up to here has been delivered: keep it, and pass it as `resume` to go on after a reload. */
  get position() {
    return this.#position && { ...this.#position };
  }

  /** What carries the line: `websocket`, or `sse` where the network lets no WebSocket through; null without a line. */
  get transport() {
    if (this.#state !== "connected") return null;
    return this.#streamed ? "sse" : "websocket";
  }

  /** The channels that are watched, or will be with the next connection. */
  get channels() {
    return [...this.#channels.keys()];
  }

  /** Calls `listener` with every event of that type; answers a function that ends it. */
  on(type, listener) {
    if (typeof listener !== "function") throw new TypeError("a listener must be a function");
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    // Wrapped, so that the same function may listen twice and each end is its own.
    const entry = { listener };
    this.#listeners.get(type).add(entry);
    return () => void this.#listeners.get(type)?.delete(entry);
  }

  /** Opens the line and keeps it. Answers a promise of the `hello`; nobody need wait for it. */
  connect() {
    if (this.#state === "connected") return Promise.resolve(this.#hello);
    const { promise } = (this.#greeting ??= pledge());
    if (this.#state === "disconnected" || this.#state === "failed") {
      this.#attempt = 0;
      this.#renewed = false;
      this.#listenForWakening();
      this.#open("connecting");
    }
    return promise;
  }

  /** Tries again after `failed`, from the first attempt. While a try is only waited for, it is made at once. */
  retry() {
    if (this.#timers.has("reopen")) this.#open("reconnecting");
    return this.connect();
  }

  /** Ends the line for good. The position and the subscriptions are kept for another `connect()`. */
  close() {
    this.#awaken?.();
    this.#awaken = null;
    this.#letGo(1000);
    this.#refuseAll(new BelfryError("CLOSED", CLOSED));
    if (this.#state !== "disconnected") this.#become("disconnected", {});
  }

  /** Watches `workflow:<id>` or `topic:<name>`, now and after every reconnect. Settles with the server's answer. */
  subscribe(channel) {
    const known = this.#channels.get(channel);
    if (known) return known.promise;
    if (!isChannel(channel)) return quiet(Promise.reject(new TypeError("a channel is workflow:<id> or topic:<name>")));
    if (this.#channels.size >= CHANNELS_MAX) {
      return quiet(Promise.reject(new RangeError(`at most ${CHANNELS_MAX} channels can be watched`)));
    }
    const entry = pledge();
    this.#channels.set(channel, entry);
    this.#ask("subscribe", channel);
    return entry.promise;
  }

  /** Watches it no more. Settles once the server knows, or at once where there is no line. */
  unsubscribe(channel) {
    const known = this.#channels.get(channel);
    if (!known) return Promise.resolve();
    this.#channels.delete(channel);
    known.reject(new BelfryError("UNSUBSCRIBED", "The channel was given up."));
    const gone = pledge();
    if (!this.#ask("unsubscribe", channel, gone)) gone.resolve();
    return gone.promise;
  }

  /** A page of the inbox, newest first. */
  inbox({ status, category, limit, cursor } = {}) {
    const given = Object.entries({ status, category, limit, cursor }).filter(([, value]) => value !== undefined && value !== null);
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return quiet(this.#request(`v1/users/me/inbox${given.length > 0 ? `?${query}` : ""}`));
  }

  counts() {
    return quiet(this.#request("v1/users/me/inbox/counts"));
  }

  /** Marks one or more notifications as `seen`, `read`, `unread` or `archived`; every device of the person hears it. */
  mark(ids, as) {
    return quiet(this.#mark([ids].flat(), as));
  }

  markAll(as) {
    if (!MARKS.includes(as)) return quiet(Promise.reject(new TypeError(`as must be one of ${MARKS.join(", ")}`)));
    return quiet(this.#request("v1/users/me/inbox/mark", { all: true, as }));
  }

  async #mark(ids, as) {
    if (!MARKS.includes(as)) throw new TypeError(`as must be one of ${MARKS.join(", ")}`);
    if (ids.length === 0) return { success: true, marked: 0, counts: await this.counts() };
    let marked = 0;
    let answer;
    for (let at = 0; at < ids.length; at += IDS_PER_REQUEST_MAX) {
      answer = await this.#request("v1/users/me/inbox/mark", { ids: ids.slice(at, at + IDS_PER_REQUEST_MAX), as });
      marked += Number(answer?.marked) || 0;
    }
    return { ...answer, marked };
  }

  // --- the line -----------------------------------------------------------------------------------------------

  async #open(state) {
    this.#letGo();
    this.#final = false;
    const line = ++this.#line;
    this.#after("silence", HELLO_WAIT_MAX_MS, () => this.#lost(line, CLOSE_ABNORMAL));
    if (this.#state !== state) this.#become(state, { attempt: this.#attempt });
    // A listener may have closed or replaced this line.
    if (line !== this.#line) return;
    try {
      const token = await this.#bearer();
      if (line !== this.#line) return;
      if (this.#doubtful) {
        this.#doubtful = false;
        this.#unheard = (await this.#isThere()) ? this.#unheard + 1 : 0;
        if (line !== this.#line) return;
      }
      if (this.#unheard >= FALLBACK_AFTER && typeof this.#fetch === "function") await this.#listen(line, token);
      else this.#dial(line, token);
    } catch (cause) {
      if (line !== this.#line) return;
      this.#complain("CONNECT_FAILED", `The connection could not be opened: ${cause?.message ?? cause}`);
      this.#lost(line, CLOSE_ABNORMAL);
    }
  }

  /** Whether the server answers at all. */
  async #isThere() {
    if (typeof this.#fetch !== "function") return false;
    try {
      const fetch = this.#fetch;
      // Whatever it answers: another site may not read it, but learns that there is an answer.
      await fetch(new URL("healthz", this.#base).href, {
        mode: "no-cors",
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(WAKE_ANSWER_MAX_MS),
      });
      return true;
    } catch {
      return false;
    }
  }

  /** The same stream where no WebSocket gets through: events over a plain answer that does not end. */
  async #listen(line, token) {
    const address = new URL("v1/sse", this.#base);
    if (this.#sessionId) address.searchParams.set("session_id", this.#sessionId);
    if (this.#position) {
      address.searchParams.set("epoch", this.#position.epoch);
      address.searchParams.set("offset", String(this.#position.offset));
    }
    for (const channel of this.#channels.keys()) address.searchParams.append("channel", channel);
    this.#streamed = new Set(this.#channels.keys());
    const ended = new AbortController();
    this.#socket = { close: () => ended.abort() };
    let code = CLOSE_ABNORMAL;
    try {
      const fetch = this.#fetch;
      const response = await fetch(address.href, {
        headers: { accept: "text/event-stream", authorization: `Bearer ${token}` },
        cache: "no-store",
        credentials: "omit",
        signal: ended.signal,
      });
      if (!response.ok) code = CODE_OF_STATUS[response.status] ?? CLOSE_ABNORMAL;
      else {
        for await (const data of eventsOf(response.body, () => line === this.#line && this.#alive())) {
          if (line !== this.#line) return;
          this.#take(data);
        }
      }
    } catch {
      // It broke, as lines do.
    }
    this.#lost(line, code);
  }

  #dial(line, token) {
    const address = new URL("v1/ws", this.#base);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new this.#WebSocket(address.href);
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      const frame = { type: "connect", token };
      if (this.#sessionId) frame.session_id = this.#sessionId;
      if (this.#position) frame.resume = { ...this.#position };
      this.#send(frame);
    };
    socket.onmessage = ({ data }) => line === this.#line && this.#take(data);
    socket.onclose = ({ code }) => this.#lost(line, code);
    // Once it is open, a close event follows and tells more. Before that, Node's own WebSocket says only this. Without
    // a listener, `ws` would end the process.
    socket.onerror = () => !opened && this.#lost(line, CLOSE_ABNORMAL);
  }

  /** The token, asked for where there is none yet; whoever asks meanwhile gets the same answer. */
  #bearer() {
    if (typeof this.#tokenSource === "string") return this.#tokenSource;
    if (this.#token !== null) return this.#token;
    this.#asking ??= this.#askForToken();
    return this.#asking;
  }

  async #askForToken() {
    try {
      const token = await Promise.resolve().then(this.#tokenSource);
      if (typeof token !== "string" || token === "") throw new TypeError("the token function answered no token");
      this.#token = token;
      return token;
    } finally {
      this.#asking = null;
    }
  }

  #take(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame === null || typeof frame !== "object") return;
    this.#alive();
    switch (frame.type) {
      case "hello":
        return this.#greeted(frame);
      case "ping":
        return this.#send({ type: "pong" });
      case "notification":
        return this.#deliver(frame);
      case "workflow_update":
      case "inbox":
        return this.#emit(frame.type, frame);
      case "subscribed":
        this.#answered(frame.id);
        return this.#channels.get(frame.channel)?.resolve();
      case "unsubscribed":
        return frame.id === undefined ? this.#putOut(frame.channel) : this.#answered(frame.id)?.gone?.resolve();
      case "close":
        // An event stream has no close frame of its own.
        return this.#lost(this.#line, Number(frame.code));
      case "error":
        return this.#scolded(frame);
    }
  }

  #greeted(frame) {
    const before = this.#position;
    if (before && this.#userId !== null && frame.user_id !== this.#userId) {
      // The token now speaks for somebody else, whose offsets these are not: start over for them.
      this.#position = null;
      this.#userId = null;
      this.#otherUser = true;
      return this.#open("reconnecting");
    }
    this.#userId = frame.user_id ?? null;
    this.#attempt = 0;
    this.#renewed = false;
    if (!this.#streamed) this.#unheard = 0;
    this.#greetedAt = this.#heardAt = Date.now();
    this.#reconnect = adviceOf(frame.reconnect);
    // Seconds on the wire.
    this.#silenceMaxMs = Number(frame.heartbeat_interval) * 1000 * BEATS_MISSED_MAX || 0;
    this.#expectLife();
    // After a recovery the missed notifications follow and move the position themselves: a cut in the middle of them
    // must not skip the rest.
    const epoch = frame.epoch ?? null;
    if (epoch === null) this.#position = null;
    else if (!frame.recovered || before === null) this.#position = { epoch, offset: Number(frame.offset) || 0 };
    const line = this.#line;
    for (const channel of this.#channels.keys()) this.#ask("subscribe", channel);
    const hello = { ...frame, gap: this.#otherUser || (before !== null && !frame.recovered) };
    this.#otherUser = false;
    this.#hello = hello;
    this.#become("connected", {});
    if (line !== this.#line) return;
    this.#greeting?.resolve(hello);
    this.#greeting = null;
    this.#emit("hello", hello);
  }

  #deliver(frame) {
    const { offset } = frame;
    // What an operator broadcasts to everybody has no place in the stream.
    if (Number.isSafeInteger(offset) && this.#position) {
      if (offset <= this.#position.offset) return;
      this.#position.offset = offset;
      if (!this.#timers.has("ack")) {
        this.#after("ack", ACK_DELAY_MS, () => this.#position && this.#send({ type: "ack", offset: this.#position.offset }));
      }
    }
    this.#emit("notification", frame);
  }

  #scolded(frame) {
    const error = new BelfryError(String(frame.code ?? "SYSTEM_ERROR"), String(frame.error ?? "The server reported an error."), { details: frame.details });
    const asked = this.#answered(frame.id);
    if (asked?.gone) asked.gone.reject(error);
    else if (this.#streamed && frame.code === "FORBIDDEN" && this.#channels.has(frame.details)) {
      this.#putOut(frame.details, error);
    } else if (asked && (frame.code === "FORBIDDEN" || frame.code === "INVALID_MESSAGE_FORMAT")) {
      // Asking again after every reconnect would be refused again.
      this.#putOut(asked.channel, error);
    }
    this.#emit("error", error);
  }

  /** A channel that the server does not let us watch, or no more. */
  #putOut(channel, error) {
    const entry = this.#channels.get(channel);
    if (!entry) return;
    this.#channels.delete(channel);
    this.#streamed?.delete(channel);
    if (error) return void entry.reject(error);
    entry.reject(new BelfryError("FORBIDDEN", "This channel may not be watched any more.", { details: channel }));
    this.#emit("unsubscribed", { type: "unsubscribed", channel });
  }

  /** What the request with this id was about. */
  #answered(id) {
    const asked = this.#channelOfId.get(id);
    this.#channelOfId.delete(id);
    return asked;
  }

  #ask(type, channel, gone) {
    if (this.#greetedAt === 0) return false;
    if (this.#streamed) {
      if (this.#streamed.has(channel) !== (type === "subscribe")) {
        this.#after("resubscribe", RESUBSCRIBE_MS, () => this.#open("reconnecting"));
      }
      return false;
    }
    const id = ++this.#lastId;
    // A server that answers nothing shall not fill the memory.
    if (this.#channelOfId.size >= 2 * CHANNELS_MAX) this.#answered(this.#channelOfId.keys().next().value)?.gone?.resolve();
    this.#channelOfId.set(id, { channel, gone });
    return this.#send({ type, channel, id });
  }

  #send(frame) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify({ ...frame, timestamp: new Date().toISOString() }));
    return true;
  }

  /** The line is gone: judge whether another may be tried, and when. */
  #lost(line, code) {
    if (line !== this.#line) return;
    if (this.#greetedAt === 0 && code === CLOSE_ABNORMAL) {
      // Where an event stream does not come through either, a WebSocket is tried in turn with it.
      if (this.#streamed) this.#unheard = FALLBACK_AFTER - 1;
      else this.#doubtful = true;
    }
    const settled = this.#greetedAt === 0 || Date.now() - this.#greetedAt > SETTLED_AFTER_MS;
    this.#letGo();
    if (code === CLOSE_TOKEN_EXPIRED || code === CLOSE_TOKEN_INVALID) {
      if (!this.#renew()) return this.#fail(code, true);
      if (settled) return void this.#open("reconnecting");
    } else if (code >= 4500 && code < 4600) {
      return this.#fail(code, true);
    }
    if (this.#attempt >= this.#reconnect.max_attempts) return this.#fail(code, false);
    const delayMs = this.#nextDelayMs();
    this.#after("reopen", delayMs, () => this.#open("reconnecting"));
    this.#become("reconnecting", { attempt: this.#attempt, delayMs, code });
  }

  /** Drops the token where another can be had; once, until a hello has shown that the new one is good. */
  #renew() {
    if (typeof this.#tokenSource !== "function" || this.#renewed) return false;
    this.#renewed = true;
    this.#token = null;
    return true;
  }

  #fail(code, final) {
    const why = WHY[code] ?? (final ? `The server ended this connection (code ${code}).` : UNREACHABLE);
    this.#final = final;
    const error = new BelfryError(final ? code : "UNREACHABLE", why);
    if (final) this.#token = null;
    this.#refuseAll(error);
    this.#become("failed", { code, message: why, final });
    if (this.#state === "failed") this.#emit("error", error);
  }

  #nextDelayMs() {
    const { delay_ms, factor, jitter } = this.#reconnect;
    const base = Math.min(delay_ms * factor ** this.#attempt, DELAY_MAX_MS);
    this.#attempt += 1;
    // Spread both ways, so that a restart is not answered by everybody in the same instant.
    return Math.max(DELAY_MIN_MS, Math.round(base * (1 + jitter * (Math.random() * 2 - 1))));
  }

  #alive() {
    this.#heardAt = Date.now();
    if (this.#greetedAt > 0) this.#expectLife();
  }

  #expectLife(ms = this.#silenceMaxMs) {
    if (!(ms > 0)) return this.#stop("silence");
    const line = this.#line;
    this.#after("silence", ms, () => this.#lost(line, CLOSE_ABNORMAL));
  }

  #letGo(code) {
    for (const name of [...this.#timers.keys()]) this.#stop(name);
    this.#line += 1;
    this.#silenceMaxMs = 0;
    this.#greetedAt = 0;
    this.#streamed = null;
    // An application that never answers is asked again.
    this.#asking = null;
    for (const { gone } of this.#channelOfId.values()) gone?.resolve();
    this.#channelOfId.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // A socket that never opened complains about being closed; that is what its `onerror` is left for.
    socket.close(code);
  }

  #refuseAll(error) {
    this.#greeting?.reject(error);
    this.#greeting = null;
    for (const [channel, entry] of this.#channels) {
      if (entry.reject(error)) this.#channels.set(channel, pledge());
    }
  }

  // --- waking up ----------------------------------------------------------------------------------------------

  #listenForWakening() {
    if (this.#awaken || typeof globalThis.addEventListener !== "function") return;
    const page = globalThis.document;
    const wake = () => {
      // Another network may let WebSockets through.
      this.#unheard = 0;
      this.#doubtful = false;
      this.#wake();
    };
    const look = () => page.visibilityState === "visible" && this.#wake();
    globalThis.addEventListener("online", wake);
    page?.addEventListener("visibilitychange", look);
    this.#awaken = () => {
      globalThis.removeEventListener("online", wake);
      page?.removeEventListener("visibilitychange", look);
    };
  }

  /** The network or the person is back: no reason to wait any longer, unless the server said to stay away. */
  #wake() {
    if (this.#state === "connected" && this.#streamed) {
      // Nobody can be asked for a sign of life; more than a beat without one, as after a sleep, is enough to doubt.
      const beatMs = this.#silenceMaxMs / BEATS_MISSED_MAX;
      if (Date.now() - this.#heardAt > 1.5 * beatMs) this.#open("reconnecting");
    } else if (this.#state === "connected") {
      this.#send({ type: "ping" });
      this.#expectLife(Math.min(WAKE_ANSWER_MAX_MS, this.#silenceMaxMs || WAKE_ANSWER_MAX_MS));
    } else if (this.#timers.has("reopen")) {
      this.#attempt = 0;
      this.#open("reconnecting");
    } else if (this.#state === "failed" && !this.#final) {
      this.connect();
    }
  }

  // --- asking by REST -----------------------------------------------------------------------------------------

  async #request(path, body, again = true) {
    const token = await this.#bearer();
    const response = await this.#answer(path, token, body);
    const answer = await response.json().catch(() => null);
    if (response.ok) return answer;
    if (response.status === 401 && again && typeof this.#tokenSource === "function") {
      // Only where no other request has brought a new one meanwhile.
      if (this.#token === token) this.#token = null;
      return this.#request(path, body, false);
    }
    const seconds = Number(response.headers.get("retry-after"));
    throw new BelfryError(answer?.code ?? "HTTP", answer?.detail ?? answer?.title ?? `The server answered ${response.status}.`, {
      status: response.status,
      details: answer?.errors,
      retryAfterMs: seconds > 0 ? seconds * 1000 : null,
    });
  }

  async #answer(path, token, body) {
    const headers = { accept: "application/json", authorization: `Bearer ${token}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    try {
      // Called without `this`: a browser's own fetch insists on it.
      const fetch = this.#fetch;
      return await fetch(new URL(path, this.#base).href, {
        method: body === undefined ? "GET" : "POST",
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(REQUEST_MAX_MS),
      });
    } catch (cause) {
      throw new BelfryError("UNREACHABLE", "The server did not answer.", { details: String(cause?.message ?? cause) });
    }
  }

  // --- telling ------------------------------------------------------------------------------------------------

  #become(state, detail) {
    const previous = this.#state;
    this.#state = state;
    this.#emit("state", { state, previous, ...detail });
  }

  #complain(code, message) {
    this.#emit("error", new BelfryError(code, message));
  }

  /** A listener that throws harms neither the other listeners nor the line. */
  #emit(type, detail) {
    for (const { listener } of [...(this.#listeners.get(type) ?? [])]) {
      try {
        const outcome = listener(detail);
        if (typeof outcome?.then === "function") outcome.then(undefined, report);
      } catch (error) {
        report(error);
      }
    }
  }

  #after(name, ms, act) {
    this.#stop(name);
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      act();
    }, ms));
  }

  #stop(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** The address below which the server's paths are; by default where this very file came from. */
function baseOf(url) {
  const own = import.meta.url;
  if (url === undefined && !own.startsWith("http")) throw new TypeError("url is needed: this file did not come from a server");
  const base = url === undefined ? new URL(".", own) : new URL(url, globalThis.location?.href);
  if (base.protocol !== "http:" && base.protocol !== "https:") throw new TypeError("url must be an http or https address");
  if (base.username || base.password) throw new TypeError("url must not carry a secret");
  base.search = base.hash = "";
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return base;
}

/** The data of each event of a stream (HTML standard, 9.2.6), and a word for everything that comes, comments too. */
async function* eventsOf(body, heard) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let [text, data] = ["", []];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    text += decoder.decode(value, { stream: true });
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      else if (line === "" && data.length > 0) yield data.splice(0).join("\n");
    }
  }
}

function isChannel(channel) {
  const name = /^(?:workflow|topic):([^\p{Cc}]+)$/su.exec(channel)?.[1];
  return name !== undefined && new TextEncoder().encode(name).length <= CHANNEL_NAME_BYTES_MAX;
}

/** The server's advice; what is missing or absurd in it is replaced. */
function adviceOf(given) {
  const advice = { ...DEFAULT_RECONNECT };
  const bounds = { max_attempts: [0, 1_000], delay_ms: [0, DELAY_MAX_MS], factor: [1, 10], jitter: [0, 1] };
  for (const [name, [least, most]] of Object.entries(bounds)) {
    if (Number.isFinite(given?.[name])) advice[name] = Math.min(most, Math.max(least, given[name]));
  }
  return advice;
}

/** A promise with its handles outside; each answers whether it was the one that settled it. */
function pledge() {
  let pending = true;
  const settle = (act) => (value) => {
    const first = pending;
    pending = false;
    if (first) act(value);
    return first;
  };
  const handles = {};
  handles.promise = quiet(new Promise((resolve, reject) => {
    handles.resolve = settle(resolve);
    handles.reject = settle(reject);
  }));
  return handles;
}

/** A refusal that nobody waits for is no accident; whoever waits still gets it. */
function quiet(promise) {
  promise.catch(() => {});
  return promise;
}

function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}
