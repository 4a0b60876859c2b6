// <belfry-inbox> on a foreign site, in a real Chromium: what it says and offers about notifications while the page is
// closed, in every state that a browser can be in, and what its service worker shows.
// Usage: BELFRY_BIN=target/release/belfry node tests/browser/component_push.mjs

import { createECDH, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";
import { House, ROOT, Tally, equal, until } from "./support/house.mjs";

const BROWSER = process.env.BELFRY_CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = join(ROOT, "target/screenshots");
const WITHIN_MS = 5000;
const BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP shop.test 127.0.0.1"];

const tally = new Tally();
const { check } = tally;

/** A shop with the component on its pages, and the one line that a service worker of its own takes. */
class Shop {
  #server;
  async open() {
    this.#server = createServer((request, response) => {
      const { pathname } = new URL(request.url, this.base);
      const worker = pathname === "/belfry-sw.js";
      response.setHeader("content-type", worker ? "text/javascript" : "text/html; charset=utf-8");
      response.setHeader("content-security-policy", `default-src 'none'; script-src ${this.belfry}; connect-src ${this.belfry} ${this.belfry.replace("http", "ws")}; worker-src 'self'; img-src data: ${this.belfry}`);
      response.end(worker ? `importScripts("${this.belfry}/sw.js");` : this.#page(pathname));
    }).listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.base = `http://127.0.0.1:${this.#server.address().port}`;
  }

  #page(pathname) {
    const attributes = { "/orders": `push-worker="/belfry-sw.js"`, "/quiet": `push="off"` }[pathname] ?? "";
    return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<script type="module" src="${this.belfry}/inbox.js"></script></head>
<body><main><h1>Orders</h1><belfry-inbox token="${this.token}" ${attributes}></belfry-inbox></main></body></html>`;
  }

  close() {
    this.#server.close();
  }
}

/** Headless Chromium has no push service: what the browser would answer is put in its place, in the page alone. */
function browserWithPush({ p256dh, auth, endpoint }) {
  let subscription = null;
  PushManager.prototype.getSubscription = async () => subscription;
  PushManager.prototype.subscribe = async () => {
    subscription = {
      endpoint,
      options: { applicationServerKey: null },
      toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh, auth } }),
      unsubscribe: async () => Boolean((subscription = null)) || true,
    };
    return subscription;
  };
}

async function openPanel(context, url) {
  const page = await context.newPage();
  const heard = [];
  page.on("pageerror", (error) => heard.push(String(error)));
  await page.goto(url);
  await page.getByRole("button", { name: /^Notifications/ }).click({ timeout: WITHIN_MS });
  const offer = page.locator("belfry-inbox .push");
  return { page, offer, heard };
}

async function stateIs(offer, state) {
  await offer.and(offer.page().locator(`belfry-inbox .push[data-state="${state}"]`)).waitFor({ timeout: WITHIN_MS });
}

async function states(browser, shop) {
  const spoiled = {
    denied: () => Object.defineProperty(Notification, "permission", { get: () => "denied" }),
    unsupported: () => delete globalThis.PushManager,
  };
  for (const [state, spoil] of Object.entries(spoiled)) {
    const context = await browser.newContext();
    await context.grantPermissions(["notifications"], { origin: shop.base });
    await context.addInitScript(spoil);
    const { page, offer, heard } = await openPanel(context, `${shop.base}/orders`);
    await check(`${state}: it says so and offers no button`, async () => {
      await stateIs(offer, state);
      equal(await offer.getByRole("button").count(), 0, "buttons");
      equal((await offer.getByRole("status").textContent()).length > 20, true, "a text");
      equal(heard, [], "errors");
    });
    await page.screenshot({ path: join(SHOTS, `component-push-${state}.png`) });
    await context.close();
  }
  const context = await browser.newContext();
  await check("insecure: it says so and offers no button", async () => {
    const { offer } = await openPanel(context, `${shop.base.replace("127.0.0.1", "shop.test")}/orders`);
    await stateIs(offer, "insecure");
    equal(await offer.getByRole("button").count(), 0, "buttons");
  });
  await check("without a worker of the site it leads to the inbox page, signed in", async () => {
    const { page, offer } = await openPanel(context, `${shop.base}/elsewhere`);
    await stateIs(offer, "elsewhere");
    await page.screenshot({ path: join(SHOTS, "component-push-elsewhere.png") });
    const [opened] = await Promise.all([context.waitForEvent("page"), offer.getByRole("link", { name: "Enable notifications" }).click()]);
    await opened.waitForURL(`${shop.belfry}/inbox`, { timeout: WITHIN_MS });
    await opened.locator("#push").waitFor({ timeout: WITHIN_MS });
    equal(await opened.evaluate(() => window.opener), null, "the opener");
  });
  await check("a page that wants none of it has none", async () => {
    const { page, offer } = await openPanel(context, `${shop.base}/quiet`);
    await page.locator('belfry-inbox .bell[data-state="connected"]').waitFor({ timeout: WITHIN_MS });
    equal(await offer.isVisible(), false, "the offer");
  });
  await context.close();
}

async function enabling(browser, house, shop) {
  const keys = createECDH("prime256v1");
  const subscription = { endpoint: "https://1.1.1.1/push/shop", p256dh: keys.generateKeys("base64url"), auth: randomBytes(16).toString("base64url") };
  const context = await browser.newContext({ viewport: { width: 900, height: 640 } });
  await context.grantPermissions(["notifications"], { origin: shop.base });
  await context.addInitScript(browserWithPush, subscription);
  const { page, offer, heard } = await openPanel(context, `${shop.base}/orders`);
  const browsers = async () => (await house.rest("/v1/users/shopper/push-subscriptions")).data;
  await check("off: it offers to enable notifications, and the keyboard reaches it", async () => {
    await stateIs(offer, "off");
    await page.screenshot({ path: join(SHOTS, "component-push-off.png") });
    const { violations } = await new AxeBuilder({ page }).analyze();
    equal(violations.map(({ id }) => id), [], "axe");
    await offer.getByRole("button", { name: "Enable notifications" }).focus();
    await page.keyboard.press("Enter");
    await stateIs(offer, "on");
  });
  await check("on: the server knows the browser, and the person gets pushes", async () => {
    equal((await browsers()).map(({ endpoint }) => new URL(endpoint).host), ["1.1.1.1"], "browsers");
    const wants = await house.rest("/v1/users/shopper/preferences");
    equal(wants.channels.browser_push, true, "the preference");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.screenshot({ path: join(SHOTS, "component-push-on-dark.png") });
  });
  await check("the worker has a scope of its own, and shows what is pushed with the server's mark", async () => {
    equal(await page.evaluate(() => navigator.serviceWorker.getRegistrations().then((all) => all.map(({ scope }) => new URL(scope).pathname))), ["/belfry-push/"], "scopes");
    const devtools = await context.newCDPSession(page);
    const registered = new Promise((resolve) => devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && resolve(registrations[0])));
    await devtools.send("ServiceWorker.enable");
    const { registrationId } = await registered;
    const note = { id: "n1", title: "Your parcel is here", message: "At the door.", priority: "high", timestamp: new Date().toISOString() };
    await devtools.send("ServiceWorker.deliverPushMessage", { origin: shop.base, registrationId, data: JSON.stringify(note) });
    const shown = () => page.evaluate(async () => {
      const registration = await navigator.serviceWorker.getRegistration("/belfry-push/");
      return (await registration.getNotifications()).map(({ title, body, icon }) => ({ title, body, icon }));
    });
    await until("it to be shown", async () => (await shown()).length === 1, WITHIN_MS);
    equal(await shown(), [{ title: "Your parcel is here", body: "At the door.", icon: `${shop.belfry}/assets/mark.svg` }], "shown");
  });
  await check("turned off, the server forgets the browser", async () => {
    await offer.getByRole("button", { name: "Turn them off" }).click();
    await stateIs(offer, "off");
    equal(await browsers(), [], "browsers");
    equal(heard, [], "errors");
  });
  await context.close();
}

const shop = new Shop();
let house = null;
let browser = null;
try {
  mkdirSync(SHOTS, { recursive: true });
  await shop.open();
  house = new House({ BELFRY_CHANNELS__EMAIL__MODE: "capture", BELFRY_SERVER__ALLOWED_ORIGINS: `["${shop.base}"]` });
  await house.start();
  shop.belfry = house.base;
  shop.token = await house.token("shopper");
  await house.notify("shopper", "Your order is on its way", { message: "It left the warehouse this morning." });
  browser = await chromium.launch({ executablePath: BROWSER, args: BROWSER_FLAGS });
  await states(browser, shop);
  await enabling(browser, house, shop);
} catch (error) {
  tally.fail("the run itself", error.stack);
} finally {
  await browser?.close();
  shop.close();
  await house?.end();
}
tally.end();
