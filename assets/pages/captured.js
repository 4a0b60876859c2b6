// The captured messages: what channels in capture mode kept, to be read the way the recipient would have seen it.

import { door } from "./door.js";
import { byId, keepTimesFresh, request, showTime, words } from "./shared.js";

const PAGE_SIZE = 50;
const REFRESH_EVERY_MS = 2000;
/** The forms a message can be looked at in, the most telling first. */
const FORMS = ["html", "text", "source"];

const letters = new Map();
let cursor = null;
let openId = null;
let busy = false;
let round = 0;

const entrance = door({
  opened: startOver,
  closed() {
    round += 1;
  },
});

// --- asking the server ----------------------------------------------------------------------------------------

function startOver() {
  round += 1;
  busy = false;
  letters.clear();
  byId("letters").replaceChildren();
  cursor = null;
  close();
  load();
}

/** The first page again, or the next one; what is known already stays where it is. */
async function load(more = false) {
  if (busy) return;
  busy = true;
  const mine = round;
  const query = new URLSearchParams({ limit: PAGE_SIZE });
  if (byId("channel").value) query.set("channel", byId("channel").value);
  if (more && cursor) query.set("cursor", cursor);
  try {
    const page = await request(`/v1/captured?${query}`, entrance.key() ?? "");
    if (mine === round) take(page, more);
  } catch (failure) {
    if (mine === round) refused(failure);
  }
  if (mine === round) busy = false;
}

function take(page, more) {
  const first = letters.size === 0;
  const fresh = page.data.filter((letter) => !letters.has(letter.id));
  const rows = fresh.map(drawRow);
  if (more) byId("letters").append(...rows);
  else byId("letters").prepend(...rows);
  if (more || first) cursor = page.next_cursor ?? null;
  if (!first && !more && fresh.length > 0) byId("announcer").textContent = `${fresh.length} new`;
  byId("none").hidden = letters.size > 0;
  byId("more").hidden = cursor === null;
  byId("trouble").hidden = true;
  byId("fresh").textContent = `Updated ${new Date().toLocaleTimeString()}`;
}

function refused(failure) {
  if (failure.status === 401) return entrance.leave("The server does not accept this key.");
  if (failure.status === 403) return entrance.leave("This key may not read captured messages.");
  byId("trouble").hidden = false;
  byId("trouble-text").textContent = failure.status === 404 ? "This server keeps no captured messages." : failure.message;
}

// --- what is shown --------------------------------------------------------------------------------------------

function drawRow(letter) {
  const node = byId("row").content.firstElementChild.cloneNode(true);
  const button = node.querySelector("button");
  button.dataset.id = letter.id;
  node.querySelector(".who").textContent = letter.to || letter.user_id || "Nobody";
  node.querySelector(".what").textContent = letter.title || letter.text || "";
  node.querySelector(".how").textContent = words(letter.channel);
  showTime(node.querySelector("time"), letter.at);
  button.addEventListener("click", () => open(letter.id));
  letters.set(letter.id, { letter, button });
  return node;
}

function open(id) {
  close();
  const { letter, button } = letters.get(id);
  openId = id;
  button.setAttribute("aria-current", "true");
  byId("subject").textContent = letter.title || "(no subject)";
  byId("to").textContent = letter.user_id ? `${letter.to ?? ""} (${letter.user_id})`.trim() : (letter.to ?? "");
  byId("via").textContent = words(letter.channel);
  showTime(byId("at"), letter.at);
  byId("notification").textContent = letter.notification_id ?? "";
  byId("panel-text").firstElementChild.textContent = letter.text ?? "";
  byId("panel-source").firstElementChild.textContent = letter.html ?? "";
  byId("panel-html").replaceChildren(...(letter.html ? [paper(letter.html)] : []));
  for (const form of ["html", "source"]) byId(`tab-${form}`).hidden = !letter.html;
  choose(letter.html ? "html" : "text");
  byId("unchosen").hidden = true;
  byId("letter").hidden = false;
  byId("panes").classList.add("reading");
  byId("letter").focus({ preventScroll: true });
}

function close() {
  const button = letters.get(openId)?.button;
  button?.removeAttribute("aria-current");
  openId = null;
  byId("letter").hidden = true;
  byId("unchosen").hidden = false;
  byId("panes").classList.remove("reading");
  return button;
}

/**
 * The HTML as a mail program would draw it, in a frame that may do nothing: no script, no form, no origin of its own,
 * and by this page's policy no request either, so a tracking pixel stays dark.
 */
function paper(html) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "");
  frame.title = "The message as HTML";
  frame.srcdoc = html;
  return frame;
}

function choose(form) {
  for (const each of FORMS) {
    const chosen = each === form;
    byId(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${each}`).tabIndex = chosen ? 0 : -1;
    byId(`panel-${each}`).hidden = !chosen;
  }
}

/** Left and right walk the tabs, as the tab pattern has it. */
function walkTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const shown = FORMS.filter((form) => !byId(`tab-${form}`).hidden);
  const at = shown.findIndex((form) => event.target.id === `tab-${form}`);
  if (!step || at < 0) return;
  const next = shown[(at + step + shown.length) % shown.length];
  choose(next);
  byId(`tab-${next}`).focus();
  event.preventDefault();
}

// --- wiring ---------------------------------------------------------------------------------------------------

for (const form of FORMS) {
  byId(`tab-${form}`).addEventListener("click", () => choose(form));
  byId(`tab-${form}`).addEventListener("keydown", walkTabs);
}
byId("channel").addEventListener("change", startOver);
byId("refresh").addEventListener("click", () => load());
byId("more").addEventListener("click", () => load(true));
byId("back").addEventListener("click", () => close()?.focus());
keepTimesFresh(byId("letters"));
setInterval(() => document.visibilityState === "visible" && entrance.key() && load(), REFRESH_EVERY_MS);

entrance.begin();
