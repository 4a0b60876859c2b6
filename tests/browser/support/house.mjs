// What a test needs around the program: a server that can be killed and started again, and a line to it that can be cut.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const BINARY = resolve(process.env.BELFRY_BIN ?? join(ROOT, "target/release/belfry"));
export const ADMIN_KEY = "browser-test-admin-key-0123456789abcdef";
const START_WITHIN_MS = 10_000;
const CHECK_WITHIN_MS = 40_000;

/** The server refuses variables that it does not know, ours (`BELFRY_BIN`) among them. */
function withoutOurs(environment) {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("BELFRY_")));
}

export class House {
  #store = mkdtempSync(join(tmpdir(), "belfry-browser-"));
  #settings;
  #process = null;
  /** Its address, the same after every start. */
  base = "";

  constructor(settings) {
    this.#settings = settings;
  }

  async start() {
    this.#process = spawn(BINARY, ["serve"], {
      cwd: this.#store,
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...withoutOurs(process.env),
        BELFRY_SERVER__LISTEN: this.base ? new URL(this.base).host : "127.0.0.1:0",
        BELFRY_STORAGE__PATH: join(this.#store, "data"),
        BELFRY_AUTH__ADMIN_KEY: ADMIN_KEY,
        ...this.#settings,
      },
    });
    const started = this.#process;
    const tooLate = setTimeout(() => started.kill("SIGKILL"), START_WITHIN_MS);
    for await (const line of createInterface({ input: started.stdout })) {
      const found = /listening on (http:\/\/\S+)/.exec(line);
      if (!found) continue;
      clearTimeout(tooLate);
      // What it says from here on is read and dropped, so that a full pipe never stops it.
      started.stdout.resume();
      this.base = found[1].replace(/\/$/, "");
      return;
    }
    throw new Error(`the server ended, or did not say where it listens within ${START_WITHIN_MS} ms`);
  }

  /** As a power cut would. */
  async kill() {
    const running = this.#process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill("SIGKILL");
    await once(running, "exit");
  }

  async end() {
    await this.kill();
    rmSync(this.#store, { recursive: true, force: true });
  }

  async rest(path, { token = ADMIN_KEY, body, method = body ? "POST" : "GET" } = {}) {
    const response = await fetch(this.base + path, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 300)}`);
    return text === "" ? null : JSON.parse(text);
  }

  async token(user, claims = {}) {
    return (await this.rest(`/v1/users/${user}/tokens`, { body: { expires_in: 3600, ...claims } })).token;
  }

  notify(user, title, fields = {}) {
    return this.rest("/v1/notifications", { body: { ...message(user, title), ...fields } });
  }

  /** So many notifications in one request. */
  async notifyMany(user, count, prefix) {
    const notifications = Array.from({ length: count }, (_, at) => message(user, `${prefix} ${at}`));
    const answer = await this.rest("/v1/notifications/batch", { body: { notifications } });
    if (answer.successful !== count) throw new Error(`only ${answer.successful} of ${count} were taken`);
  }

  /** The ids of everything in a user's inbox, oldest first: what a client must have been given. */
  async idsOf(user) {
    const ids = [];
    let cursor = null;
    do {
      const page = await this.rest(`/v1/users/${user}/inbox?limit=200${cursor ? `&cursor=${cursor}` : ""}`);
      ids.push(...page.data.map((item) => item.id));
      cursor = page.next_cursor;
    } while (cursor);
    return ids.reverse();
  }
}

function message(user, title) {
  return { user_id: user, type: "custom", category: "system", priority: "medium", title, message: "A message.", channels: ["in_app"] };
}

/** A line between a client and a server, which can be cut, or go dead without a word. */
export class Tunnel {
  #pairs = new Set();
  #open = true;
  /** Whether it lets WebSockets through, as not every proxy does. */
  websockets = true;
  #server;
  base = "";
  /** The request lines that went through. */
  requests = [];

  async dig(target) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((near) => {
      near.on("error", () => {});
      if (!this.#open) return near.destroy();
      const far = connect({ host: hostname, port });
      const pair = { near, far };
      this.#pairs.add(pair);
      far.on("error", () => near.destroy());
      near.once("data", (data) => {
        const request = data.toString("latin1").split("\r\n", 1)[0];
        this.requests.push(request);
        if (!this.websockets && request.startsWith("GET /v1/ws")) near.destroy();
      });
      near.pipe(far);
      far.pipe(near);
      for (const end of [near, far]) {
        end.on("close", () => {
          near.destroy();
          far.destroy();
          this.#pairs.delete(pair);
        });
      }
    }).listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.base = `http://127.0.0.1:${this.#server.address().port}`;
  }

  cut() {
    this.#open = false;
    for (const { near } of this.#pairs) near.destroy();
  }

  mend() {
    this.#open = true;
  }

  /** What is under way now never arrives, and nobody is told. Lines that are opened later work. */
  freeze() {
    for (const { near, far } of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.resume();
    }
  }

  fill() {
    this.cut();
    this.#server.close();
  }
}

/** Counts and tells how checks went. */
export class Tally {
  passed = 0;
  failed = 0;

  check = async (name, act) => {
    try {
      await inTime(act());
      this.passed += 1;
      console.log(`ok    ${name}`);
    } catch (error) {
      this.fail(name, String(error.message).split("\n").slice(0, 6).join("\n      "));
    }
  };

  fail(name, why) {
    this.failed += 1;
    console.log(`FAIL  ${name}\n      ${why}`);
  }

  end() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    // A check that failed may have left a client that goes on trying.
    process.exit(this.failed === 0 ? 0 : 1);
  }
}

/** What never settles is a failure like any other. */
async function inTime(outcome) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came of it within ${CHECK_WITHIN_MS} ms`)), CHECK_WITHIN_MS);
  });
  await Promise.race([outcome, late]).finally(() => clearTimeout(timer));
}

export function equal(actual, expected, what) {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: ${left?.slice(0, 600)} instead of ${right?.slice(0, 600)}`);
}

/** Looks until it is so. */
export async function until(what, isSo, withinMs = 5_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await isSo();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
