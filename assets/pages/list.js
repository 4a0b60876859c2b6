// The list of notifications on the page: draws items, keeps the reader's place while new ones arrive, and moves the
// focus by keyboard. Everything that came from outside goes through `textContent`.

import { byId, keepTimesFresh, safeUrl, showTime, words } from "./shared.js";

const PRIORITIES = ["low", "medium", "high", "critical"];
/** Longer messages start folded; about four lines of the column. */
const FOLD_CHARS = 320;
const FOLD_LINES = 4;
/** Within this distance from the top the reader is taken to be at the top. */
const NEAR_TOP_PX = 24;
/** A pointer that moved over the list this recently may be about to click: nothing may slide away beneath it. */
const POINTER_REST_MS = 1200;

export class List {
  #root = byId("list");
  #template = byId("item");
  #pill = byId("newer");
  #entries = new Map();
  #heldBack = 0;
  #pointerMovedAt = -Infinity;
  #on;

  /** @param on `{mark(item, as), opened(item)}` */
  constructor(on) {
    this.#on = on;
    this.#root.addEventListener("click", (event) => this.#clicked(event));
    this.#root.addEventListener("keydown", (event) => this.#keyed(event));
    this.#root.addEventListener("pointermove", () => (this.#pointerMovedAt = performance.now()), { passive: true });
    this.#pill.addEventListener("click", () => this.#goToTop());
    addEventListener("scroll", () => scrollY <= NEAR_TOP_PX && this.#showHeldBack(0), { passive: true });
    keepTimesFresh(this.#root);
  }

  get size() {
    return this.#entries.size;
  }

  has(id) {
    return this.#entries.has(id);
  }

  items() {
    return [...this.#entries.values()].map((entry) => entry.item);
  }

  busy(isBusy) {
    this.#root.setAttribute("aria-busy", String(isBusy));
  }

  /** Makes the list hold exactly these items in this order; elements that stay keep their focus. */
  replace(items) {
    const wanted = new Set(items.map((item) => item.id));
    for (const id of [...this.#entries.keys()]) if (!wanted.has(id)) this.remove(id);
    let place = this.#root.firstElementChild;
    for (const item of items) {
      const known = this.#entries.get(item.id);
      if (known) this.update(item.id, item);
      const node = known?.node ?? this.#draw(item);
      if (node === place) place = place.nextElementSibling;
      else this.#root.insertBefore(node, place);
    }
    this.#showHeldBack(0);
  }

  append(items) {
    for (const item of items) if (!this.has(item.id)) this.#root.append(this.#draw(item));
  }

  /** Puts live arrivals in their places at the top without moving what a busy reader looks at. */
  arrive(items) {
    const fresh = items.filter((item) => !this.has(item.id));
    if (fresh.length === 0) return;
    const anchor = this.#readerIsBusy() ? this.#firstVisible() : null;
    const topBefore = anchor?.getBoundingClientRect().top ?? 0;
    for (const item of fresh) {
      const node = this.#draw(item);
      node.classList.add("is-new");
      this.#root.insertBefore(node, this.#firstOlderThan(item));
    }
    if (!anchor) return;
    scrollBy({ top: anchor.getBoundingClientRect().top - topBefore, behavior: "instant" });
    if (scrollY > NEAR_TOP_PX) this.#showHeldBack(this.#heldBack + fresh.length);
  }

  update(id, change) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    Object.assign(entry.item, change);
    paintState(entry.node, entry.item);
  }

  /** Takes an item out; where it held the focus, the neighbour gets it. */
  remove(id) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    const hadFocus = entry.node.contains(document.activeElement);
    const neighbour = entry.node.nextElementSibling ?? entry.node.previousElementSibling;
    entry.node.remove();
    this.#entries.delete(id);
    if (hadFocus) (neighbour?.querySelector("article") ?? byId("main")).focus({ preventScroll: true });
  }

  #draw(item) {
    const node = this.#template.content.firstElementChild.cloneNode(true);
    node.dataset.id = item.id;
    paintContent(node, item);
    paintState(node, item);
    this.#entries.set(item.id, { item, node });
    return node;
  }

  #firstOlderThan(item) {
    for (const node of this.#root.children) {
      if (!(this.#entries.get(node.dataset.id).item.offset > item.offset)) return node;
    }
    return null;
  }

  #firstVisible() {
    return [...this.#root.children].find((node) => node.getBoundingClientRect().bottom > 64) ?? null;
  }

  #readerIsBusy() {
    const pointerIsNear = performance.now() - this.#pointerMovedAt < POINTER_REST_MS;
    return scrollY > NEAR_TOP_PX || pointerIsNear || this.#root.querySelector(":focus-visible") !== null;
  }

  #showHeldBack(count) {
    if (count === this.#heldBack) return;
    this.#heldBack = count;
    this.#pill.hidden = count === 0;
    this.#pill.textContent = `${count} new ↑`;
    this.#pill.setAttribute("aria-label", `${count} new, go to the top`);
  }

  #goToTop() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#root.querySelector("article")?.focus({ preventScroll: true });
    scrollTo({ top: 0, behavior: calm ? "instant" : "smooth" });
    this.#showHeldBack(0);
  }

  #clicked(event) {
    const entry = this.#entryAt(event.target);
    if (!entry) return;
    if (event.target.closest(".act")) return this.#on.opened(entry.item);
    const fold = event.target.closest(".fold");
    if (fold) return unfold(entry.node, fold);
    const button = event.target.closest("button[data-do]");
    if (button) this.#act(entry.item, button.dataset.do);
  }

