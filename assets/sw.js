// The service worker: shows what is pushed while no page is open, brings the right page to the front when it is clicked,
// and registers the browser anew when its push service gives it another address.
//
// It keeps no token. What it has to know is the subscription that the server knows it by, which push.js puts into this
// cache: whoever holds the secrets of the old subscription may replace it by a new one.
//
// A page of another site has it by a file of that site, `importScripts("https://belfry.example/sw.js");`, which is
// registered with the server and the site's own page in its address: `?server=https://belfry.example&home=/orders`.

const KEPT = "belfry-push";
const KEPT_AS = "/push-subscription";
const GIVEN = new URL(self.location.href).searchParams;
const SERVER = GIVEN.get("server") ?? self.location.origin;
/** Where a notification without a link of its own leads. */
const HOME = GIVEN.get("home") ?? "/inbox";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(read(event.data))));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  if (event.action !== "dismiss") event.waitUntil(open(event.notification.data, event.action));
});
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event)));

/** A browser wants something to be shown for every message, so one that cannot be read is shown as well. */
function read(data) {
  try {
    const note = data.json();
    if (typeof note?.title === "string") return note;
  } catch {
    // Not one of ours.
  }
  return { title: "New notification", message: "", priority: "medium" };
}

async function show(note) {
  const actions = note.action ? [{ action: "follow", title: note.action.label }, { action: "dismiss", title: "Dismiss" }] : [];
  await self.registration.showNotification(note.title, {
    body: note.message,
    tag: note.tag ?? note.id,
    // One that takes the place of an older one is news all the same.
    renotify: Boolean(note.tag ?? note.id),
    timestamp: Date.parse(note.timestamp) || Date.now(),
    requireInteraction: note.priority === "critical",
    silent: note.priority === "low",
    icon: new URL("/assets/mark.svg", SERVER).href,
    actions,
    data: { id: note.id, url: note.action?.url },
  });
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages) page.postMessage({ type: "belfry-push", id: note.id, title: note.title });
}

/** The button leads where it says; the notification itself leads there too, or home. */
async function open(data, action) {
  const wanted = target(data?.url) ?? new URL(HOME, self.location.origin);
  if (wanted.origin !== self.location.origin) return self.clients.openWindow(wanted.href);
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = pages.find((page) => new URL(page.url).pathname === wanted.pathname);
  if (there) {
    await there.focus();
    there.postMessage({ type: "belfry-open", id: data?.id, action });
    return null;
  }
  return self.clients.openWindow(wanted.href);
}

function target(url) {
  if (!url) return null;
  try {
    const found = new URL(url, self.location.origin);
    return /^https?:$/.test(found.protocol) ? found : null;
  } catch {
    return null;
  }
}

async function renew(event) {
  const cache = await caches.open(KEPT);
  const kept = await cache.match(KEPT_AS).then((found) => found?.json()).catch(() => null);
  const old = event.oldSubscription?.toJSON() ?? kept;
  const fresh = event.newSubscription ?? (await subscribeAnew());
  if (!old || !fresh) return;
  const subscription = { ...fresh.toJSON(), applicationServerKey: encode(fresh.options.applicationServerKey) };
  const response = await fetch(new URL("/v1/push/renew", SERVER), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ old, subscription }),
  });
  if (response.ok) await cache.put(KEPT_AS, new Response(JSON.stringify(subscription)));
}

/** With the key that the server has now, whichever the old one was made for. */
async function subscribeAnew() {
  const { public_key: key } = await (await fetch(new URL("/v1/push/vapid-public-key", SERVER))).json();
  return self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

function encode(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
