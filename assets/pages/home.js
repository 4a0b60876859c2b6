// The start page: asks the server how it is, and hands out commands that fit its address.

import { byId } from "./shared.js";

const ASK_EVERY_MS = 10_000;
const COPIED_SHOWN_MS = 1600;
const WORDS = {
  up: ["Belfry is up", "It takes notifications over HTTP and delivers them live, and never loses one it accepted."],
  unready: ["Not ready", "The process runs but does not take work right now:"],
  down: ["No answer", "The server cannot be reached from this browser. Is it still running?"],
};

async function askReadiness() {
  try {
    const response = await fetch("/readyz", { cache: "no-store", headers: { accept: "application/json" } });
    const text = await response.text();
    show(response.ok ? "up" : "unready", parsed(text) ?? { reasons: response.ok ? [] : [text.slice(0, 500)] });
  } catch {
    show("down", {});
  }
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function show(state, report) {
  byId("status").dataset.state = state;
  const [title, text] = WORDS[state];
  // Written only when it changes: this heading is read out.
  if (byId("status-title").textContent !== title) byId("status-title").textContent = title;
  byId("status-text").textContent = text;
  if (report.version) byId("version").textContent = report.version;
  byId("uptime").textContent = duration(report.uptime_seconds ?? report.uptime);
  showReasons(state === "unready" ? [report.reasons ?? report.detail ?? []].flat() : []);
}

function showReasons(reasons) {
  const lines = reasons.map((reason) => {
    const line = document.createElement("li");
    line.textContent = typeof reason === "string" ? reason : (reason?.detail ?? reason?.reason ?? JSON.stringify(reason));
    return line;
  });
  byId("reasons").replaceChildren(...lines);
  byId("reasons").hidden = lines.length === 0;
}

/** Seconds as "3 d 4 h", "4 h 12 min" or "58 s"; a text is shown as it is. */
function duration(uptime) {
  if (typeof uptime === "string") return uptime;
  if (!Number.isFinite(uptime)) return "–";
  const minutes = Math.floor(uptime / 60);
  const hours = Math.floor(minutes / 60);
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.floor(uptime)} s`;
}

async function copy(button) {
  const text = byId(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    byId("copied").textContent = "Copied";
  } catch {
    // Without a secure origin there is no clipboard: the text is selected for the keyboard instead.
    getSelection().selectAllChildren(byId(button.dataset.copy));
    button.textContent = "Selected";
  }
  setTimeout(() => {
    button.textContent = "Copy";
    byId("copied").textContent = "";
  }, COPIED_SHOWN_MS);
}

for (const place of document.querySelectorAll("[data-origin]")) place.textContent = location.origin;
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
setInterval(() => document.visibilityState === "visible" && askReadiness(), ASK_EVERY_MS);
askReadiness();
