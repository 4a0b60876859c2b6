// <belfry-inbox>: a bell with the number of unread notifications, and the list behind it, live. One tag on any site:
//
//   <script type="module" src="https://belfry.example/inbox.js"></script>
//   <belfry-inbox token="…"><a slot="preferences" href="/settings">Preferences</a></belfry-inbox>
//
// A site of another origin than the server must be in the server's `server.allowed_origins`; with a content security
// policy, it names the server in `script-src` and `connect-src`. No inline style or script is used.
//
// Attributes
//   token    a user token. Better, where tokens expire: element.token = async () => "…", which is asked again when needed
//   url      the server, where it is not the one that this file came from
//   label    the name of the bell and of the list; "Notifications" by default
//   theme    `light`, `dark`, or `auto` for the system's; without it, the `color-scheme` of the page around
//   target   where action links open; "_blank" by default
//   push     `off`: nothing is said of notifications while the page is closed
//   push-worker   a file of this site, with the one line `importScripts("https://belfry.example/sw.js");`: with it the
//            reader can enable notifications here. Without it, and on another site than the server, there is a link to the
//            server's own inbox page instead. A content security policy names the server in `worker-src` too
// Slot       `preferences`, below the list
// Parts      bell, badge, panel, item
// Events     belfry-state, belfry-notification, belfry-counts; belfry-open before an action link is followed (may be
//            prevented). `detail` is what client.js says, the counts, or the item
// Properties token, client (of client.js; null without a token), open
// Colours and sizes, as CSS custom properties on the element or above it
//   --belfry-accent       the badge, the dots and the links     --belfry-accent-ink   text on the accent
//   --belfry-ground       the panel                             --belfry-raised       what the pointer is on
//   --belfry-ink          text                                  --belfry-ink-soft     less important text
//   --belfry-edge         lines                                 --belfry-bad          trouble
//   --belfry-radius       the panel's corners (12px)            --belfry-width        the panel's width (24rem)
//   --belfry-font         the type (that of the page)           --belfry-bell-size    the bell's button (40px)
//   --belfry-shadow       below the panel                       --belfry-bell-ink     the bell (the page's text colour)

import { BelfryClient } from "./client.js";
import { PUSH_BUTTONS, PUSH_TEXTS, disablePush, enablePush, foreignWorker, pushState } from "./push.js";

const PAGE_SIZE = 20;
/** After this many items the list starts again from its first page instead of growing all week. */
const LIST_MAX = 200;
const BADGE_MAX = 99;
/** A burst is read out once. */
const ANNOUNCE_MS = 700;
const FRESHEN_MS = 20_000;
/** Between the bell, the panel and the edges of the window. */
const GAP_PX = 8;
/** With less room than this below the bell, the panel opens above if there is more. */
const ROOM_MIN_PX = 320;
const PRIORITIES = ["low", "medium", "high", "critical"];

