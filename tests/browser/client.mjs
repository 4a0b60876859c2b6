// Drives the release binary with client.js, in plain Node and in a real browser, and with <belfry-inbox> on a foreign site.
// Usage: BELFRY_BIN=target/release/belfry node tests/browser/client.mjs

import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";
import WebSocket from "ws";
import { BelfryClient } from "../../assets/client.js";
import { House, ROOT, Tally, Tunnel, equal, until } from "./support/house.mjs";

const BROWSER = process.env.BELFRY_CHROMIUM ?? "/usr/bin/chromium";
const BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const SHOTS = join(ROOT, "target/screenshots");
const AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const HOSTILE = "<img src=x onerror=\"document.title='owned'\">";
const LIVE_WITHIN_MS = 2_000;
const COMES_BACK_WITHIN_MS = 10_000;
/** Long enough for two tries at 50 ms and at 100 ms, spread by a half. */
const ATTEMPTS = 2;

const tally = new Tally();
const { check } = tally;
const accidents = [];
process.on("unhandledRejection", (reason) => accidents.push(String(reason?.stack ?? reason)));

// --- the same questions to a client in Node and to one in a page ----------------------------------------------------

/** Everything that a client said, in order. Runs in Node and, as text, in the page. */
function listenTo(client) {
  const heard = { client, ids: [], replays: 0, states: [], errors: [], updates: [], inbox: [], hellos: [] };
  client.on("notification", (frame) => {
    heard.ids.push(frame.id);
    if (frame.replay) heard.replays += 1;
  });
  client.on("state", (change) => heard.states.push(change));
  client.on("error", (error) => heard.errors.push({ code: error.code, message: error.message }));
  client.on("workflow_update", (frame) => heard.updates.push(frame));
  client.on("inbox", (frame) => heard.inbox.push(frame));
  client.on("hello", (frame) => heard.hellos.push(frame));
  return heard;
}

/** A client in this process. */
class InNode {
  name = "in Node";
  wakenings = [];

  async open(url, token, options = {}) {
    const client = new BelfryClient({ url, token, WebSocket, ...options });
    this.heard = listenTo(client);
    await client.connect();
  }

  async look(of) {
    return of(this.heard);
  }

  async close() {
    this.heard.client.close();
  }
}

/** A client in a page that the server delivered. */
class InPage {
  name = "in a page";
  wakenings = ["online", "visibilitychange"];

  constructor(context) {
    this.context = context;
  }

  async open(url, token, options = {}) {
    this.page = await this.context.newPage();
    this.page.on("pageerror", (error) => accidents.push(`in a page: ${error}`));
    // A page without a script of its own, under the same policy as every other.
    await this.page.goto(`${url}/client.d.ts`);
    // As one text, because the page's policy lets nothing be made of text within it.
    await this.page.evaluate(`import("/client.js").then(({ BelfryClient }) => {
      window.heard = (${listenTo})(new BelfryClient(${JSON.stringify({ token, ...options })}));
      return heard.client.connect();
    })`);
  }

  look(of) {
    return this.page.evaluate(`(${of})(window.heard)`);
  }

  waken(event) {
    return this.page.evaluate(`(${event === "online" ? "window" : "document"}).dispatchEvent(new Event("${event}"))`);
  }

  close() {
    return this.page.close();
  }
}

async function exactlyOnce(house, tunnel, user, guest) {
  await check(`${guest.name}: 200 sent around a kill -9 arrive exactly once and in order`, async () => {
    const token = await house.token(user);
    await guest.open(tunnel.base, token);
    await house.notifyMany(user, 5, "before");
    await until("the first five", async () => (await guest.look((heard) => heard.ids.length)) === 5);
    tunnel.cut();
    await house.kill();
    await house.start();
    await house.notifyMany(user, 120, "missed");
    tunnel.mend();
    // The rest comes while the client resumes, and a cut in the middle makes it resume again.
    for (let round = 0; round < 8; round += 1) {
      await house.notifyMany(user, 10, `round ${round}`);
      if (round === 4) tunnel.cut();
      if (round === 5) tunnel.mend();
    }
    const expected = await house.idsOf(user);
    equal(expected.length, 205, "what the server holds");
    await until("205 notifications", async () => (await guest.look((heard) => heard.ids.length)) >= 205, COMES_BACK_WITHIN_MS);
    await house.notify(user, "the last one");
    await until("the last one", async () => (await guest.look((heard) => heard.ids.length)) >= 206);
    equal(await guest.look((heard) => heard.ids), await house.idsOf(user), "what arrived");
    equal((await guest.look((heard) => heard.replays)) >= 120, true, "120 were replayed");
    equal(await guest.look((heard) => heard.hellos.filter((hello) => hello.gap).length), 0, "gaps");
  });
  await check(`${guest.name}: after close() nothing comes back`, async () => {
    await guest.look((heard) => heard.client.close());
    equal(await guest.look((heard) => heard.client.state), "disconnected", "state");
    await until("no connection", async () => (await house.rest(`/v1/connections?user_id=${user}`)).data.length === 0);
  });
  await guest.close();
}

