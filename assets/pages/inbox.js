// The inbox page: takes the token, loads the list, keeps it true by the live line, and carries marks back.

import { BelfryClient } from "/client.js";
import { List } from "./list.js";
import { offerPush } from "./offer.js";
import { byId, pastedSecret, tabValue, takeFragment } from "./shared.js";
import { Workflows } from "./workflows.js";

const PAGE_SIZE = 30;
/** After this many items the list starts again from its first page instead of growing all week. */
const LIST_MAX = 500;
/** A burst is drawn once, and read out once. */
const GATHER_MS = 40;
const ANNOUNCE_MS = 700;
/** On the screen for this long counts as seen. */
const SEEN_AFTER_MS = 1500;
const WATCHED_MAX = 50;
const STATE_WORDS = { disconnected: "Not connected", connecting: "Connecting", connected: "Live", reconnecting: "Reconnecting", failed: "Stopped" };
/** The server's close codes for a token that is no good, or no longer. */
const BAD_TOKEN = [4005, 4500];
const EMPTY = {
  unread: ["All caught up", "New notifications appear here by themselves."],
  all: ["Nothing here yet", "Notifications appear here the moment they are sent."],
  archived: ["The archive is empty", "What you archive is kept here."],
};

const token = tabValue("belfry.token");
const list = new List({ mark, opened: (item) => item.read || mark(item, "read") });
const workflows = new Workflows();
let client = null;
let filter = "all";
let cursor = null;
let loadNumber = 0;
let counts = { total: 0, unread: 0, unseen: 0 };
let arrivals = [];
let arrivedDuringLoad = [];
let unannounced = [];
let watchable = () => false;
const watched = new Set();
const timers = {};

function later(name, delayMs, act) {
  timers[name] ??= setTimeout(() => {
    timers[name] = undefined;
    act();
  }, delayMs);
}

// --- the door -------------------------------------------------------------------------------------------------

function enter(secret, workflowIds) {
  token.set(secret);
  byId("door").hidden = true;
  byId("room").hidden = false;
  byId("sign-out").hidden = false;
  list.replace([]);
  byId("skeleton").hidden = false;
  byId("empty").hidden = true;
  watched.clear();
  client?.close();
  client = new BelfryClient({ token: secret });
  client.on("state", lineChanged);
  client.on("hello", greeted);
  client.on("notification", received);
  client.on("inbox", marked);
  client.on("workflow_update", (frame) => workflows.show(frame));
  const allowed = workflowsOf(secret);
  watchable = (id) => allowed.includes("*") || allowed.includes(id);
  for (const id of [...workflowIds, ...allowed]) if (id !== "*") watch(id);
  client.connect();
  load();
  offerPush(secret);
}

function leave(why) {
  client?.close();
  client = null;
  token.set(null);
  showLine("disconnected");
  workflows.clear();
  list.replace([]);
  showCounts({ total: 0, unread: 0, unseen: 0 });
  showTrouble(null);
  offerPush(null);
  byId("room").hidden = true;
  byId("sign-out").hidden = true;
  byId("door").hidden = false;
  byId("door-token").value = "";
  byId("door-error").textContent = why;
}