const CSS = `
:host { display: inline-block; position: relative; }
:host([hidden]), [hidden] { display: none !important; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([theme="auto"]) { color-scheme: light dark; }
.root {
  --accent: var(--belfry-accent, light-dark(#4046b0, #a9b0ff));
  --accent-ink: var(--belfry-accent-ink, light-dark(#ffffff, #15173d));
  --ground: var(--belfry-ground, light-dark(#ffffff, #1a1a1e));
  --raised: var(--belfry-raised, light-dark(#f3f3f1, #26262b));
  --ink: var(--belfry-ink, light-dark(#1d1c1a, #ececee));
  --soft: var(--belfry-ink-soft, light-dark(#5b5852, #b0b0b8));
  --edge: var(--belfry-edge, light-dark(#e5e4e0, #34343b));
  --bad: var(--belfry-bad, light-dark(#b3261e, #ff9a90));
  --shade: light-dark(rgb(0 0 0 / 16%), rgb(0 0 0 / 60%));
  font: var(--belfry-font, inherit);
}
*, *::before, *::after { box-sizing: border-box; }
h2, h3, p, ol { margin: 0; padding: 0; font: inherit; }
ol { list-style: none; }
svg { width: 16px; height: 16px; flex: none; fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; }
button { font: inherit; color: inherit; border: 0; background: none; cursor: pointer; border-radius: 8px; }
button:disabled { opacity: .55; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.sr-only { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.bell {
  position: relative; display: inline-grid; place-items: center; padding: 0;
  width: var(--belfry-bell-size, 40px); height: var(--belfry-bell-size, 40px);
  color: var(--belfry-bell-ink, currentColor);
}
.bell:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
.bell svg { width: 55%; height: 55%; stroke-width: 1.4; }
.bell[data-state="failed"] svg, .bell[data-state="disconnected"] svg { opacity: .55; }
.badge {
  position: absolute; top: 2px; inset-inline-start: 52%; min-width: 18px; height: 18px; padding: 0 4px;
  display: grid; place-items: center; border: 1px solid transparent; border-radius: 9px;
  background: var(--accent); color: var(--accent-ink); font-size: 11px; line-height: 1; font-weight: 600;
  font-variant-numeric: tabular-nums;
}

.panel {
  position: fixed; z-index: 2147483000; inset: auto; margin: 0; padding: 0; border: 1px solid var(--edge);
  width: min(var(--belfry-width, 24rem), calc(100vw - ${2 * GAP_PX}px)); overflow: hidden;
  border-radius: var(--belfry-radius, 12px); background: var(--ground); color: var(--ink); text-align: start;
  box-shadow: var(--belfry-shadow, 0 1px 2px var(--shade), 0 12px 32px var(--shade));
  font-size: 15px; line-height: 1.45; display: none; flex-direction: column;
}
.panel.open { display: flex; }
.panel:focus, .panel:focus-visible { outline: none; }
header { display: flex; align-items: center; gap: 4px; padding: 8px 8px 8px 16px; border-bottom: 1px solid var(--edge); }
h2 { margin-inline-end: auto; font-weight: 600; }
.quiet, .icon { min-height: 32px; color: var(--soft); }
.quiet { padding: 4px 10px; font-size: 14px; font-weight: 500; }
.icon { display: inline-grid; place-items: center; width: 32px; padding: 0; }
.quiet:hover:not(:disabled), .icon:hover { background: var(--raised); color: var(--ink); }
.notice { display: flex; align-items: center; gap: 8px; padding: 8px 8px 8px 16px; border-bottom: 1px solid var(--edge); color: var(--bad); font-size: 14px; }
.notice p { flex: 1; }
.scroll { overflow-y: auto; overscroll-behavior: contain; min-height: 0; }
.scroll:focus-visible { outline-offset: -2px; }
.item { position: relative; display: grid; grid-template-columns: 1fr auto; gap: 2px 8px; padding-block: 12px; padding-inline: 28px 8px; border-bottom: 1px solid var(--edge); }
li:last-child .item { border-bottom: 0; }
.item:hover { background: var(--raised); }
.item:focus-visible { outline-offset: -2px; }
.unread .item::before { content: ""; position: absolute; inset-inline-start: 12px; top: 19px; width: 8px; height: 8px; border-radius: 50%; background: var(--accent); }
h3 { overflow-wrap: anywhere; color: var(--soft); }
.unread h3 { font-weight: 600; color: var(--ink); }
.message { overflow-wrap: anywhere; white-space: pre-line; color: var(--soft); font-size: 14px; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; overflow: hidden; }
.meta { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 8px; color: var(--soft); font-size: 13px; }
.meta .priority { font-weight: 600; }
.critical .priority { color: var(--bad); }
.body { grid-column: 1; min-width: 0; display: grid; gap: 2px; }
.acts { grid-column: 2; grid-row: 1; display: flex; align-self: start; }
.act { display: inline-block; padding: 3px 0; color: var(--accent); font-weight: 500; font-size: 14px; text-underline-offset: .18em; }
.empty { padding: 40px 16px; text-align: center; color: var(--soft); }
.more { padding: 4px 8px; text-align: center; border-top: 1px solid var(--edge); }
.push { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; padding: 8px 16px; border-top: 1px solid var(--edge); color: var(--soft); font-size: 14px; }
.push p { flex: 1 1 12rem; }
.push a { color: var(--accent); font-weight: 500; text-underline-offset: .18em; }
.push button { min-height: 32px; padding: 4px 10px; border: 1px solid var(--edge); color: var(--ink); font-weight: 500; }
.push button:hover:not(:disabled) { background: var(--raised); }
footer { padding: 8px 16px; border-top: 1px solid var(--edge); font-size: 14px; }
::slotted(a) { color: var(--accent); }
@media (forced-colors: active) { .badge { border-color: currentColor; } .unread .item::before { background: Highlight; } }
@media (prefers-reduced-motion: no-preference) { .panel.open { animation: appear .12s ease-out; } @keyframes appear { from { opacity: 0; } } }
`;