async function givesUp(house, guest) {
  const user = `patient-${guest.name.split(" ").at(-1).toLowerCase()}`;
  await guest.open(house.base, await house.token(user));
  await check(`${guest.name}: it gives up after the attempts that the server advises`, async () => {
    await house.kill();
    await until("failed", async () => (await guest.look((heard) => heard.client.state)) === "failed", COMES_BACK_WITHIN_MS);
    const waits = await guest.look((heard) => heard.states.filter((change) => change.delayMs > 0).map((change) => change.attempt));
    equal(waits, Array.from({ length: ATTEMPTS }, (_, at) => at + 1), "attempts");
    const last = await guest.look((heard) => heard.states.at(-1));
    equal([last.state, last.final, last.message], ["failed", false, "The server cannot be reached."], "the end");
  });
  await check(`${guest.name}: retry() begins again and resumes`, async () => {
    await house.start();
    await house.notify(user, "while it was given up");
    await guest.look((heard) => heard.client.retry());
    await until("connected", async () => (await guest.look((heard) => heard.client.state)) === "connected");
    await until("what was missed", async () => (await guest.look((heard) => heard.ids.length)) === 1);
    equal(await guest.look((heard) => heard.ids), await house.idsOf(user), "what arrived");
  });
  for (const event of guest.wakenings) {
    await check(`${guest.name}: “${event}” brings it back after it gave up`, async () => {
      await house.kill();
      await until("failed", async () => (await guest.look((heard) => heard.client.state)) === "failed", COMES_BACK_WITHIN_MS);
      await house.start();
      await guest.waken(event);
      await until("connected", async () => (await guest.look((heard) => heard.client.state)) === "connected");
    });
  }
  await check(`${guest.name}: a kick stops it for good`, async () => {
    const { connection_id: id } = await guest.look((heard) => heard.hellos.at(-1));
    await house.rest(`/v1/connections/${id}`, { method: "DELETE" });
    await until("failed", async () => (await guest.look((heard) => heard.client.state)) === "failed");
    const last = await guest.look((heard) => heard.states.at(-1));
    equal([last.code, last.final, last.message], [4503, true, "An administrator closed this connection."], "the end");
    // Neither the network nor the person coming back is a reason to come back.
    for (const event of guest.wakenings) await guest.waken(event);
    await new Promise((resolve) => setTimeout(resolve, 300));
    equal(await guest.look((heard) => heard.client.state), "failed", "state");
    equal((await house.rest(`/v1/connections?user_id=${user}`)).data.length, 0, "connections");
  });
  await guest.close();
}

async function withoutWebSockets(house, tunnel, user, guest) {
  const token = await house.token(user, { workflows: ["wf-1"], topics: ["news"] });
  const broadcast = (topic) => house.rest("/v1/broadcasts", {
    body: { message: { type: "notification", title: "News", message: "of a topic" }, to: { topic } },
  });
  tunnel.websockets = false;
  await check(`${guest.name}: where no WebSocket gets through, it goes on over an event stream`, async () => {
    await guest.open(tunnel.base, token, { subscribe: ["workflow:wf-1", "topic:other"] });
    equal(await guest.look((heard) => heard.client.transport), "sse", "transport");
    await until("the refusal", async () => (await guest.look((heard) => heard.errors.at(-1)?.code)) === "FORBIDDEN");
    equal(await guest.look((heard) => heard.client.channels), ["workflow:wf-1"], "channels");
    await house.notify(user, "over events");
    await house.rest("/v1/workflow-events", { body: { type: "workflow_update", workflow_id: "wf-1", progress: 0.5 } });
    await until("both", async () => guest.look((heard) => heard.ids.length === 1 && heard.updates.length === 1));
  });
  await check(`${guest.name}: over an event stream it marks, subscribes, and resumes after a kill -9`, async () => {
    await guest.look((heard) => heard.client.mark(heard.ids, "read"));
    await until("the mark", async () => (await guest.look((heard) => heard.inbox[0]?.counts.unread)) === 0);
    await guest.look((heard) => heard.client.subscribe("topic:news"));
    await broadcast("news");
    await until("the news", async () => (await guest.look((heard) => heard.ids.length)) === 2);
    await guest.look((heard) => heard.client.unsubscribe("workflow:wf-1"));
    await until("one channel", async () => {
      const { data } = await house.rest(`/v1/connections?user_id=${user}`);
      return JSON.stringify(data.map((connection) => connection.subscriptions)) === '[["topic:news"]]';
    });
    tunnel.cut();
    await house.kill();
    await house.start();
    await house.notifyMany(user, 300, "missed");
    tunnel.mend();
    await guest.look((heard) => heard.client.retry());
    await until("everything", async () => (await guest.look((heard) => heard.ids.length)) >= 302, COMES_BACK_WITHIN_MS);
    await house.notify(user, "the last one");
    await until("the last one", async () => (await guest.look((heard) => heard.ids.length)) >= 303);
    const [first, , ...rest] = await guest.look((heard) => heard.ids);
    equal([first, ...rest], await house.idsOf(user), "what arrived");
  });
  await check(`${guest.name}: a kick over an event stream stops it for good`, async () => {
    const { connection_id: id } = await guest.look((heard) => heard.hellos.at(-1));
    await house.rest(`/v1/connections/${id}`, { method: "DELETE" });
    await until("failed", async () => (await guest.look((heard) => heard.client.state)) === "failed");
    const last = await guest.look((heard) => heard.states.at(-1));
    equal([last.code, last.final], [4503, true], "the end");
  });
  await guest.close();
  tunnel.websockets = true;
}

