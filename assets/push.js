// Notifications of this browser: what is in the way of them, how to turn them on, and how to turn them off again.
//
// A service worker serves its own origin alone. A page of the server itself has `/sw.js`; a page of another site needs a
// file of that site, which may be one line: `importScripts("https://belfry.example/sw.js");`. It is registered for a
// scope of its own, so that it takes the place of no worker that the site has already.

const KEPT = "belfry-push";
const KEPT_AS = "/push-subscription";
/** What is said of each state. */
export const PUSH_TEXTS = {
  off: "This browser can show notifications while the inbox is closed.",
  on: "This browser shows notifications while the inbox is closed.",
  denied: "Notifications are blocked for this site. Allow them in the browser’s settings for the site, then load this page again.",
  unsupported: "This browser cannot show notifications while the inbox is closed. On an iPhone or iPad, add this page to the home screen first.",
  insecure: "Notifications while the inbox is closed need a connection over https.",
};
/** What the button does, in the states that it can change. */
export const PUSH_BUTTONS = { off: "Enable notifications", on: "Turn them off" };

/** Where pages of the server itself find their service worker. */
const OWN = { script: "/sw.js", scope: "/" };

/**
 * The service worker of another site's page: its file there, and the server that it speaks to. A click on what it shows
 * leads to `home`, a page of the site.
 */
export function foreignWorker(path, server, home) {
  const script = new URL(path, location.href);
  script.searchParams.set("server", server);
  script.searchParams.set("home", home);
  return { script: script.href, scope: new URL("belfry-push/", script).pathname };
}

/** A service worker that takes longer than this to start does not start. */
const READY_WITHIN_MS = 10_000;

/**
 * Where this browser stands:
 *   `insecure`     the page came without https, and is not on this machine
 *   `unsupported`  the browser has no Web Push (or keeps it for sites on the home screen)
 *   `denied`       the reader has said no; only they can take it back, in the browser's settings
 *   `off`          it can be turned on
 *   `on`           it is on
 */
export async function pushState(worker = OWN) {
  if (!globalThis.isSecureContext) return "insecure";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  const subscription = await (await registered(worker))?.pushManager.getSubscription();
  return subscription && Notification.permission === "granted" ? "on" : "off";
}

/** Asks the reader, subscribes, and tells the server whose browser this is. Answers the state that it came to. */
export async function enablePush(token, base = "", worker = OWN) {
  if ((await Notification.requestPermission()) !== "granted") return pushState(worker);
  const registration = await navigator.serviceWorker.register(worker.script, { scope: worker.scope });
  await inTime(active(registration));
  const { public_key: key } = await ask(`${base}/v1/push/vapid-public-key`);
  const subscription = await subscribe(registration, key);
  const told = { ...subscription.toJSON(), applicationServerKey: encode(subscription.options.applicationServerKey) ?? key };
  await ask(`${base}/v1/users/me/push-subscriptions`, { token, method: "POST", body: told });
  await ask(`${base}/v1/users/me/preferences`, { token, method: "PATCH", body: { channels: { browser_push: true } } });
  // For the service worker, which has no token when the browser's address changes.
  await (await caches.open(KEPT)).put(KEPT_AS, new Response(JSON.stringify(told)));
  return "on";
}

/** Turns this browser's notifications off; those of the reader's other browsers stay. */
export async function disablePush(token, base = "", worker = OWN) {
  const subscription = await (await registered(worker))?.pushManager.getSubscription();
  if (!subscription) return pushState(worker);
  const endpoint = encodeURIComponent(subscription.endpoint);
  await subscription.unsubscribe();
  await caches.delete(KEPT);
  await ask(`${base}/v1/users/me/push-subscriptions?endpoint=${endpoint}`, { token, method: "DELETE" }).catch((error) => {
    // The server forgets it by itself once the push service says that it is gone.
    if (error.status !== 404) throw error;
  });
  return "off";
}

/** The registration for exactly the worker's scope; one for a wider scope is another worker's. */
async function registered({ scope }) {
  const found = await navigator.serviceWorker.getRegistration(scope);
  return found && new URL(found.scope).pathname === scope ? found : undefined;
}

/** Settles once the registration has a worker that runs; `serviceWorker.ready` is about the page's own scope. */
function active(registration) {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("The browser did not start the service worker."));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/** The subscription that there is, or a new one. One that was made for a key that is gone cannot be used any more. */
async function subscribe(registration, key) {
  const options = { userVisibleOnly: true, applicationServerKey: key };
  const before = await registration.pushManager.getSubscription();
  if (before) return before;
  try {
    return await registration.pushManager.subscribe(options);
  } catch (error) {
    if (error.name !== "InvalidStateError") throw error;
    await (await registration.pushManager.getSubscription())?.unsubscribe();
    return registration.pushManager.subscribe(options);
  }
}

async function ask(url, { token, method = "GET", body } = {}) {
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(body && { "content-type": "application/json" }) };
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (response.ok) return answer;
  throw Object.assign(new Error(answer?.detail ?? `The server answered ${response.status}.`), { status: response.status });
}

function encode(buffer) {
  if (!buffer) return undefined;
  return btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function inTime(promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error("The browser did not start the service worker.")), READY_WITHIN_MS);
  });
  return Promise.race([promise, late]);
}
