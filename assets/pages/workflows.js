// The strip that shows running workflows: one line each with its stage and a progress bar.

import { byId, words } from "./shared.js";

/** More than this at once is a dashboard, not a glance; the oldest makes room. */
const SHOWN_MAX = 3;
/** A workflow that rests, for good or until somebody reviews it, stays long enough to be noticed. */
const RESTING_STAYS_MS = 8000;
const RESTING = ["completed", "failed", "canceled", "review_required"];

export class Workflows {
  #dock = byId("dock");
  #list = byId("workflows");
  #template = byId("workflow");
  #rows = new Map();

  show(frame) {
    const id = String(frame.workflow_id ?? "");
    if (!id) return;
    const row = this.#rows.get(id) ?? this.#add(id);
    clearTimeout(row.timer);
    const status = String(frame.status ?? "running");
    row.node.className = RESTING.includes(status) ? status : "";
    row.node.querySelector(".flow-status").textContent = words(status);
    row.node.querySelector(".flow-text").textContent = [words(frame.stage), frame.message].filter(Boolean).join(" · ");
    const bar = row.node.querySelector("progress");
    if (Number.isFinite(frame.progress)) bar.value = Math.min(1, Math.max(0, frame.progress));
    if (status === "completed") bar.value = 1;
    if (RESTING.includes(status)) row.timer = setTimeout(() => this.#remove(id), RESTING_STAYS_MS);
  }

  clear() {
    for (const id of [...this.#rows.keys()]) this.#remove(id);
  }

  #add(id) {
    if (this.#rows.size >= SHOWN_MAX) this.#remove(this.#rows.keys().next().value);
    const node = this.#template.content.firstElementChild.cloneNode(true);
    node.querySelector(".flow-name").textContent = id;
    node.querySelector("progress").setAttribute("aria-label", `Progress of ${id}`);
    const close = node.querySelector("button");
    close.setAttribute("aria-label", `Hide ${id}`);
    close.addEventListener("click", () => this.#remove(id));
    this.#list.append(node);
    this.#dock.hidden = false;
    const row = { node, timer: 0 };
    this.#rows.set(id, row);
    return row;
  }

  #remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    clearTimeout(row.timer);
    row.node.remove();
    this.#rows.delete(id);
    this.#dock.hidden = this.#rows.size === 0;
  }
}