// --- what is asked in Node only --------------------------------------------------------------------------------------

async function subscriptions(house) {
  const token = await house.token("sub", { workflows: ["wf-1", "wf-2"] });
  const client = new BelfryClient({ url: house.base, token, WebSocket, subscribe: ["workflow:wf-1"] });
  const heard = listenTo(client);
  const move = (workflow_id, progress) =>
    house.rest("/v1/workflow-events", { body: { type: "workflow_update", workflow_id, progress, status: "running" } });
  await check("a subscription settles with the server's answer", async () => {
    const early = client.subscribe("workflow:wf-2");
    client.connect();
    await early;
    const refused = await client.subscribe("workflow:other").then(() => null, (error) => error);
    equal(refused?.code, "FORBIDDEN", "the refusal");
    equal(heard.errors.map((error) => error.code), ["FORBIDDEN"], "error events");
    const impossible = await client.subscribe("no channel").then(() => null, (error) => error.name);
    equal(impossible, "TypeError", "what is no channel");
    equal(client.channels, ["workflow:wf-1", "workflow:wf-2"], "channels");
  });
  await check("subscriptions survive a restart, and what was given up does not come back", async () => {
    await client.unsubscribe("workflow:wf-2");
    await house.kill();
    await house.start();
    await until("connected again", () => heard.hellos.length === 2, COMES_BACK_WITHIN_MS);
    await until("subscribed", async () => {
      const { data } = await house.rest("/v1/connections?user_id=sub");
      return JSON.stringify(data.map((connection) => connection.subscriptions)) === '[["workflow:wf-1"]]';
    });
    await move("wf-2", 0.1);
    await move("wf-1", 0.5);
    await until("an update", () => heard.updates.length > 0);
    equal(heard.updates.map((frame) => [frame.workflow_id, frame.progress]), [["wf-1", 0.5]], "updates");
  });
  client.close();
}

async function rights(house) {
  await check("a membership that ends takes the subscription with it, for good", async () => {
    const members = (method) => house.rest("/v1/topics/crew/members", { method, body: { user_ids: ["sailor"] } });
    await members("PUT");
    const client = new BelfryClient({ url: house.base, token: await house.token("sailor"), WebSocket, subscribe: ["topic:crew"] });
    const heard = listenTo(client);
    const ended = [];
    client.on("unsubscribed", ({ channel }) => ended.push(channel));
    await client.connect();
    await client.subscribe("topic:crew");
    await members("DELETE");
    await until("it is told", () => ended.length > 0, 1_000);
    equal([ended, client.channels, heard.errors], [["topic:crew"], [], []], "what is left");
    client.close();
  });
}

async function tokens(house) {
  await check("a token function is asked again when its token has expired, and nothing is lost", async () => {
    let asked = 0;
    const given = [await house.token("tok", { expires_in: 2 }), await house.token("tok")];
    const client = new BelfryClient({ url: house.base, WebSocket, token: async () => given[asked++] });
    const heard = listenTo(client);
    await client.connect();
    await house.notify("tok", "first");
    await until("the second hello", () => heard.hellos.length === 2, COMES_BACK_WITHIN_MS);
    await house.notify("tok", "second");
    await until("both", () => heard.ids.length >= 2);
    equal(heard.ids, await house.idsOf("tok"), "what arrived");
    equal(asked, 2, "how often it was asked");
    equal(heard.states.filter((change) => change.code).map((change) => change.code), [4005], "close codes");
    client.close();
  });
  await check("a token that stays bad is asked for once more, then it stops", async () => {
    let asked = 0;
    const client = new BelfryClient({ url: house.base, WebSocket, token: () => `bad-${(asked += 1)}` });
    const heard = listenTo(client);
    const refused = await client.connect().then(() => null, (error) => error);
    equal([refused?.code, asked, client.state, heard.states.at(-1).final], [4500, 2, "failed", true], "the end");
    const failure = await client.counts().then(() => null, (error) => error);
    equal([failure?.status, asked], [401, 4], "REST asks once more too");
  });
  await check("a token as text that is bad stops at once", async () => {
    const client = new BelfryClient({ url: house.base, WebSocket, token: "bad" });
    const refused = await client.connect().then(() => null, (error) => error);
    equal([refused?.code, refused?.message], [4500, "The server does not accept this token."], "the refusal");
  });
  await check("a token function that fails is a failed attempt and no accident", async () => {
    const client = new BelfryClient({ url: house.base, WebSocket, token: () => { throw new Error("no network"); } });
    const heard = listenTo(client);
    client.connect();
    await until("an attempt is waited for", () => client.state === "reconnecting");
    equal(heard.errors[0]?.code, "CONNECT_FAILED", "the error event");
    client.close();
    equal(client.state, "disconnected", "state");
  });
  await check("what cannot work is refused when it is made", async () => {
    const made = (options) => { try { new BelfryClient(options); return null; } catch (error) { return error.name; } };
    equal(made({ url: house.base, WebSocket }), "TypeError", "no token");
    equal(made({ token: "x", WebSocket }), "TypeError", "no address");
    equal(made({ url: "ftp://x", token: "x", WebSocket }), "TypeError", "no web address");
    equal(made({ url: "http://a:b@x", token: "x", WebSocket }), "TypeError", "a secret in the address");
  });
}

