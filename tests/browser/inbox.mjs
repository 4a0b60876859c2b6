// Drives the release binary and a real browser: what is posted over REST is seen live in the inbox page.
// Usage: BELFRY_BIN=target/release/belfry node tests/browser/inbox.mjs

import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";
import { ADMIN_KEY, House, ROOT, Tally, equal } from "./support/house.mjs";

const BROWSER = process.env.BELFRY_CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = join(ROOT, "target/screenshots");
const LIVE_WITHIN_MS = 2000;
const ADMIN_LOOKS_WITHIN_MS = 12_000;
const COMES_BACK_WITHIN_MS = 20_000;
const AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const HOSTILE = "<img src=x onerror=\"document.title='owned'\">";

const house = new House({ BELFRY_CHANNELS__EMAIL__MODE: "capture", BELFRY_OUTBOUND__ALLOW_CIDRS: '["127.0.0.0/8"]' });
const tally = new Tally();
const { check } = tally;
const heard = { console: [], foreign: [] };
/** While the server is down on purpose, the browser reports the refused connections: that is no defect of the page. */
let serverIsDown = false;

function rest(path, request) {
  return house.rest(path, request);
}

function notify(fields) {
  return rest("/v1/notifications", {
    body: { user_id: "anna", type: "custom", category: "system", priority: "medium", message: "A message.", ...fields },
  });
}

/** Opens a page whose console and requests are watched. */
async function openPage(context, path) {
  const page = await context.newPage();
  page.on("console", (line) => line.type() === "error" && !serverIsDown && heard.console.push(line.text()));
  page.on("pageerror", (error) => heard.console.push(String(error)));
  page.on("request", (sent) => {
    const url = new URL(sent.url());
    if (/^(http|ws)s?:$/.test(url.protocol) && url.host !== new URL(house.base).host) heard.foreign.push(sent.url());
  });
  const response = await page.goto(house.base + path);
  return { page, response };
}

function row(page, title) {
  return page.getByRole("article", { name: title, exact: true });
}

async function isLive(page, withinMs = LIVE_WITHIN_MS) {
  await page.locator('#state[data-state="connected"]').waitFor({ timeout: withinMs });
}

async function unreadIs(page, count) {
  const title = count > 0 ? `(${count}) Inbox – Belfry` : "Inbox – Belfry";
  await page.waitForFunction((wanted) => document.title === wanted, title, { timeout: LIVE_WITHIN_MS }).catch(async () => {
    throw new Error(`the title is “${await page.title()}” instead of “${title}”`);
  });
}

async function axeFindsNothing(page) {
  const { violations } = await new AxeBuilder({ page }).withTags(AXE_RULES).analyze();
  if (violations.length === 0) return;
  const told = violations.map((found) => `${found.impact} ${found.id}: ${found.nodes[0].html.slice(0, 120)}`);
  throw new Error(`${violations.length} violations\n${told.join("\n")}`);
}

async function looks(page, name, { width, height, scheme }) {
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  await check(`axe finds nothing in ${name}`, () => axeFindsNothing(page));
  await check(`${name} does not scroll sideways`, async () => {
    equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "overflow");
  });
}

async function liveChecks(page, token) {
  await check("a workflow event appears without reload", async () => {
    const before = await page.locator("article.item").count();
    const body = { type: "workflow_review_required", workflow_id: "wf-browser", user_id: "anna", stage: "design" };
    await rest("/v1/workflow-events", { body });
    await page.locator("article.item").nth(before).waitFor({ timeout: LIVE_WITHIN_MS });
    await unreadIs(page, 1);
  });
  await check("a notification with an action appears at the top, with its link", async () => {
    await notify({ title: "Deploy waits", priority: "critical", action: { label: "Review", url: "https://example.com/review" } });
    const link = row(page, "Deploy waits").getByRole("link", { name: "Review" });
    await link.waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await link.getAttribute("href"), "https://example.com/review", "href");
    equal((await link.getAttribute("rel")).includes("noopener"), true, "rel=noopener");
    equal(await page.locator("#list .title").first().textContent(), "Deploy waits", "the first title");
    await row(page, "Deploy waits").getByText("critical priority").waitFor({ timeout: LIVE_WITHIN_MS });
    await unreadIs(page, 2);
  });
  await check("it is announced politely", async () => {
    await page.locator("#announcer[aria-live=polite]").getByText("Deploy waits").waitFor({ state: "attached", timeout: LIVE_WITHIN_MS });
  });
  await check("a hostile title is shown as text", async () => {
    await notify({ title: HOSTILE, message: "<script>document.title='owned'</script>" });
    await row(page, HOSTILE).waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await page.locator("#list img, #list script").count(), 0, "elements made of text");
    await unreadIs(page, 3);
  });
  await check("a watched workflow shows its progress", async () => {
    const body = { type: "workflow_update", workflow_id: "wf-browser", stage: "layout", progress: 0.4, status: "running" };
    await rest("/v1/workflow-events", { body });
    const strip = page.getByRole("region", { name: "Workflows in progress" });
    await strip.getByText("layout").waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await strip.getByRole("progressbar").evaluate((bar) => bar.value), 0.4, "progress");
  });
  await check("the unread count agrees with the server", async () => {
    equal((await rest("/v1/users/me/inbox/counts", { token })).unread, 3, "unread");
    equal(await page.locator("#unread-count").textContent(), "3", "the badge");
  });
}

