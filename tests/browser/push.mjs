// End to end with a real Firefox: a person enables notifications in the inbox page, and what is posted over REST is shown
// by the service worker, decrypted by the browser, while no page of ours is open as well.
// Usage: BELFRY_BIN=target/release/belfry node tests/browser/push.mjs

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Firefox } from "./support/firefox.mjs";
import { House, ROOT, Tally, equal, until } from "./support/house.mjs";
import { PushService } from "./support/push_service.mjs";

const SHOTS = join(ROOT, "target/screenshots");
const SHOWN_WITHIN_MS = 15_000;

const service = new PushService();
const tally = new Tally();
const { check } = tally;
let firefox = null;
let house = null;
let page = null;

function notify(title, fields = {}) {
  return house.notify("anna", title, { channels: ["browser_push"], ...fields });
}

/** What the service worker shows, as the page may ask it. */
async function shown(title) {
  const all = await page.evaluate(`navigator.serviceWorker.getRegistration("/").then((r) => r.getNotifications())
    .then((all) => JSON.stringify(all.map(({ title, body, tag, data }) => ({ title, body, tag, data }))))`);
  return JSON.parse(all).find((note) => note.title === title) ?? null;
}

async function offerSays(state) {
  const look = () => page.evaluate(`document.getElementById("push").dataset.state`);
  await until(`the offer to be ${state}`, async () => (await look()) === state, SHOWN_WITHIN_MS);
}

async function shoot(name) {
  mkdirSync(SHOTS, { recursive: true });
  writeFileSync(join(SHOTS, `${name}.png`), await page.screenshot());
}

try {
  await service.start();
  house = new House({
    BELFRY_CHANNELS__EMAIL__MODE: "capture",
    BELFRY_OUTBOUND__ALLOW_CIDRS: '["127.0.0.0/8"]',
    BELFRY_RETRY__BROWSER_PUSH__SCHEDULE: '["200ms", "200ms"]',
  });
  await house.start();
  firefox = new Firefox(service.url);
  await firefox.start();
  // A secure context without a certificate is to be had under this name.
  const site = house.base.replace("127.0.0.1", "localhost");
  page = await firefox.open(`${site}/inbox#token=${await house.token("anna")}`);

  await check("the inbox offers notifications that are not on yet", async () => {
    await offerSays("off");
    await shoot("push-off");
  });

  await check("one click subscribes the browser and turns the person's preference on", async () => {
    await page.evaluate(`document.getElementById("push-do").click()`);
    await offerSays("on");
    await shoot("push-on");
    equal((await house.rest("/v1/users/anna/push-subscriptions")).data.length, 1, "subscriptions");
    equal((await house.rest("/v1/users/anna/preferences")).channels.browser_push, true, "the preference");
  });

  await check("a notification is shown by the service worker as it was posted", async () => {
    await notify("Grüße ✓ 🔔", { message: "Line one\nline two", action: { label: "Look", url: "/inbox" } });
    const note = await until("the notification", () => shown("Grüße ✓ 🔔"), SHOWN_WITHIN_MS);
    equal(note.body, "Line one\nline two", "the text");
    equal(note.data.url, "/inbox", "where it leads");
  });

  await check("the push service saw a valid signature, a lifetime and an urgency", async () => {
    const [post] = service.posts;
    equal(post.status, 201, `the answer (${post.why})`);
    equal(post.headers.urgency, "normal", "Urgency");
    equal(post.headers.ttl, String(7 * 24 * 3600), "TTL");
  });

  await check("a message of the largest size arrives, cut to fit", async () => {
    await notify("Large", { message: "ü".repeat(8000) });
    const note = await until("the notification", () => shown("Large"), SHOWN_WITHIN_MS);
    equal(note.body.endsWith("…"), true, "an end that shows that it was cut");
  });

  await check("a service that fails is tried again", async () => {
    service.next = [503, 429];
    await notify("Third time lucky");
    await until("the notification", () => shown("Third time lucky"), SHOWN_WITHIN_MS);
  });

  await check("what is pushed while no page is open is there when one is opened again", async () => {
    await page.go("about:blank");
    const before = service.acknowledged;
    await notify("While you were away");
    await until("the browser to take it", () => service.acknowledged > before, SHOWN_WITHIN_MS);
    await page.go(`${site}/inbox`);
    await until("the notification", () => shown("While you were away"), SHOWN_WITHIN_MS);
  });

  await check("turning it off leaves nothing to push to", async () => {
    await offerSays("on");
    await page.evaluate(`document.getElementById("push-do").click()`);
    await offerSays("off");
    equal((await house.rest("/v1/users/anna/push-subscriptions")).data.length, 0, "subscriptions");
    const { notification_id: id } = await notify("Nobody there");
    const status = await house.rest(`/v1/notifications/${id}/status`);
    equal(status.channel_statuses[0].reason, "no_address", "the reason");
  });
} catch (error) {
  tally.fail("the run itself", error.stack);
} finally {
  await firefox?.end();
  await house?.end();
  service.end();
}
tally.end();