async function deadLine(house, tunnel) {
  await check("a line that went dead without a word is left, and what was missed arrives", async () => {
    const client = new BelfryClient({ url: tunnel.base, token: await house.token("dead"), WebSocket });
    const heard = listenTo(client);
    await client.connect();
    tunnel.freeze();
    const since = Date.now();
    await house.notify("dead", "into the void");
    await until("it notices", () => client.state === "reconnecting", COMES_BACK_WITHIN_MS);
    const noticedMs = Date.now() - since;
    // Two and a half beats of one second, counted from the last sign of life.
    equal(noticedMs > 1_300 && noticedMs < 4_000, true, `noticed after ${noticedMs} ms`);
    await until("what was missed", () => heard.ids.length === 1, COMES_BACK_WITHIN_MS);
    client.close();
  });
}

async function listeners(house) {
  await check("a listener that throws harms neither the others nor the line", async () => {
    const client = new BelfryClient({ url: house.base, token: await house.token("thrower"), WebSocket });
    const told = [];
    const kept = console.error;
    console.error = (error) => told.push(error.message);
    client.on("notification", () => { throw new Error("one"); });
    client.on("notification", async () => { throw new Error("two"); });
    const heard = listenTo(client);
    const end = client.on("notification", () => told.push("not after its end"));
    end();
    await client.connect();
    await house.notify("thrower", "a");
    await house.notify("thrower", "b");
    await until("both", () => heard.ids.length === 2);
    await until("all reports", () => told.length >= 4);
    console.error = kept;
    equal(told.sort(), ["one", "one", "two", "two"], "reports");
    client.close();
  });
  await check("a position that was kept goes on in another client", async () => {
    const token = await house.token("kept");
    const first = new BelfryClient({ url: house.base, token, WebSocket });
    const before = listenTo(first);
    await first.connect();
    await house.notify("kept", "a");
    await until("one", () => before.ids.length === 1);
    first.close();
    await house.notify("kept", "b");
    const second = new BelfryClient({ url: house.base, token, WebSocket, resume: JSON.parse(JSON.stringify(first.position)) });
    const after = listenTo(second);
    await second.connect();
    await until("the other", () => after.ids.length === 1);
    equal([...before.ids, ...after.ids], await house.idsOf("kept"), "both together");
    second.close();
  });
}

/** A server that says what the test lets it say. */
class Spoken {
  static line = null;
  static opens = true;
  readyState = 1;
  sent = [];