async function markChecks(context, page, token) {
  const { page: second } = await openPage(context, `/inbox#token=${token}`);
  await check("a second tab is live and shows the same", async () => {
    await isLive(second);
    await row(second, "Deploy waits").waitFor({ timeout: LIVE_WITHIN_MS });
    await unreadIs(second, 3);
  });
  await check("marking read by click is kept by the server", async () => {
    await row(page, "Deploy waits").getByRole("button", { name: "Mark as read" }).click();
    await unreadIs(page, 2);
    const unread = await rest("/v1/users/me/inbox?status=unread", { token });
    equal(unread.data.some((item) => item.title === "Deploy waits"), false, "still unread");
    equal((await rest("/v1/users/me/inbox/counts", { token })).unread, 2, "unread");
  });
  await check("the mark reaches the second tab", async () => {
    await unreadIs(second, 2);
    await row(second, "Deploy waits").getByRole("button", { name: "Mark as unread" }).waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await check("the keyboard alone walks the list and marks", async () => {
    await row(page, "Deploy waits").getByRole("button", { name: "Archive" }).focus();
    await page.keyboard.press("k");
    equal(await page.evaluate(() => document.activeElement.querySelector(".title").textContent), HOSTILE, "the focused title");
    await page.keyboard.press("j");
    await page.keyboard.press("m");
    await unreadIs(page, 3);
    await page.keyboard.press("m");
    await unreadIs(page, 2);
  });
  await check("archiving moves it to the archive, in both tabs", async () => {
    await row(page, HOSTILE).getByRole("button", { name: "Archive" }).click();
    await row(second, HOSTILE).waitFor({ state: "detached", timeout: LIVE_WITHIN_MS });
    await second.getByRole("button", { name: "Archived" }).click();
    await row(second, HOSTILE).waitFor({ timeout: LIVE_WITHIN_MS });
    await second.getByRole("button", { name: "All", exact: true }).click();
  });
  await check("mark all read empties the unread list", async () => {
    await page.getByRole("button", { name: "Mark all read" }).click();
    await unreadIs(page, 0);
    await unreadIs(second, 0);
    await page.getByRole("button", { name: /^Unread/ }).click();
    await page.getByText("All caught up").waitFor({ timeout: LIVE_WITHIN_MS });
    await page.getByRole("button", { name: "All", exact: true }).click();
    await row(page, "Deploy waits").waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await second.close();
}

async function restartChecks(page) {
  await check("after kill -9 the page says that it reconnects", async () => {
    serverIsDown = true;
    await house.kill();
    await page.locator('#state[data-state="reconnecting"]').waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await check("it comes back by itself and shows what was posted meanwhile", async () => {
    await house.start();
    await notify({ title: "Sent while you were away", priority: "high" });
    await row(page, "Sent while you were away").waitFor({ timeout: COMES_BACK_WITHIN_MS });
    await isLive(page);
    serverIsDown = false;
    equal(await row(page, "Sent while you were away").count(), 1, "times shown");
    equal(await row(page, "Deploy waits").count(), 1, "what was there before");
    await unreadIs(page, 1);
  });
}

async function otherPageChecks(context) {
  const { page: start } = await openPage(context, "/");
  await check("the start page says that the server is up", async () => {
    await start.getByRole("heading", { name: "Belfry is up" }).waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await looks(start, "start-wide", { width: 1280, height: 860, scheme: "light" });
  await looks(start, "start-phone-dark", { width: 390, height: 844, scheme: "dark" });
  await start.close();
  const { page: captured } = await openPage(context, `/captured#key=${ADMIN_KEY}`);
  await check("a captured mail is shown as its reader would see it", async () => {
    equal(new URL(captured.url()).hash, "", "fragment");
    await captured.getByRole("button", { name: /Deploy waits/ }).click({ timeout: LIVE_WITHIN_MS });
    await captured.getByRole("heading", { name: /Deploy waits/ }).waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await captured.locator("iframe").getAttribute("sandbox"), "", "sandbox");
    await captured.frameLocator("iframe").getByText("A message.").first().waitFor({ timeout: LIVE_WITHIN_MS });
    await captured.screenshot({ path: join(SHOTS, "captured-wide.png") });
  });
  await check("hostile text in a mail stays text", async () => {
    await captured.getByRole("button", { name: /onerror/ }).click({ timeout: LIVE_WITHIN_MS });
    await captured.getByRole("tab", { name: "Text" }).click();
    await captured.getByRole("heading", { name: /onerror/ }).waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await captured.title(), "Captured messages – Belfry", "the title");
  });
  await captured.close();
  const { page: admin } = await openPage(context, `/admin#key=${ADMIN_KEY}`);
  await check("an operator finds a notification and reads what became of it", async () => {
    equal(new URL(admin.url()).hash, "", "fragment");
    await admin.getByRole("cell", { name: "email", exact: true }).waitFor({ timeout: LIVE_WITHIN_MS });
    await admin.getByRole("button", { name: /Deploy waits/ }).first().click({ timeout: LIVE_WITHIN_MS });
    await admin.getByRole("heading", { name: /Deploy waits/ }).waitFor({ timeout: LIVE_WITHIN_MS });
    await admin.getByText(/stored in the inbox/).waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await check("an endpoint that is called no more is told of in a banner", async () => {
    const gone = createServer((_, answer) => answer.writeHead(410).end()).listen(0, "127.0.0.1");
    await once(gone, "listening");
    const url = `http://127.0.0.1:${gone.address().port}/gone`;
    await rest("/v1/endpoints", { body: { url, events: ["notification.accepted"] } });
    await notify({ title: "For an endpoint that is gone" });
    await admin.getByRole("listitem").filter({ hasText: `${url}: gone` }).waitFor({ timeout: ADMIN_LOOKS_WITHIN_MS });
    gone.close();
  });
  await looks(admin, "admin-wide", { width: 1280, height: 860, scheme: "light" });
  await looks(admin, "admin-phone-dark", { width: 390, height: 844, scheme: "dark" });
  await admin.close();
  const { page: door } = await openPage(context, "/inbox#token=not-a-token");
  await check("a token that is no token leads to the door with a reason", async () => {
    await door.getByRole("alert").getByText("does not accept this token").waitFor({ timeout: LIVE_WITHIN_MS });
    await door.getByLabel("User token").waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await door.close();
}

async function run() {
  mkdirSync(SHOTS, { recursive: true });
  await house.start();
  await rest("/v1/users/anna", { method: "PUT", body: { email: "anna@example.com" } });
  const { token } = await rest("/v1/users/anna/tokens", { body: { expires_in: 3600, workflows: ["wf-browser"] } });
  const browser = await chromium.launch({ executablePath: BROWSER, args: BROWSER_FLAGS });
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
    const { page, response } = await openPage(context, `/inbox#token=${token}`);
    await check("the page comes with a strict policy", async () => {
      const policy = response.headers()["content-security-policy"] ?? "";
      equal(policy.includes("default-src 'none'") && policy.includes("script-src 'self'") && !policy.includes("unsafe"), true, policy);
    });
    await check("the token leaves the address bar at once", async () => {
      equal(new URL(page.url()).hash, "", "fragment");
    });
    await check("the page goes live", () => isLive(page));
    await liveChecks(page, token);
    await markChecks(context, page, token);
    await restartChecks(page);
    await looks(page, "inbox-wide", { width: 1280, height: 860, scheme: "light" });
    await looks(page, "inbox-dark", { width: 1280, height: 860, scheme: "dark" });
    await looks(page, "inbox-phone", { width: 390, height: 844, scheme: "light" });
    await looks(page, "inbox-phone-dark", { width: 390, height: 844, scheme: "dark" });
    await looks(page, "inbox-narrow", { width: 320, height: 640, scheme: "light" });
    await check("no errors in the console", async () => equal(heard.console, [], "console"));
    await otherPageChecks(context);
    await check("no request leaves for another host", async () => equal(heard.foreign, [], "requests"));
  } finally {
    await browser.close();
  }
}

try {
  await run();
} catch (error) {
  tally.fail("the run itself", error.stack);
} finally {
  await house.end();
}
tally.end();
