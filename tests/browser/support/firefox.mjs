// A Firefox without a screen, driven by WebDriver BiDi, that talks to nothing but this machine.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import WebSocket from "ws";

const PLACES = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
const FIREFOX = process.env.BELFRY_FIREFOX ?? PLACES.find((place) => existsSync(place)) ?? PLACES[0];
const ANSWER_WITHIN_MS = 30_000;

function preferences(pushUrl) {
  return {
    // A driven Firefox would not connect to any push service otherwise.
    "remote.prefs.recommended": false,
    "dom.push.serverURL": pushUrl,
    "dom.push.testing.allowInsecureServerURL": true,
    // Granted without asking: the question is the browser's own, and there is nobody to click on it.
    "permissions.default.desktop-notification": 1,
    "alerts.useSystemBackend": false,
    "app.normandy.enabled": false,
    "app.update.enabled": false,
    "browser.aboutwelcome.enabled": false,
    "browser.shell.checkDefaultBrowser": false,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": false,
    "network.captive-portal-service.enabled": false,
    "network.connectivity-service.enabled": false,
    "network.trr.mode": 5,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "termsofuse.bypassNotification": true,
    "toolkit.telemetry.enabled": false,
  };
}

export class Firefox {
  #profile = mkdtempSync(join(tmpdir(), "belfry-firefox-"));
  #process = null;
  #line = null;
  #asked = new Map();
  #number = 0;

  constructor(pushUrl) {
    const line = ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`;
    writeFileSync(join(this.#profile, "user.js"), Object.entries(preferences(pushUrl)).map(line).join(""));
  }

  async start() {
    const flags = ["--headless", "--no-remote", "--profile", this.#profile, "--remote-debugging-port", "0"];
    this.#process = spawn(FIREFOX, flags, {
      stdio: ["ignore", "ignore", "pipe"],
      // A process group of its own, so that its many processes end with it.
      detached: true,
      env: { ...process.env, HOME: this.#profile, MOZ_DISABLE_CONTENT_SANDBOX: "1", MOZ_CRASHREPORTER_DISABLE: "1" },
    });
    await once(this.#process, "spawn");
    for await (const line of createInterface({ input: this.#process.stderr })) {
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(line);
      if (!found) continue;
      this.#line = new WebSocket(`${found[1]}/session`);
      break;
    }
    this.#process.stderr.resume();
    if (!this.#line) throw new Error("Firefox ended before it could be driven");
    await once(this.#line, "open");
    this.#line.on("message", (data) => {
      const answer = JSON.parse(data);
      this.#asked.get(answer.id)?.(answer);
      this.#asked.delete(answer.id);
    });
    await this.ask("session.new", { capabilities: {} });
  }

  async ask(method, params) {
    const id = ++this.#number;
    const answered = new Promise((resolve) => this.#asked.set(id, resolve));
    this.#line.send(JSON.stringify({ id, method, params }));
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`${method}: no answer`)), ANSWER_WITHIN_MS).unref();
    });
    const answer = await Promise.race([answered, late]);
    if (answer.type === "error") throw new Error(`${method}: ${answer.message}`);
    return answer.result;
  }

  /** Opens a page in a tab of its own. */
  async open(url) {
    const { context } = await this.ask("browsingContext.create", { type: "tab" });
    const page = new Page(this, context);
    await page.go(url);
    return page;
  }

  async end() {
    this.#line?.terminate();
    const running = this.#process;
    if (running?.pid && running.exitCode === null && running.signalCode === null) {
      process.kill(-running.pid, "SIGKILL");
      await once(running, "exit");
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  #firefox;
  #context;

  constructor(firefox, context) {
    this.#firefox = firefox;
    this.#context = context;
  }

  go(url) {
    return this.#firefox.ask("browsingContext.navigate", { context: this.#context, url, wait: "complete" });
  }

  /** What an expression comes to, promises awaited: text, a number, true or false. */
  async evaluate(expression) {
    const target = { context: this.#context };
    const answer = await this.#firefox.ask("script.evaluate", { expression, target, awaitPromise: true });
    if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
    return answer.result.value;
  }

  async screenshot() {
    const shot = await this.#firefox.ask("browsingContext.captureScreenshot", { context: this.#context });
    return Buffer.from(shot.data, "base64");
  }
}