  constructor() {
    Spoken.line = this;
    queueMicrotask(() => Spoken.opens && this.onopen?.());
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  say(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** Ends this line, and answers the next one once it has introduced itself. */
  async end(code) {
    this.onclose?.({ code });
    await until("another line", () => Spoken.line !== this && Spoken.line.sent.length > 0);
    return Spoken.line;
  }
}

async function badServers() {
  const hello = { type: "hello", user_id: "u", epoch: "e", offset: 7, recovered: false, heartbeat_interval: 30, reconnect: { max_attempts: 3, delay_ms: 0, factor: 1, jitter: 0 } };
  const begin = async (token = "t") => {
    const client = new BelfryClient({ url: "http://belfry.invalid/below", token, WebSocket: Spoken });
    const heard = listenTo(client);
    heard.offsets = [];
    client.on("notification", (frame) => heard.offsets.push(frame.offset));
    client.connect();
    await until("an introduction", () => Spoken.line?.sent.length > 0);
    Spoken.line.say(hello);
    return { client, heard };
  };
  const say = (...offsets) => offsets.forEach((offset) => Spoken.line.say({ type: "notification", id: `n${offset}`, offset }));
  await check("what a server repeats is told once, and it is asked only for what is missing", async () => {
    const { client, heard } = await begin();
    say(8, 9, 9, 8, 3, 10);
    const next = await Spoken.line.end(1006);
    equal(next.sent[0].resume, { epoch: "e", offset: 10 }, "resume");
    next.say({ ...hello, offset: 12, recovered: true });
    // Cut in the middle of the replay: the hello's offset must not stand for what did not come.
    say(10, 11);
    const third = await next.end(4001);
    equal(third.sent[0].resume, { epoch: "e", offset: 11 }, "resume after a cut replay");
    third.say({ ...hello, offset: 12, recovered: true });
    say(11, 12, 13);
    equal(heard.offsets, [8, 9, 10, 11, 12, 13], "what was told");
    client.close();
  });
  await check("what cannot be recovered is a gap, and the new epoch counts from its own offset", async () => {
    const { client, heard } = await begin();
    say(8);
    const next = await Spoken.line.end(1006);
    next.say({ ...hello, epoch: "f", offset: 2 });
    say(2, 3);
    equal([heard.hellos.map((frame) => frame.gap), heard.offsets, client.position], [[false, true], [8, 3], { epoch: "f", offset: 3 }], "after the gap");
    client.close();
  });
  await check("a token that becomes somebody else's does not resume in the other's stream", async () => {
    const { client, heard } = await begin();
    say(8);
    const next = await Spoken.line.end(1006);
    next.say({ ...hello, user_id: "v", offset: 40, recovered: true });
    await until("a fresh start", () => Spoken.line !== next && Spoken.line.sent.length > 0);
    equal(Spoken.line.sent[0].resume, undefined, "resume");
    Spoken.line.say({ ...hello, user_id: "v", offset: 40 });
    equal(heard.hellos.map((frame) => [frame.user_id, frame.gap]), [["u", false], ["v", true]], "hellos");
    client.close();
  });
  await check("a failure of which only an error event tells is a failed attempt", async () => {
    class Refusing extends Spoken {
      constructor() {
        super();
        queueMicrotask(() => this.onerror?.({}));
      }
    }
    const client = new BelfryClient({ url: "http://belfry.invalid", token: "t", WebSocket: Refusing });
    const heard = listenTo(client);
    Spoken.opens = false;
    client.connect();
    await until("an attempt is waited for", () => client.state === "reconnecting", 1_000);
    equal(heard.states.at(-1).attempt, 1, "attempt");
    client.close();
    Spoken.opens = true;
  });
  await check("nonsense from a server is no accident", async () => {
    const { client, heard } = await begin();
    for (const data of ["", "null", "[]", "7", "{", '{"type":"error"}', '{"type":"subscribed","channel":1}', '{"type":"notification"}', "\u0000"]) {
      Spoken.line.onmessage?.({ data });
    }
    Spoken.line.onmessage?.({ data: new ArrayBuffer(4) });
    equal([client.state, heard.errors.at(-1)?.code], ["connected", "SYSTEM_ERROR"], "after an error without a code");
    Spoken.line.say({ type: "hello" });
    equal(client.state, "reconnecting", "a hello for nobody is not the same user's");
    client.close();
  });
  await check("pings are answered, and the newest offset is acknowledged once for many", async () => {
    const { client } = await begin();
    const line = Spoken.line;
    line.say({ type: "ping" });
    say(8, 9, 10);
    await until("an ack", () => line.sent.some((frame) => frame.type === "ack"));
    equal(line.sent.slice(1).map((frame) => [frame.type, frame.offset]), [["pong", undefined], ["ack", 10]], "sent");
    equal(line.sent.every((frame) => typeof frame.timestamp === "string"), true, "timestamps");
    client.close();
  });
}

async function crossOrigin(house, site) {
  const ask = (path, method, headers) => fetch(house.base + path, { method, headers });
  const wanted = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" };
  await check("a preflight of an allowed origin is answered, with no credentials", async () => {
    const answer = await ask("/v1/users/me/inbox/mark", "OPTIONS", { origin: site, ...wanted });
    const told = (name) => answer.headers.get(name);
    equal([answer.status, told("access-control-allow-origin"), told("access-control-max-age"), told("vary")], [204, site, "600", "Origin"], "the answer");
    equal(told("access-control-allow-credentials"), null, "credentials");
    for (const name of ["Authorization", "Content-Type", "Idempotency-Key", "Prefer"]) {
      equal(told("access-control-allow-headers").includes(name), true, name);
    }
  });
  await check("other origins are told nothing", async () => {
    const answer = await ask("/v1/users/me/inbox/mark", "OPTIONS", { origin: "http://elsewhere.example", ...wanted });
    equal([answer.status, answer.headers.get("access-control-allow-origin"), answer.headers.get("vary")], [405, null, "Origin"], "the answer");
    const refusal = await ask("/v1/users/me/inbox", "GET", { origin: site });
    equal([refusal.status, refusal.headers.get("access-control-allow-origin")], [401, site], "an error is readable too");
  });
  await check("the client and the component may be imported from anywhere, and are those of this version", async () => {
    for (const [name, type] of [["client.js", "text/javascript"], ["inbox.js", "text/javascript"], ["client.d.ts", "text/plain"]]) {
      const answer = await ask(`/${name}`, "GET", {});
      equal([answer.headers.get("access-control-allow-origin"), answer.headers.get("content-type")], ["*", `${type}; charset=utf-8`], name);
      equal(await answer.text() === readFileSync(join(ROOT, "assets", name), "utf8"), true, `${name} is the file in assets`);
    }
  });
}

async function twoTabs(house, context) {
  const token = await house.token("tabs");
  const [first, second] = [new InPage(context), new InPage(context)];
  await first.open(house.base, token);
  await second.open(house.base, token);
  await check("a mark in one tab reaches the other with fresh counts", async () => {
    await house.notify("tabs", "to be read");
    await house.notify("tabs", "to be left");
    await until("both", async () => (await second.look((heard) => heard.ids.length)) === 2);
    const { counts } = await first.look((heard) => heard.client.mark(heard.ids[0], "read"));
    equal(counts.unread, 1, "the answer's count");
    const told = await until("the mark", () => second.look((heard) => heard.inbox.at(-1)), LIVE_WITHIN_MS);
    equal([told.op, told.ids, told.counts.unread], ["read", [(await house.idsOf("tabs"))[0]], 1], "what the other tab heard");
    await first.look((heard) => heard.client.markAll("read"));
    await until("all", async () => (await second.look((heard) => heard.inbox.at(-1).counts.unread)) === 0, LIVE_WITHIN_MS);
    equal(await second.look((heard) => heard.client.counts().then((counts) => counts.unread)), 0, "counts()");
    equal(await second.look((heard) => heard.client.inbox({ limit: 1 }).then((page) => [page.data.length, page.next_cursor !== null])), [1, true], "inbox()");
  });
  await first.close();
  await second.close();
}

// --- the component on a site of another origin -----------------------------------------------------------------------

class Site {
  #server;
  html = "";
  policy = "";
  base = "";

  async open() {
    this.#server = createServer((request, response) => {
      const css = request.url === "/site.css";
      response.setHeader("content-type", css ? "text/css" : "text/html; charset=utf-8");
      response.setHeader("content-security-policy", this.policy);
      response.end(css ? SITE_CSS : this.html);
    }).listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.base = `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** As strict as a policy can be: the server's scripts and the server's connections, and this site's one sheet. */
  show(server, token) {
    this.policy = `default-src 'none'; script-src ${server}; connect-src ${server} ${server.replace("http", "ws")}; style-src 'self'; img-src data:`;
    this.html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/site.css">
<script type="module" src="${server}/inbox.js"></script></head><body>
<header><strong>Shop</strong><nav aria-label="Main"><a href="#a" id="before">Orders</a>
<belfry-inbox token="${token}"><a slot="preferences" href="#preferences">Notification preferences</a></belfry-inbox>
<a href="#b" id="after">Account</a></nav></header><main><h1>Your orders</h1><p>Nothing to see here.</p></main></body></html>`;
  }

