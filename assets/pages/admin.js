// How the server is doing, for whoever runs it: health, channels, what was sent and what became of it.

import { door } from "./door.js";
import { byId, keepTimesFresh, request, showTime, words } from "./shared.js";

const PAGE_SIZE = 25;
const REFRESH_EVERY_MS = 5000;

let cursor = null;
/** Who has come and gone, and what was searched for: an answer to an earlier question is dropped. */
let visit = 0;
let search = 0;

const entrance = door({
  opened() {
    look();
    find();
  },
  closed() {
    visit += 1;
    search += 1;
  },
});
const ask = (path) => request(path, entrance.key() ?? "");

function refused(failure) {
  if (failure.status === 401) return entrance.leave("The server does not accept this key.");
  if (failure.status === 403) return entrance.leave("This key may not see how the server is doing: it needs the scope admin.");
  byId("trouble").hidden = false;
  byId("trouble-text").textContent = failure.message;
}

// --- how it is doing ------------------------------------------------------------------------------------------

/** Readiness is told with a 503 where it is not given, so its answer is read whatever the status. */
async function readiness() {
  const answer = await fetch("/readyz");
  return answer.json();
}

async function look() {
  const mine = visit;
  try {
    const [ready, live, channels, endpoints, counted] = await Promise.all([
      readiness(), ask("/v1/websocket/health"), ask("/v1/channels"), ask("/v1/endpoints?limit=200"), ask("/v1/analytics"),
    ]);
    if (mine !== visit) return;
    byId("trouble").hidden = true;
    drawFigures(ready, live, counted);
    byId("channels").replaceChildren(...channels.data.map(drawChannel));
    drawDisabled(endpoints.data.filter((endpoint) => endpoint.disabled));
    byId("fresh").textContent = `Updated ${new Date().toLocaleTimeString()}; counts are of the last 30 days`;
  } catch (failure) {
    if (mine === visit) refused(failure);
  }
}

function drawFigures(ready, live, counted) {
  const reasons = (ready.reasons ?? []).map((reason) => (typeof reason === "string" ? reason : reason.detail ?? reason.reason));
  const figures = [
    ["Status", [words(ready.status), ...reasons].join(": ")],
    ["Live connections", live.connections.total],
    ["Notifications", counted.total_notifications],
    ["Deliveries made", counted.successful_deliveries],
    ["Deliveries failed", counted.failed_deliveries],
    ["Skipped", counted.skipped],
    ["Version", ready.version],
  ];
  byId("figures").replaceChildren(...figures.map(([name, value]) => {
    const box = document.createElement("div");
    const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    figure.textContent = typeof value === "number" ? value.toLocaleString() : (value ?? "–");
    box.append(term, figure);
    return box;
  }));
}

function row(...cells) {
  const line = document.createElement("tr");
  line.append(...cells.map((cell) => {
    const field = document.createElement("td");
    field.append(cell ?? "");
    return field;
  }));
  return line;
}

function drawChannel(channel) {
  const away = channel.providers.filter((provider) => provider.state === "open").map((provider) => provider.name);
  const state = away.length ? `${words(channel.state)}: ${away.join(", ")} left alone` : words(channel.state);
  const line = row(words(channel.channel), state, words(channel.mode), channel.queued.toLocaleString(), channel.in_flight.toLocaleString(), channel.last_error ?? "");
  line.children[1].className = `state-${channel.state}`;
  return line;
}

function drawDisabled(endpoints) {
  byId("disabled").hidden = endpoints.length === 0;
  byId("disabled-list").replaceChildren(...endpoints.map((endpoint) => {
    const item = document.createElement("li");
    item.textContent = endpoint.disabled_reason ? `${endpoint.url}: ${words(endpoint.disabled_reason)}` : endpoint.url;
    return item;
  }));
}

// --- what was sent --------------------------------------------------------------------------------------------

async function find(more = false) {
  const mine = (search += 1);
  const id = byId("id").value.trim();
  const query = new URLSearchParams({ limit: PAGE_SIZE });
  for (const [field, name] of [["user", "user_id"], ["status", "status"]]) {
    const value = byId(field).value.trim();
    if (value) query.set(name, value);
  }
  if (more && cursor) query.set("cursor", cursor);
  try {
    const page = id
      ? { data: [await ask(`/v1/notifications/${encodeURIComponent(id)}`)], next_cursor: null }
      : await ask(`/v1/notifications?${query}`);
    if (mine === search) take(page, more);
  } catch (failure) {
    if (mine !== search) return;
    if (id && failure.status === 404) take({ data: [], next_cursor: null }, false);
    else refused(failure);
  }
}

function take(page, more) {
  const rows = page.data.map(drawNotification);
  if (more) byId("notifications").append(...rows);
  else byId("notifications").replaceChildren(...rows);
  cursor = page.next_cursor ?? null;
  byId("more").hidden = cursor === null;
  byId("none").hidden = byId("notifications").children.length > 0;
  byId("announcer").textContent = `${page.data.length} notifications`;
}

function drawNotification(notification) {
  const when = document.createElement("time");
  showTime(when, notification.created_at);
  const title = document.createElement("button");
  title.type = "button";
  title.dir = "auto";
  title.textContent = notification.title;
  title.addEventListener("click", () => tell(notification));
  const line = row(when, notification.user_id, title, words(notification.status));
  line.children[3].className = `state-${notification.status}`;
  return line;
}

async function tell(notification) {
  try {
    const story = await ask(`/v1/notifications/${encodeURIComponent(notification.id)}/timeline`);
    byId("story-title").textContent = notification.title;
    byId("story-id").textContent = notification.id;
    byId("moments").replaceChildren(...story.data.map(drawMoment));
    byId("story").hidden = false;
    byId("story").focus();
  } catch (failure) {
    refused(failure);
  }
}

function drawMoment(moment) {
  const item = document.createElement("li");
  const when = document.createElement("time");
  when.dateTime = moment.at;
  when.textContent = new Date(moment.at).toLocaleString();
  const parts = [moment.channel && words(moment.channel), words(moment.event), moment.reason && words(moment.reason), moment.detail];
  item.append(when, ` ${parts.filter(Boolean).join(" · ")}`);
  return item;
}

// --- wiring ---------------------------------------------------------------------------------------------------

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
byId("more").addEventListener("click", () => find(true));
byId("close").addEventListener("click", () => {
  byId("story").hidden = true;
  byId("search").scrollIntoView({ block: "nearest" });
  byId("user").focus();
});
keepTimesFresh(byId("notifications"));
setInterval(() => document.visibilityState === "visible" && entrance.key() && look(), REFRESH_EVERY_MS);

entrance.begin();