const ICONS = {
  bell: "M8 1.8a4.2 4.2 0 0 0-4.2 4.2c0 3.6-1.5 4.9-1.5 5.6h11.4c0-.7-1.5-2-1.5-5.6A4.2 4.2 0 0 0 8 1.8ZM6.5 13.6a1.6 1.6 0 0 0 3 0",
  read: "m3 8.4 3.3 3.3L13 4.8",
  unread: "M8 4.4a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2Z",
  archive: "M2.2 2.8h11.6v3H2.2Zm1 3v7.4h9.6V5.8M6.4 8.6h3.2",
  close: "m4 4 8 8M12 4l-8 8",
};

let sharedSheet = null;

/** On a server there are no elements; importing this file there must not fail. */
const Base = globalThis.HTMLElement ?? class {};

export class BelfryInbox extends Base {
  static observedAttributes = ["token", "url", "label"];

  #client = null;
  #tokenSource = null;
  #starting = false;
  #entries = new Map();
  #counts = { total: 0, unread: 0, unseen: 0 };
  #cursor = null;
  #loadNumber = 0;
  #loading = false;
  #retry = null;
  #unannounced = [];
  #announceTimer = 0;
  #freshenTimer = 0;
  #open = false;
  #place;
  #ui;
  #outside = (event) => !event.composedPath().includes(this) && this.#hide(false);
  #moved = () => this.#settlePlace();

  constructor() {
    super();
    if (!sharedSheet) {
      sharedSheet = new CSSStyleSheet();
      sharedSheet.replaceSync(CSS);
    }
    this.#place = new CSSStyleSheet();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sharedSheet, this.#place];
    this.#ui = this.#build(root);
    this.#listen(root);
  }

  get client() {
    return this.#client;
  }

  get token() {
    return this.#tokenSource ?? this.getAttribute("token");
  }

  /** A token, or a function that answers one. It takes precedence over the attribute. */
  set token(value) {
    this.#tokenSource = value || null;
    this.#startSoon();
  }

  get open() {
    return this.#open;
  }

  set open(value) {
    if (value) this.#show();
    else this.#hide(false);
  }

  connectedCallback() {
    // Set before this file had arrived, it is a plain property that hides ours.
    if (Object.hasOwn(this, "token")) {
      const early = this.token;
      delete this.token;
      this.#tokenSource = early || null;
    }
    this.#label();
    this.#startSoon();
  }

  disconnectedCallback() {
    this.#hide(false);
    this.#startSoon();
  }

  attributeChangedCallback(name) {
    if (name === "label") this.#label();
    else this.#startSoon();
  }

  // --- the line -----------------------------------------------------------------------------------------------

  /** Several attributes set in one go, or a move within the page, are one start. */
  #startSoon() {
    if (this.#starting) return;
    this.#starting = true;
    queueMicrotask(() => {
      this.#starting = false;
      this.#start();
    });
  }