  close() {
    this.#server.close();
  }
}

const SITE_CSS = `:root { color-scheme: light dark; font: 16px/1.5 sans-serif; } body { margin: 0; }
header { display: flex; align-items: center; justify-content: space-between; padding: 8px 16px; border-bottom: 1px solid gray; }
nav { display: flex; align-items: center; gap: 16px; } nav > a { color: inherit; } main { padding: 16px; }
h2, h3, button, p { color: red; font-size: 40px; } main p { color: inherit; font-size: inherit; }`;

async function component(house, site, browser) {
  const heard = [];
  const token = await house.token("shopper");
  site.show(house.base, token);
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 } });
  const page = await context.newPage();
  page.on("console", (line) => line.type() === "error" && heard.push(line.text()));
  page.on("pageerror", (error) => heard.push(String(error)));
  const addresses = [];
  page.on("request", (sent) => addresses.push(sent.url()));
  page.on("websocket", (socket) => addresses.push(socket.url()));
  await house.notify("shopper", "An older one", { message: "It was there before the page was." });
  await page.goto(site.base);
  const bell = page.getByRole("button", { name: /^Notifications/ });
  const panel = page.getByRole("dialog", { name: "Notifications" });
  const item = (title) => panel.getByRole("article", { name: title, exact: true });
  const unread = async (count) => {
    const name = count > 0 ? `Notifications, ${count} unread` : "Notifications";
    await page.getByRole("button", { name, exact: true }).waitFor({ timeout: LIVE_WITHIN_MS });
  };
  await check("the component is live on another origin under a strict policy", async () => {
    await unread(1);
    await page.locator('.bell[data-state="connected"]').waitFor({ timeout: LIVE_WITHIN_MS });
    await house.notify("shopper", "Your parcel is here", { priority: "high", message: "At the door.", action: { label: "Track it", url: "https://example.com/track" } });
    await unread(2);
    equal(await page.locator("belfry-inbox .badge").textContent(), "2", "the badge");
  });
  await check("what arrives is read out", async () => {
    await page.locator("belfry-inbox [role=status]").getByText("New notification: Your parcel is here").waitFor({ state: "attached", timeout: LIVE_WITHIN_MS });
  });
  await check("axe finds nothing with the panel closed", () => axeFindsNothing(page));
  await keyboardChecks(house, page, { bell, panel, item, unread });
  await check("hostile text stays text", async () => {
    await house.notify("shopper", HOSTILE, { message: "<script>document.title='owned'</script>", action: { label: "Open", url: "https://example.com/" } });
    await bell.click();
    await item(HOSTILE).waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await page.locator("belfry-inbox img, belfry-inbox script").count(), 0, "elements made of text");
    equal(await page.title(), "Shop", "the title");
  });
  await check("a click on the page closes the panel", async () => {
    await page.getByRole("heading", { name: "Your orders" }).click();
    await panel.waitFor({ state: "hidden", timeout: LIVE_WITHIN_MS });
  });
  await check("mark all read empties the badge, also that of another device", async () => {
    const other = new InNode();
    await other.open(house.base, token);
    await bell.click();
    await panel.getByRole("button", { name: "Mark all read" }).click();
    await unread(0);
    await until("the other device", () => other.heard.inbox.at(-1)?.counts.unread === 0);
    await other.heard.client.mark((await house.idsOf("shopper")).slice(-1), "unread");
    await unread(1);
    await other.close();
  });
  await check("a link is followed only after the page was asked, and counts as read", async () => {
    await house.notify("shopper", "With a link", { priority: "critical", category: "system", action: { label: "Review", url: "https://example.com/r" } });
    await page.evaluate(() => document.addEventListener("belfry-open", (event) => {
      event.preventDefault();
      window.opened = event.detail.title;
    }));
    const link = item("With a link").getByRole("link", { name: "Review" });
    await link.click({ timeout: LIVE_WITHIN_MS });
    equal(await link.getAttribute("rel"), "noopener noreferrer", "rel");
    equal(await page.evaluate(() => window.opened), "With a link", "the event's item");
    await item("With a link").getByRole("button", { name: "Mark as unread" }).waitFor({ timeout: LIVE_WITHIN_MS });
  });
  await house.notify("shopper", "The build on main is red", { priority: "critical", message: "Two tests fail since this morning.\nThe last good commit is four hours old.", action: { label: "See the log", url: "https://example.com/log" } });
  await item("The build on main is red").waitFor({ timeout: LIVE_WITHIN_MS });
  await looks(page, "component-light", { width: 1000, height: 760, scheme: "light" });
  await looks(page, "component-dark", { width: 1000, height: 760, scheme: "dark" });
  await looks(page, "component-phone", { width: 390, height: 844, scheme: "light" });
  await looks(page, "component-narrow-dark", { width: 320, height: 640, scheme: "dark" });
  await check("custom properties theme it", async () => {
    equal(await page.evaluate(() => {
      const inbox = document.querySelector("belfry-inbox");
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("belfry-inbox { --belfry-accent: rgb(1, 2, 3); --belfry-ground: rgb(4, 5, 6); }");
      document.adoptedStyleSheets = [sheet];
      const of = (part) => getComputedStyle(inbox.shadowRoot.querySelector(part)).backgroundColor;
      return [of(".badge"), of(".panel")];
    }), ["rgb(1, 2, 3)", "rgb(4, 5, 6)"], "colours");
  });
  await check("no errors in the console, and the token is in no address", async () => {
    equal(heard, [], "console");
    equal(addresses.filter((address) => address.includes(token)), [], "addresses with the token");
    equal(addresses.some((address) => address.startsWith("ws:")), true, "the socket was seen");
  });
  await check("taken off the page, it ends its connection", async () => {
    await page.evaluate(() => document.querySelector("belfry-inbox").remove());
    await until("no connection", async () => (await house.rest("/v1/connections?user_id=shopper")).data.length === 0);
  });
  await context.close();
}

