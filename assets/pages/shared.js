// What every page needs: secrets that stay out of URLs, requests that explain their failures, and times people can read.

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DAY_WITH_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

/** The element with this id; pages and scripts ship together, so a missing one is a defect that should be loud. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id} in this page`);
  return element;
}

/**
 * Reads `#name=value&…` once and wipes it from the address bar and the history entry, so that a secret is neither
 * bookmarked nor shown to whoever looks over a shoulder. An ordinary anchor such as `#list` is left alone.
 */
export function takeFragment(secretName) {
  const values = new URLSearchParams(location.hash.slice(1));
  if (!values.has(secretName)) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return values;
}

/** A value kept for this tab only; where the browser refuses storage it lives as long as the page. */
export function tabValue(key) {
  let inMemory = null;
  return {
    get() {
      try {
        return sessionStorage.getItem(key) ?? inMemory;
      } catch {
        return inMemory;
      }
    },
    set(value) {
      inMemory = value;
      try {
        if (value === null) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, value);
      } catch {
        // Storage may be switched off; the copy in memory serves until the page is closed.
      }
    },
  };
}

/** What people paste is a bare secret, a whole link with `#name=…`, or a header line with `Bearer`. */
export function pastedSecret(text, name) {
  const trimmed = text.trim();
  const at = trimmed.indexOf("#");
  if (at >= 0) return new URLSearchParams(trimmed.slice(at + 1)).get(name) ?? "";
  return trimmed.replace(/^(authorization:\s*)?bearer\s+/i, "");
}

/** A request that did not succeed; `status` is 0 when no answer came at all. */
export class RequestFailed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Sends a request with the secret as a bearer token and returns the parsed JSON, or throws `RequestFailed`. */
export async function request(path, secret, body) {
  const headers = { accept: "application/json", authorization: `Bearer ${secret}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
    });
  } catch {
    throw new RequestFailed(0, "The server did not answer.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new RequestFailed(response.status, answer?.detail || answer?.title || `The server answered ${response.status}.`);
}

/** Only web addresses become links; `javascript:` and its relatives do not. */
export function safeUrl(text) {
  if (typeof text !== "string" || !URL.canParse(text)) return null;
  const url = new URL(text);
  return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
}

/** "now", "5 min. ago", "yesterday", "12 Nov". */
export function relativeTime(date, now = new Date()) {
  const seconds = Math.round((date - now) / 1000);
  const age = Math.abs(seconds);
  if (age < 45) return "now";
  if (age < 3600) return RELATIVE.format(Math.round(seconds / 60), "minute");
  if (age < 86_400) return RELATIVE.format(Math.round(seconds / 3600), "hour");
  if (age < 7 * 86_400) return RELATIVE.format(Math.round(seconds / 86_400), "day");
  return (date.getFullYear() === now.getFullYear() ? DAY_OF_YEAR : DAY_WITH_YEAR).format(date);
}

/** Fills a `<time>` with the relative time and puts the exact one into its title and `datetime`. */
export function showTime(element, timestamp) {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) {
    element.textContent = "";
    return;
  }
  element.dateTime = date.toISOString();
  element.title = EXACT.format(date);
  element.textContent = relativeTime(date);
}

/** Keeps the relative times below `root` true while the page stays open. */
export function keepTimesFresh(root) {
  setInterval(() => {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const text = relativeTime(new Date(element.dateTime));
      if (element.textContent !== text) element.textContent = text;
    }
  }, 20_000);
}

/** `snake_case` from the wire as words for people. */
export function words(name) {
  return String(name ?? "").replaceAll("_", " ");
}