/** The workflows that a token names; only a hint for what to follow, the server alone decides. */
function workflowsOf(secret) {
  try {
    const payload = atob(secret.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    const named = JSON.parse(payload).workflows;
    return Array.isArray(named) ? named.filter((id) => typeof id === "string").slice(0, WATCHED_MAX) : [];
  } catch {
    return [];
  }
}

function watch(id) {
  if (watched.size >= WATCHED_MAX || watched.has(id)) return;
  watched.add(id);
  client.subscribe(`workflow:${id}`);
}

// --- the live line --------------------------------------------------------------------------------------------

function lineChanged({ state, code, message }) {
  if (state === "failed" && BAD_TOKEN.includes(code)) return leave(`${message} Paste another one.`);
  showLine(state);
  // What no longer moves should not look as if it ran.
  if (state === "failed") workflows.clear();
  if (state === "failed") showTrouble(message, () => client?.retry());
  if (state === "connected") showTrouble(null);
}

function showLine(state) {
  byId("state").dataset.state = state;
  byId("state-text").textContent = STATE_WORDS[state];
}

function greeted(hello) {
  if (Number.isFinite(hello.unread)) showCounts({ ...counts, unread: hello.unread });
  if (!hello.recovered) load();
}

function received(frame) {
  const item = {
    id: frame.id, title: frame.title, message: frame.message, priority: frame.priority, category: frame.category,
    type: frame.notification_type, action: frame.action, metadata: frame.metadata, timestamp: frame.timestamp,
    offset: frame.offset, seen: false, read: false, archived: false,
  };
  if (list.has(item.id) || arrivals.some((waiting) => waiting.id === item.id)) return;
  // What is replayed after a reconnect was already in the count that the server's hello brought.
  if (!frame.replay) showCounts({ total: counts.total + 1, unread: counts.unread + 1, unseen: counts.unseen + 1 });
  const workflow = frame.metadata?.workflow_id;
  if (typeof workflow === "string" && watchable(workflow)) watch(workflow);
  arrivals.push(item);
  unannounced.push(item);
  later("draw", GATHER_MS, drawArrivals);
  later("announce", ANNOUNCE_MS, announce);
}

function drawArrivals() {
  const items = arrivals;
  arrivals = [];
  arrivedDuringLoad.push(...items);
  if (filter !== "archived") list.arrive(items);
  settle();
  if (list.size > LIST_MAX && scrollY === 0) load();
}

function announce() {
  const items = unannounced;
  unannounced = [];
  const latest = items.at(-1);
  const what = items.length === 1 ? "New notification" : `${items.length} new notifications, the latest`;
  byId("announcer").textContent = `${what}, ${latest.priority} priority: ${latest.title}`;
}

/** A mark made anywhere, by this page included. Without ids it speaks of everything. */
function marked(frame) {
  if (frame.counts) showCounts(frame.counts);
  const everything = !Array.isArray(frame.ids) || frame.ids.length === 0;
  const ids = everything ? list.items().map((item) => item.id) : frame.ids;
  const unknown = ids.some((id) => !list.has(id));
  for (const id of ids) applyMark(id, frame.op);
  const mayBelongHere = { archived: filter === "archived", unread: filter !== "archived" }[frame.op];
  if (unknown && mayBelongHere) load();
  settle();
}

function applyMark(id, op) {
  if (op === "seen") list.update(id, { seen: true });
  if (op === "read") list.update(id, { seen: true, read: true });
  if (op === "unread") filter === "archived" ? list.remove(id) : list.update(id, { read: false, archived: false });
  if (op === "archived" && filter !== "archived") list.remove(id);
}

// --- asking the server ----------------------------------------------------------------------------------------

async function load(more = false) {
  const number = ++loadNumber;
  arrivedDuringLoad = [];
  list.busy(true);
  byId("more").disabled = true;
  const asked = client;
  try {
    const [page, freshCounts] = await Promise.all([
      asked.inbox({ status: filter, limit: PAGE_SIZE, cursor: more ? cursor : null }),
      asked.counts(),
    ]);
    if (number !== loadNumber || client !== asked) return;
    cursor = page.next_cursor ?? null;
    const items = page.data.filter((item) => filter !== "all" || !item.archived);
    if (more) list.append(items);
    else list.replace(items);
    // The page may have been read before these came: they stay.
    if (filter !== "archived") list.arrive(arrivedDuringLoad);
    showCounts(freshCounts);
    if (asked.state !== "failed") showTrouble(null);
  } catch (failure) {
    if (number === loadNumber && client === asked) refused(failure, () => load(more));
  }
  if (number !== loadNumber) return;
  byId("skeleton").hidden = true;
  list.busy(false);
  byId("more").disabled = false;
  settle();
}

/** Shows a mark at once, and takes it back where the server refuses it. */
async function mark(item, as) {
  const before = { seen: item.seen, read: item.read, archived: item.archived };
  applyMark(item.id, as);
  settle();
  try {
    showCounts((await client.mark(item.id, as)).counts);
  } catch (failure) {
    list.update(item.id, before);
    refused(failure, () => mark(item, as));
    if (!list.has(item.id)) load();
  }
}

async function markAllRead() {
  byId("read-all").disabled = true;
  try {
    showCounts((await client.markAll("read")).counts);
    for (const item of list.items()) applyMark(item.id, "read");
    byId("announcer").textContent = "All marked as read";
  } catch (failure) {
    refused(failure, markAllRead);
  }
  showCounts(counts);
}

async function markSeen() {
  if (document.visibilityState !== "visible" || !client) return;
  const ids = list.items().filter((item) => !item.seen && !item.read && !item.archived).map((item) => item.id);
  if (ids.length === 0) return;
  for (const id of ids) list.update(id, { seen: true });
  // Only a convenience: where it fails, the next visit says it again.
  await client.mark(ids.slice(0, LIST_MAX), "seen").then((answer) => showCounts(answer.counts), () => {});
}

// --- what is shown --------------------------------------------------------------------------------------------

function refused(failure, again) {
  if (failure.status === 401) return leave("The server does not accept this token. Paste another one.");
  if (failure.status === 403) return leave("This token does not open an inbox. Paste a user token.");
  showTrouble(failure.message, again);
}

function showTrouble(text, again) {
  byId("trouble").hidden = text === null;
  byId("trouble-text").textContent = text ?? "";
  byId("trouble-retry").onclick = () => {
    showTrouble(null);
    again?.();
  };
}

function showCounts(fresh) {
  counts = fresh;
  const unread = Math.max(0, counts.unread);
  const badge = byId("unread-count");
  badge.hidden = unread === 0;
  badge.textContent = unread > 999 ? "999+" : String(unread);
  byId("read-all").disabled = unread === 0;
  document.title = unread > 0 ? `(${unread}) Inbox – Belfry` : "Inbox – Belfry";
}

/** After any change: the empty state, the "more" button, and what is now seen. */
function settle() {
  const empty = list.size === 0 && byId("skeleton").hidden;
  byId("empty").hidden = !empty;
  [byId("empty-title").textContent, byId("empty-text").textContent] = EMPTY[filter];
  byId("more").hidden = cursor === null;
  byId("keys").hidden = list.size === 0;
  later("seen", SEEN_AFTER_MS, markSeen);
}

function choose(button) {
  filter = button.dataset.filter;
  for (const other of document.querySelectorAll("[data-filter]")) other.setAttribute("aria-pressed", String(other === button));
  cursor = null;
  scrollTo({ top: 0, behavior: "instant" });
  load();
}

// --- wiring ---------------------------------------------------------------------------------------------------

for (const button of document.querySelectorAll("[data-filter]")) button.addEventListener("click", () => choose(button));
byId("more").addEventListener("click", () => load(true));
byId("read-all").addEventListener("click", markAllRead);
byId("sign-out").addEventListener("click", () => leave(""));
byId("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = pastedSecret(byId("door-token").value, "token");
  if (secret) enter(secret, []);
  else byId("door-error").textContent = "That link carries no token.";
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  later("seen", SEEN_AFTER_MS, markSeen);
});
addEventListener("hashchange", arriveByLink);

/** A link with `#token=…` opens the inbox, also in a tab where another one is open already. */
function arriveByLink() {
  const link = takeFragment("token");
  if (link?.get("token")) enter(link.get("token"), link.getAll("workflow"));
  return link !== null;
}

if (!arriveByLink()) {
  const kept = token.get();
  if (kept) enter(kept, []);
  else leave("");
}