async function keyboardChecks(house, page, { bell, panel, item, unread }) {
  const focused = () => page.evaluate(() => {
    const inner = document.activeElement.shadowRoot?.activeElement ?? document.activeElement;
    return inner.getAttribute("aria-label") ?? inner.textContent.trim() ?? inner.tagName;
  });
  await check("the keyboard alone opens the panel", async () => {
    await page.locator("#before").focus();
    await page.keyboard.press("Tab");
    equal(await focused(), "Notifications, 2 unread", "after Tab");
    equal(await bell.getAttribute("aria-expanded"), "false", "aria-expanded");
    await page.keyboard.press("Enter");
    await panel.waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await bell.getAttribute("aria-expanded"), "true", "aria-expanded");
    equal(await page.evaluate(() => document.activeElement.shadowRoot.activeElement.getAttribute("role")), "dialog", "the focus");
  });
  await check("the keyboard alone walks the items and marks", async () => {
    await page.keyboard.press("ArrowDown");
    equal(await focused(), "Your parcel is here", "after ↓");
    await page.keyboard.press("m");
    await unread(1);
    await until("the server knows", async () => (await house.rest("/v1/users/shopper/inbox/counts")).unread === 1);
    await page.keyboard.press("m");
    await unread(2);
    await page.keyboard.press("ArrowDown");
    equal(await focused(), "An older one", "after ↓ again");
    await page.keyboard.press("Tab");
    equal(await focused(), "Mark as read: An older one", "after Tab");
    await page.keyboard.press("Tab");
    equal(await focused(), "Archive: An older one", "after Tab again");
    await page.keyboard.press("Enter");
    await item("An older one").waitFor({ state: "detached", timeout: LIVE_WITHIN_MS });
    equal(await focused(), "Your parcel is here", "the neighbour has the focus");
    await until("the archive", async () => (await house.rest("/v1/users/shopper/inbox?status=archived")).data.length === 1);
    await unread(1);
  });
  await check("Escape closes it and gives the focus back", async () => {
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "hidden", timeout: LIVE_WITHIN_MS });
    equal(await focused(), "Notifications, 1 unread", "the focus");
  });
  await check("the way out by Tab leads over the preferences to the page, and closes it", async () => {
    await page.keyboard.press("Space");
    await panel.waitFor({ timeout: LIVE_WITHIN_MS });
    const way = [];
    for (let step = 0; step < 12 && way.at(-1) !== "Account"; step += 1) {
      await page.keyboard.press("Tab");
      way.push(await focused());
    }
    equal(way.includes("Notification preferences") && way.at(-1) === "Account", true, way.join(" → "));
    await panel.waitFor({ state: "hidden", timeout: LIVE_WITHIN_MS });
    equal(await focused(), "Account", "the focus stays where it went");
  });
}

