// The live line to the server: one WebSocket that says hello, answers pings, comes back by itself and resumes where
// it stopped. It knows nothing of the page; whoever owns it passes in callbacks.

/** Until the server's `hello` says otherwise; the same figures as its defaults. */
const DEFAULT_RECONNECT = { max_attempts: 5, delay_ms: 1000, factor: 2, jitter: 0.2 };
/** However patient the server asks us to be, a person should not wait longer than this between two tries. */
const DELAY_MAX_MS = 30_000;
/** A hello that has not come after this long will not come. */
const HELLO_WAIT_MAX_MS = 12_000;
/** Acknowledgements are gathered: the newest offset stands for all before it. */
const ACK_DELAY_MS = 500;

/** Close codes after which trying again with the same token cannot help (4005 too: this page cannot mint a new one). */
const FINAL = {
  4005: "This token has expired. Paste a fresh one to go on.",
  4500: "The server does not accept this token. Paste another one.",
  4502: "The server did not receive the token in time.",
  4503: "An administrator closed this connection.",
  4504: "Too many connections are open. Close another tab and try again.",
  4507: "This token may not open a live connection.",
};

export class Live {
  #token;
  #on;
  #socket = null;
  #timer = 0;
  #watchdog = 0;
  #ackTimer = 0;
  #attempt = 0;
  #reconnect = DEFAULT_RECONNECT;
  #silenceMaxMs = 0;
  #epoch = null;
  #offset = 0;
  #greetedNow = false;
  #watched = new Set();

  /** @param on `{state(name, detail), hello(frame), notification(frame), inbox(frame), workflow(frame)}` */
  constructor(token, on) {
    this.#token = token;
    this.#on = on;
  }

  start() {
    this.#attempt = 0;
    this.#open("connecting");
  }

  /** Ends the connection for good; no callback follows. */
  stop() {
    this.#letGo();
  }

  /** Tries at once, whatever the back-off says: a person asked, or the network came back. */
  retry() {
    if (this.#socket) return;
    this.start();
  }

  /** Follows a workflow's progress, now and after every reconnect. */
  watch(workflowId) {
    const channel = `workflow:${workflowId}`;
    if (this.#watched.has(channel)) return;
    this.#watched.add(channel);
    if (this.#greetedNow) this.#send({ type: "subscribe", channel, id: channel });
  }

  #open(state) {
    this.#letGo();
    this.#on.state(state);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/ws`);
    this.#socket = socket;
    socket.onopen = () => this.#introduce();
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = (event) => this.#closed(event.code);
    this.#expectLifeWithin(HELLO_WAIT_MAX_MS);
  }

  #introduce() {
    const frame = { type: "connect", token: this.#token };
    if (this.#epoch !== null) frame.resume = { epoch: this.#epoch, offset: this.#offset };
    this.#send(frame);
  }

  #take(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (this.#silenceMaxMs > 0) this.#expectLifeWithin(this.#silenceMaxMs);
    switch (frame.type) {
      case "hello":
        return this.#greeted(frame);
      case "ping":
        return this.#send({ type: "pong" });
      case "notification":
        this.#advance(frame.offset);
        return this.#on.notification(frame);
      case "inbox":
        return this.#on.inbox(frame);
      case "workflow_update":
        return this.#on.workflow(frame);
    }
  }

  #greeted(frame) {
    this.#attempt = 0;
    this.#reconnect = { ...DEFAULT_RECONNECT, ...frame.reconnect };
    // Seconds on the wire. Two and a half beats without a sound means that the line is dead, whatever TCP believes.
    this.#silenceMaxMs = Number(frame.heartbeat_interval) > 0 ? frame.heartbeat_interval * 2500 : 0;
    if (this.#silenceMaxMs > 0) this.#expectLifeWithin(this.#silenceMaxMs);
    else clearTimeout(this.#watchdog);
    // After a recovery the missed notifications follow and move the offset themselves: a cut in the middle of them
    // must not skip the rest.
    if (!frame.recovered) this.#offset = Number(frame.offset) || 0;
    this.#epoch = frame.epoch ?? null;
    this.#greetedNow = true;
    for (const channel of this.#watched) this.#send({ type: "subscribe", channel, id: channel });
    this.#on.state("live");
    this.#on.hello(frame);
  }

  #advance(offset) {
    if (!(offset > this.#offset)) return;
    this.#offset = offset;
    if (this.#ackTimer) return;
    this.#ackTimer = setTimeout(() => {
      this.#ackTimer = 0;
      this.#send({ type: "ack", offset: this.#offset });
    }, ACK_DELAY_MS);
  }

  #closed(code) {
    this.#letGo();
    if (FINAL[code] || (code >= 4500 && code < 4600)) {
      const why = FINAL[code] ?? `The server ended this connection (code ${code}).`;
      return this.#on.state("stopped", { why, code, badToken: code === 4005 || code === 4500 });
    }
    if (this.#attempt >= this.#reconnect.max_attempts) {
      return this.#on.state("stopped", { why: "The server cannot be reached.", code, badToken: false });
    }
    const delayMs = this.#nextDelayMs();
    this.#on.state("reconnecting", { delayMs, attempt: this.#attempt });
    this.#timer = setTimeout(() => this.#open("reconnecting"), delayMs);
  }

  #nextDelayMs() {
    const { delay_ms, factor, jitter } = this.#reconnect;
    const base = Math.min(delay_ms * factor ** this.#attempt, DELAY_MAX_MS);
    this.#attempt += 1;
    // Spread both ways, so that a restart is not answered by everybody in the same instant.
    return Math.round(base * (1 + jitter * (Math.random() * 2 - 1)));
  }

  #expectLifeWithin(ms) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#closed(1006), ms);
  }

  #letGo() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    clearTimeout(this.#ackTimer);
    this.#ackTimer = 0;
    this.#silenceMaxMs = 0;
    this.#greetedNow = false;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify({ ...frame, timestamp: new Date().toISOString() }));
  }
}