  #act(item, what) {
    if (what === "toggle" && !item.archived) this.#on.mark(item, item.read ? "unread" : "read");
    // Back from the archive is back into the inbox as something still to be looked at.
    if (what === "archive") this.#on.mark(item, item.archived ? "unread" : "archived");
  }

  /** Letters act only while the focus is inside the list, so that they never surprise dictation or a screen reader. */
  #keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const entry = this.#entryAt(event.target);
    if (!entry) return;
    const neighbour = { j: "nextElementSibling", k: "previousElementSibling" }[event.key];
    if (neighbour) {
      const article = entry.node[neighbour]?.querySelector("article");
      article?.focus({ preventScroll: true });
      article?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "m") this.#act(entry.item, "toggle");
    else if (event.key === "e") this.#act(entry.item, "archive");
    else return;
    event.preventDefault();
  }

  #entryAt(target) {
    return this.#entries.get(target.closest("li")?.dataset.id);
  }
}

function paintContent(node, item) {
  const title = node.querySelector(".title");
  title.textContent = item.title || words(item.type) || "Notification";
  title.id = `title-${item.id}`;
  node.querySelector("article").setAttribute("aria-labelledby", title.id);
  const message = node.querySelector(".message");
  const text = String(item.message ?? "");
  message.textContent = text;
  message.hidden = text === "";
  if (text.length > FOLD_CHARS || text.split("\n", FOLD_LINES + 1).length > FOLD_LINES) {
    message.classList.add("folded");
    node.querySelector(".fold").hidden = false;
  }
  showTime(node.querySelector("time"), item.timestamp);
  paintPriority(node, item.priority);
  node.querySelector(".category").textContent = words(item.category);
  const url = safeUrl(item.action?.url);
  if (!url) return;
  const link = node.querySelector(".act");
  link.href = url;
  link.textContent = item.action.label || "Open";
  node.querySelector(".action").hidden = false;
}

function paintPriority(node, priority) {
  const known = PRIORITIES.includes(priority) ? priority : "medium";
  node.classList.add(`p-${known}`);
  const place = node.querySelector(".priority");
  place.querySelector("use").setAttribute("href", `#i-${known}`);
  place.querySelector("span").textContent = `${known} priority`;
}

function paintState(node, item) {
  const unread = !item.read && !item.archived;
  node.classList.toggle("is-unread", unread);
  node.querySelector(".state-word").textContent = unread ? "Unread" : "";
  const [toggle, archive] = node.querySelectorAll("button[data-do]");
  toggle.hidden = Boolean(item.archived);
  name(toggle, unread ? "Mark as read" : "Mark as unread", unread ? "#i-read" : "#i-unread", item);
  name(archive, item.archived ? "Move to inbox" : "Archive", item.archived ? "#i-restore" : "#i-archive", item);
}

function name(button, label, icon, item) {
  button.title = label;
  button.setAttribute("aria-label", `${label}: ${item.title}`);
  button.querySelector("use").setAttribute("href", icon);
}

function unfold(node, button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  button.textContent = open ? "Show less" : "Show more";
  node.querySelector(".message").classList.toggle("folded", !open);
}