/** The server refuses such links; the component must not depend on that. */
async function hostileLink(house, site, browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const item = (id, url) => ({ id, title: id, message: "", priority: "low", category: "system", offset: 1, timestamp: "no time", action: { label: "Go", url } });
  const data = [item("bad", "javascript:document.title='owned'"), item("worse", "data:text/html,x"), item("broken", "//"), item("good", "https://example.com/")];
  await context.route("**/v1/users/me/inbox?*", (route) => {
    route.fulfill({ headers: { "access-control-allow-origin": site.base, "content-type": "application/json" }, body: JSON.stringify({ data, next_cursor: null }) });
  });
  await check("only web addresses become links", async () => {
    await page.goto(site.base);
    await page.getByRole("button", { name: /^Notifications/ }).click();
    await page.getByRole("article", { name: "broken", exact: true }).waitFor({ timeout: LIVE_WITHIN_MS });
    equal(await page.locator("belfry-inbox .act").evaluateAll((links) => links.map((link) => link.href)), ["https://example.com/"], "links");
  });
  await context.close();
}

async function foreignSite(house, browser) {
  const stranger = new Site();
  await stranger.open();
  stranger.show(house.base, await house.token("shopper"));
  const context = await browser.newContext();
  const page = await context.newPage();
  await check("on a site that the server does not allow, the component says so and harms nothing", async () => {
    await page.goto(stranger.base);
    await page.getByRole("button", { name: "Notifications" }).click();
    await page.getByRole("alert").getByText("The server").waitFor({ timeout: COMES_BACK_WITHIN_MS });
    equal((await house.rest("/v1/connections?user_id=shopper")).data.length, 0, "connections");
  });
  await context.close();
  stranger.close();
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
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  await check(`axe finds nothing in ${name}`, () => axeFindsNothing(page));
  await check(`${name} stays within the window`, async () => {
    equal(await page.evaluate(() => {
      const { left, top, right, bottom } = document.querySelector("belfry-inbox").shadowRoot.querySelector(".panel").getBoundingClientRect();
      return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight && document.documentElement.scrollWidth <= innerWidth;
    }), true, "within");
  });
}

// --- the run ---------------------------------------------------------------------------------------------------------

async function run() {
  mkdirSync(SHOTS, { recursive: true });
  const site = new Site();
  await site.open();
  const house = new House({
    BELFRY_SERVER__ALLOWED_ORIGINS: JSON.stringify([site.base]),
    BELFRY_WEBSOCKET__MAX_RECONNECT_ATTEMPTS: "40",
    BELFRY_WEBSOCKET__RECONNECT_DELAY: "50",
    BELFRY_WEBSOCKET__HEARTBEAT_INTERVAL: "1s",
  });
  const hasty = new House({
    BELFRY_WEBSOCKET__MAX_RECONNECT_ATTEMPTS: String(ATTEMPTS),
    BELFRY_WEBSOCKET__RECONNECT_DELAY: "50",
  });
  const tunnel = new Tunnel();
  const browser = await chromium.launch({ executablePath: BROWSER, args: BROWSER_FLAGS });
  try {
    await house.start();
    await hasty.start();
    await tunnel.dig(house.base);
    const context = await browser.newContext();
    await exactlyOnce(house, tunnel, "once-node", new InNode());
    await exactlyOnce(house, tunnel, "once-page", new InPage(context));
    await givesUp(hasty, new InNode());
    await givesUp(hasty, new InPage(context));
    await withoutWebSockets(house, tunnel, "events-node", new InNode());
    await withoutWebSockets(house, tunnel, "events-page", new InPage(context));
    await subscriptions(house);
    await rights(house);
    await tokens(house);
    await deadLine(house, tunnel);
    await listeners(house);
    await badServers();
    await crossOrigin(house, site.base);
    await twoTabs(house, context);
    await component(house, site, browser);
    await hostileLink(house, site, browser);
    await foreignSite(house, browser);
    await check("no token went through in an address", async () => {
      const lines = tunnel.requests.filter((line) => line.includes("/v1/ws"));
      equal(lines.length > 3 && lines.every((line) => line === "GET /v1/ws HTTP/1.1"), true, lines.join(", "));
    });
    await check("no rejection was left unhandled", async () => equal(accidents, [], "accidents"));
  } finally {
    await browser.close();
    tunnel.fill();
    site.close();
    await house.end();
    await hasty.end();
  }
}

try {
  await run();
} catch (error) {
  tally.fail("the run itself", error.stack);
}
tally.end();
