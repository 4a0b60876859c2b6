// Notifications of this browser: what is in the way of them, how to turn them on, and how to turn them off again.
// For pages on the server's own origin, since a service worker serves no other.

const KEPT = "belfry-push";
const KEPT_AS = "/push-subscription";
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
export async function pushState() {
  if (!globalThis.isSecureContext) return "insecure";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  const registration = await navigator.serviceWorker.getRegistration("/");
  const subscription = await registration?.pushManager.getSubscription();
  return subscription && Notification.permission === "granted" ? "on" : "off";
}

/** Asks the reader, subscribes, and tells the server whose browser this is. Answers the state that it came to. */
export async function enablePush(token, base = "") {
  if ((await Notification.requestPermission()) !== "granted") return pushState();
  await navigator.serviceWorker.register("/sw.js");
  const registration = await inTime(navigator.serviceWorker.ready);
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
export async function disablePush(token, base = "") {
  const registration = await navigator.serviceWorker.getRegistration("/");
  const subscription = await registration?.pushManager.getSubscription();
  if (!subscription) return pushState();
  const endpoint = encodeURIComponent(subscription.endpoint);
  await subscription.unsubscribe();
  await caches.delete(KEPT);
  await ask(`${base}/v1/users/me/push-subscriptions?endpoint=${endpoint}`, { token, method: "DELETE" }).catch((error) => {
    // The server forgets it by itself once the push service says that it is gone.
    if (error.status !== 404) throw error;
  });
  return "off";
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