  #start() {
    this.#client?.close();
    this.#client = null;
    this.#loadNumber += 1;
    this.#trouble(null);
    this.#replace([]);
    this.#showCounts({ total: 0, unread: 0, unseen: 0 });
    this.#ui.bell.dataset.state = "disconnected";
    if (!this.isConnected || !this.token) return;
    let client;
    try {
      client = new BelfryClient({ url: this.getAttribute("url") ?? undefined, token: this.token });
    } catch (failure) {
      return this.#trouble(failure.message, () => this.#start());
    }
    this.#client = client;
    client.on("state", (change) => this.#stateChanged(client, change));
    client.on("hello", (hello) => this.#greeted(hello));
    client.on("notification", (frame) => this.#received(frame));
    client.on("inbox", (frame) => this.#marked(frame));
    client.connect();
    this.#load();
  }

  #stateChanged(client, change) {
    if (client !== this.#client) return;
    this.#ui.bell.dataset.state = change.state;
    if (change.state === "failed") this.#trouble(change.message, () => client.retry());
    if (change.state === "connected") this.#trouble(null);
    this.#tell("belfry-state", change);
  }

  #greeted(hello) {
    this.#showCounts({ ...this.#counts, unread: hello.unread });
    if (hello.gap) this.#load();
  }

  #received(frame) {
    this.#unannounced.push(frame.title);
    this.#announceTimer ||= setTimeout(() => this.#announce(), ANNOUNCE_MS);
    this.#tell("belfry-notification", frame);
    // What an operator broadcasts to everybody is in nobody's inbox: it is read out, and cannot be marked.
    if (!Number.isSafeInteger(frame.offset) || this.#entries.has(frame.id)) return;
    const { total, unread, unseen } = this.#counts;
    // What is replayed was already in the count that the hello brought.
    if (!frame.replay) this.#showCounts({ total: total + 1, unread: unread + 1, unseen: unseen + 1 });
    this.#insert({ ...frame, type: frame.notification_type, seen: false, read: false, archived: false });
    this.#settle();
    if (this.#entries.size > LIST_MAX) this.#load();
    else if (this.#open) this.#markSeen();
  }

  #announce() {
    const titles = this.#unannounced;
    this.#announceTimer = 0;
    this.#unannounced = [];
    const what = titles.length === 1 ? "New notification" : `${titles.length} new notifications, the latest`;
    this.#ui.status.textContent = `${what}: ${titles.at(-1)}`;
  }

  /** A mark made anywhere, here included. */
  #marked({ op, ids, counts }) {
    if (counts) this.#showCounts(counts);
    const everything = !Array.isArray(ids) || ids.length === 0;
    const unknown = !everything && ids.some((id) => !this.#entries.has(id));
    for (const id of everything ? [...this.#entries.keys()] : ids) this.#applyMark(id, op);
    // Something came back from the archive, or from beyond the first page.
    if (unknown && op === "unread") this.#load();
    this.#settle();
  }

  #applyMark(id, op) {
    if (op === "seen") this.#update(id, { seen: true });
    if (op === "read") this.#update(id, { seen: true, read: true });
    if (op === "unread") this.#update(id, { read: false });
    if (op === "archived") this.#remove(id);
  }

  // --- asking the server --------------------------------------------------------------------------------------

  async #load(more = false) {
    const client = this.#client;
    if (!client) return;
    const number = ++this.#loadNumber;
    const newest = this.#newestOffset();
    this.#busy(true);
    try {
      const cursor = more ? this.#cursor : null;
      const [page, counts] = await Promise.all([client.inbox({ limit: PAGE_SIZE, cursor }), client.counts()]);
      if (number !== this.#loadNumber) return;
      const items = page.data.filter((item) => !item.archived);
      // What arrived while the page was read may not be on it: it stays.
      if (!more) items.push(...this.#itemsAbove(newest));
      this.#cursor = page.next_cursor ?? null;
      if (more) for (const item of items) this.#insert(item);
      else this.#replace(items);
      this.#showCounts(counts);
      if (client.state !== "failed") this.#trouble(null);
    } catch (failure) {
      if (number !== this.#loadNumber) return;
      this.#trouble(failure.message, () => this.#load(more));
    }
    this.#busy(false);
    this.#settle();
    if (this.#open) this.#markSeen();
  }

  /** Shows a mark at once, and takes it back where the server refuses it. */
  async #mark(item, as) {
    const client = this.#client;
    this.#applyMark(item.id, as);
    this.#settle();
    try {
      const { counts } = await client.mark(item.id, as);
      if (client === this.#client) this.#showCounts(counts);
    } catch (failure) {
      if (client !== this.#client) return;
      await this.#load();
      this.#trouble(failure.message, () => this.#mark(item, as));
    }
  }

  async #markAllRead() {
    const client = this.#client;
    if (!client) return;
    try {
      const { counts } = await client.markAll("read");
      if (client !== this.#client) return;
      for (const id of [...this.#entries.keys()]) this.#applyMark(id, "read");
      this.#showCounts(counts);
      this.#ui.status.textContent = "All marked as read";
    } catch (failure) {
      if (client === this.#client) this.#trouble(failure.message, () => this.#markAllRead());
    }
  }

  /** What the open panel shows has been seen. Only a convenience: where it fails, the next opening says it again. */
  #markSeen() {
    const unseen = [...this.#entries.values()].filter(({ item }) => !item.seen && !item.read).map(({ item }) => item.id);
    if (unseen.length === 0 || !this.#client) return;
    for (const id of unseen) this.#update(id, { seen: true });
    this.#client.mark(unseen, "seen").catch(() => {});
  }

  // --- the list -----------------------------------------------------------------------------------------------

  #newestOffset() {
    return Math.max(-1, ...[...this.#entries.values()].map(({ item }) => item.offset));
  }

  #itemsAbove(offset) {
    return [...this.#entries.values()].map(({ item }) => item).filter((item) => item.offset > offset);
  }

  #replace(items) {
    const wanted = new Set(items.map((item) => item.id));
    for (const id of [...this.#entries.keys()]) if (!wanted.has(id)) this.#remove(id);
    for (const item of items) this.#insert(item);
    this.#settle();
  }

  /** Newest first, by offset. */
  #insert(item) {
    if (this.#entries.has(item.id)) return this.#update(item.id, item);
    const node = drawItem(item, this.getAttribute("target") ?? "_blank");
    this.#entries.set(item.id, { item, node });
    const older = [...this.#ui.list.children].find((other) => !(this.#itemOf(other).offset > item.offset));
    this.#ui.list.insertBefore(node, older ?? null);
  }

  #update(id, change) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    Object.assign(entry.item, change);
    paintState(entry.node, entry.item);
  }

  /** Takes an item out; where it held the focus, the neighbour gets it. */
  #remove(id) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    const neighbour = entry.node.nextElementSibling ?? entry.node.previousElementSibling;
    const hadFocus = entry.node.contains(this.shadowRoot.activeElement);
    // First the focus, then the removal: the panel must not see the focus leave.
    if (hadFocus) (neighbour?.querySelector("article") ?? this.#ui.panel).focus();
    entry.node.remove();
    this.#entries.delete(id);
  }

  #itemOf(node) {
    return this.#entries.get(node?.dataset.id)?.item;
  }

  #busy(isBusy) {
    this.#loading = isBusy;
    this.#ui.list.setAttribute("aria-busy", String(isBusy));
    this.#ui.older.disabled = isBusy;
  }

  #settle() {
    const { list, empty, more } = this.#ui;
    list.hidden = this.#entries.size === 0;
    empty.hidden = this.#entries.size > 0 || this.#loading || this.#retry !== null;
    more.hidden = this.#cursor === null;
    if (this.#open) this.#settlePlace();
  }

  #showCounts(counts) {
    const unread = Math.max(0, Number(counts.unread) || 0);
    this.#counts = { ...counts, unread };
    this.#ui.badge.hidden = unread === 0;
    this.#ui.badge.textContent = unread > BADGE_MAX ? `${BADGE_MAX}+` : String(unread);
    this.#ui.readAll.disabled = unread === 0;
    this.#label();
    this.#tell("belfry-counts", { ...this.#counts });
  }

  #label() {
    const label = this.getAttribute("label") || "Notifications";
    const { unread } = this.#counts;
    this.#ui.bell.setAttribute("aria-label", unread > 0 ? `${label}, ${unread} unread` : label);
    this.#ui.title.textContent = label;
    this.#ui.list.setAttribute("aria-label", label);
  }

  #trouble(text, again = null) {
    this.#retry = again;
    this.#ui.notice.hidden = text === null;
    this.#ui.noticeText.textContent = text ?? "";
    this.#settle();
  }

  // --- opening and closing ------------------------------------------------------------------------------------

  #show() {
    if (this.#open || !this.isConnected) return;
    this.#open = true;
    const { panel, bell } = this.#ui;
    for (const { node, item } of this.#entries.values()) showTime(node, item);
    panel.classList.add("open");
    // Into the top layer, where no ancestor can clip it; a browser without that has the fixed position.
    panel.showPopover?.();
    bell.setAttribute("aria-expanded", "true");
    this.#settlePlace();
    panel.focus({ preventScroll: true });
    document.addEventListener("pointerdown", this.#outside);
    addEventListener("resize", this.#moved);
    addEventListener("scroll", this.#moved, { capture: true, passive: true });
    this.#freshenTimer = setInterval(() => {
      for (const { node, item } of this.#entries.values()) showTime(node, item);
    }, FRESHEN_MS);
    this.#markSeen();
    this.#offerPush();
  }

  #hide(focusBell) {
    if (!this.#open) return;
    this.#open = false;
    const { panel, bell } = this.#ui;
    document.removeEventListener("pointerdown", this.#outside);
    removeEventListener("resize", this.#moved);
    removeEventListener("scroll", this.#moved, { capture: true });
    clearInterval(this.#freshenTimer);
    bell.setAttribute("aria-expanded", "false");
    if (focusBell) bell.focus();
    if (panel.matches(":popover-open")) panel.hidePopover();
    panel.classList.remove("open");
  }

  /** Below the bell, or above where there is more room; within the window. By a style sheet, which any policy allows. */
  #settlePlace() {
    const bell = this.#ui.bell.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const { width } = this.#ui.panel.getBoundingClientRect();
    const rtl = getComputedStyle(this).direction === "rtl";
    const wanted = rtl ? bell.left : bell.right - width;
    const left = Math.max(GAP_PX, Math.min(wanted, clientWidth - width - GAP_PX));
    const below = clientHeight - bell.bottom - 2 * GAP_PX;
    const above = bell.top - 2 * GAP_PX;
    const up = below < ROOM_MIN_PX && above > below;
    const edge = up ? `bottom: ${clientHeight - bell.top + GAP_PX}px` : `top: ${bell.bottom + GAP_PX}px`;
    const room = Math.max(160, Math.min(up ? above : below, 640));
    this.#place.replaceSync(`.panel { left: ${left}px; ${edge}; max-height: ${room}px; }`);
  }

  // --- notifications while the page is closed --------------------------------------------------------------------

  /** The worker that may serve this page: the server's own, or a file of this site that the page names. */
  #worker(server) {
    const path = this.getAttribute("push-worker");
    if (path) return foreignWorker(path, server, location.pathname);
    return server === location.origin ? undefined : null;
  }

  /** Says below the list where this browser stands, and offers to change it. */
  async #offerPush(act = null) {
    const { push, pushText, pushDo, pushLink } = this.#ui;
    const server = serverOf(this.getAttribute("url"));
    if (this.getAttribute("push") === "off" || !server || !this.token) {
      push.hidden = true;
      return;
    }
    const worker = this.#worker(server);
    pushLink.hidden = worker !== null;
    pushDo.hidden = worker === null;
    if (worker === null) {
      push.dataset.state = "elsewhere";
      pushText.textContent = "Notifications while this page is closed are enabled on the inbox page.";
      pushLink.href = `${server}/inbox`;
      pushLink.onclick = (event) => this.#goToInbox(event, server);
      push.hidden = false;
      return this.#settlePlace();
    }
    pushDo.disabled = true;
    let state = "off";
    try {
      state = await (act ? act(worker) : pushState(worker));
      pushText.textContent = PUSH_TEXTS[state];
    } catch (failure) {
      state = await pushState(worker).catch(() => "off");
      pushText.textContent = `That did not work: ${failure.message}`;
    }
    push.dataset.state = state;
    push.hidden = false;
    pushDo.hidden = !(state in PUSH_BUTTONS);
    pushDo.textContent = PUSH_BUTTONS[state] ?? "";
    pushDo.disabled = false;
    pushDo.onclick = () => this.#offerPush(async (known) => {
      return (state === "on" ? disablePush : enablePush)(await this.#secret(), server, known);
    });
    if (this.#open) this.#settlePlace();
  }

  /** The reader stays signed in there. The token goes in the fragment, which no server sees. */
  async #goToInbox(event, server) {
    event.preventDefault();
    // Opened within the click, or the browser takes it for a pop-up.
    const page = open("about:blank", "_blank");
    const token = await this.#secret().catch(() => "");
    if (!page) return;
    page.opener = null;
    page.location = `${server}/inbox#token=${encodeURIComponent(token)}`;
  }

  async #secret() {
    return typeof this.token === "function" ? this.token() : this.token;
  }

  // --- building and listening ---------------------------------------------------------------------------------

  #build(root) {
    const badge = make("span", { class: "badge", part: "badge", "aria-hidden": "true", hidden: "" });
    const bell = make("button", { class: "bell", part: "bell", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-controls": "panel" }, icon("bell"), badge);
    const title = make("h2", { id: "title" });
    const readAll = make("button", { class: "quiet", type: "button", disabled: "" }, "Mark all read");
    const close = make("button", { class: "icon", type: "button", "aria-label": "Close", title: "Close" }, icon("close"));
    const noticeText = make("p");
    const retry = make("button", { class: "quiet", type: "button" }, "Try again");
    const notice = make("div", { class: "notice", role: "alert", hidden: "" }, noticeText, retry);
    const list = make("ol", { "aria-busy": "false", hidden: "" });
    const empty = make("p", { class: "empty" }, "Nothing here yet");
    const older = make("button", { class: "quiet", type: "button" }, "Show older");
    const more = make("p", { class: "more", hidden: "" }, older);
    const pushText = make("p", { role: "status" });
    const pushDo = make("button", { type: "button", hidden: "" });
    const pushLink = make("a", { target: "_blank", rel: "noopener", hidden: "" }, "Enable notifications");
    const push = make("div", { class: "push", hidden: "" }, pushText, pushDo, pushLink);
    const slot = make("slot", { name: "preferences" });
    const footer = make("footer", { hidden: "" }, slot);
    const panel = make("div", { class: "panel", id: "panel", part: "panel", role: "dialog", "aria-labelledby": "title", tabindex: "-1", popover: "manual" },
      make("header", {}, title, readAll, close), notice, make("div", { class: "scroll" }, list, empty, more), push, footer);
    const status = make("p", { class: "sr-only", role: "status", "aria-live": "polite" });
    root.append(make("div", { class: "root" }, bell, panel, status));
    close.addEventListener("click", () => this.#hide(true));
    readAll.addEventListener("click", () => this.#markAllRead());
    older.addEventListener("click", () => this.#load(true));
    retry.addEventListener("click", () => {
      const again = this.#retry;
      // The button goes away with the notice: the focus stays in the panel.
      panel.focus();
      this.#trouble(null);
      again?.();
    });
    slot.addEventListener("slotchange", () => (footer.hidden = slot.assignedNodes().length === 0));
    return { bell, badge, panel, title, readAll, notice, noticeText, list, empty, more, older, status, push, pushText, pushDo, pushLink };
  }

  #listen(root) {
    const { bell, panel, list } = this.#ui;
    bell.addEventListener("click", () => (this.#open ? this.#hide(true) : this.#show()));
    list.addEventListener("click", (event) => this.#clicked(event));
    panel.addEventListener("keydown", (event) => this.#keyed(event));
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#open) return;
      event.preventDefault();
      event.stopPropagation();
      this.#hide(true);
    });
    // The focus went on to the page by keyboard: the panel would only cover it.
    root.addEventListener("focusout", ({ relatedTarget: to }) => {
      if (to && this.#open && !this.contains(to) && !root.contains(to)) this.#hide(false);
    });
  }

  #clicked(event) {
    const item = this.#itemOf(event.target.closest("li"));
    if (!item) return;
    const button = event.target.closest("button[data-do]");
    if (button) return this.#act(item, button.dataset.do);
    if (!event.target.closest(".act")) return;
    if (!this.#tell("belfry-open", { ...item }, true)) event.preventDefault();
    if (!item.read) this.#mark(item, "read");
  }

  #act(item, what) {
    this.#mark(item, what === "archive" ? "archived" : item.read ? "unread" : "read");
  }

  /** Arrows walk the items; letters act only while the focus is on one, so that they never surprise dictation. */
  #keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = event.target.closest?.("li");
    const rows = [...this.#ui.list.children];
    const at = rows.indexOf(row);
    const wanted = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    const item = this.#itemOf(row);
    if (wanted !== undefined) {
      const article = rows[Math.max(0, Math.min(wanted, rows.length - 1))]?.querySelector("article");
      article?.focus({ preventScroll: true });
      article?.scrollIntoView({ block: "nearest" });
    } else if (item && event.key === "m") this.#act(item, "toggle");
    else if (item && (event.key === "e" || event.key === "Delete")) this.#act(item, "archive");
    else return;
    event.preventDefault();
  }

  #tell(type, detail, cancelable = false) {
    return this.dispatchEvent(new CustomEvent(type, { detail, cancelable, bubbles: true, composed: true }));
  }
}

// --- drawing: everything that came from outside goes through textContent ------------------------------------------

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function drawItem(item, target) {
  const title = make("h3", { dir: "auto" }, String(item.title || item.type || "Notification"));
  const message = make("p", { class: "message", dir: "auto" }, String(item.message ?? ""));
  message.hidden = message.textContent === "";
  const priority = PRIORITIES.includes(item.priority) ? item.priority : "medium";
  const meta = make("p", { class: "meta" }, make("span", { class: "sr-only state" }), make("time"));
  if (priority === "high" || priority === "critical") meta.append(make("span", { class: "priority" }, `${priority} priority`));
  if (item.category) meta.append(make("span", { dir: "auto" }, String(item.category).replaceAll("_", " ")));
  const body = make("div", { class: "body" }, title, message, meta);
  const url = safeUrl(item.action?.url);
  if (url) body.append(make("p", {}, make("a", { class: "act", href: url, target, rel: "noopener noreferrer" }, String(item.action.label || "Open"))));
  const toggle = make("button", { class: "icon", type: "button", "data-do": "toggle" });
  const archive = make("button", { class: "icon", type: "button", "data-do": "archive" }, icon("archive"));
  name(archive, "Archive", item);
  const article = make("article", { class: "item", part: "item", tabindex: "-1", "aria-label": title.textContent }, body, make("div", { class: "acts" }, toggle, archive));
  const node = make("li", { class: priority, "data-id": item.id }, article);
  paintState(node, item);
  showTime(node, item);
  return node;
}

function paintState(node, item) {
  node.classList.toggle("unread", !item.read);
  node.querySelector(".state").textContent = item.read ? "" : "Unread";
  const toggle = node.querySelector("[data-do=toggle]");
  name(toggle, item.read ? "Mark as unread" : "Mark as read", item);
  toggle.replaceChildren(icon(item.read ? "unread" : "read"));
}

function name(button, label, item) {
  button.title = label;
  button.setAttribute("aria-label", `${label}: ${item.title}`);
}

/** Only web addresses become links; `javascript:` and its relatives do not. */
function safeUrl(text) {
  if (typeof text !== "string" || !URL.canParse(text)) return null;
  const url = new URL(text);
  return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
}

/** The origin of the server: where the `url` says, else where this file came from. */
function serverOf(url) {
  const place = url ?? import.meta.url;
  return URL.canParse(place, globalThis.location?.href) ? new URL(place, globalThis.location?.href).origin : null;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const EXACT = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

function showTime(node, item) {
  const date = new Date(item.timestamp);
  if (Number.isNaN(date.getTime())) return;
  const time = node.querySelector("time");
  time.dateTime = date.toISOString();
  time.title = EXACT.format(date);
  const text = relativeTime(date);
  if (time.textContent !== text) time.textContent = text;
}

function relativeTime(date) {
  const seconds = Math.round((date - Date.now()) / 1000);
  const age = Math.abs(seconds);
  if (age < 45) return "now";
  if (age < 3600) return RELATIVE.format(Math.round(seconds / 60), "minute");
  if (age < 86_400) return RELATIVE.format(Math.round(seconds / 3600), "hour");
  if (age < 7 * 86_400) return RELATIVE.format(Math.round(seconds / 86_400), "day");
  return DAY.format(date);
}

if (globalThis.customElements && !customElements.get("belfry-inbox")) customElements.define("belfry-inbox", BelfryInbox);
