// A push service on loopback as browsers know it: Firefox's line over WebSocket on one side, RFC 8030 and RFC 8292 on the
// other. It checks what a real one checks.

import { createPublicKey, randomUUID, verify } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const BODY_BYTES_MAX = 4096;

export class PushService {
  #http = createServer((request, response) => this.#post(request, response));
  #subscriptions = new Map();
  #browsers = new Map();
  /** Statuses to answer next instead of taking the message. */
  next = [];
  /** What came: headers, status and why. */
  posts = [];
  /** How many messages the browser has confirmed. */
  acknowledged = 0;
  base = "";

  get url() {
    return this.base.replace("http", "ws");
  }

  async start() {
    this.#http.listen(0, "127.0.0.1");
    await once(this.#http, "listening");
    this.base = `http://127.0.0.1:${this.#http.address().port}`;
    new WebSocketServer({ server: this.#http, handleProtocols: () => "push-notification" })
      .on("connection", (socket) => this.#browser(socket));
  }

  end() {
    for (const socket of this.#browsers.values()) socket.terminate();
    this.#http.closeAllConnections();
    this.#http.close();
  }

  #browser(socket) {
    let uaid = null;
    const tell = (frame) => socket.send(JSON.stringify(frame));
    socket.on("message", (data) => {
      const frame = JSON.parse(data.toString() || "{}");
      const { messageType: type, channelID } = frame;
      if (type === "hello") {
        uaid = frame.uaid || randomUUID().replaceAll("-", "");
        this.#browsers.set(uaid, socket);
        tell({ messageType: "hello", status: 200, uaid, use_webpush: true, broadcasts: {} });
      } else if (type === "register") {
        const token = randomUUID();
        this.#subscriptions.set(token, { uaid, channelID, key: frame.key, gone: false });
        tell({ messageType: "register", status: 200, channelID, uaid, pushEndpoint: `${this.base}/wpush/v2/${token}` });
      } else if (type === "unregister") {
        for (const one of this.#subscriptions.values()) one.gone ||= one.channelID === channelID;
        tell({ messageType: "unregister", status: 200, channelID });
      } else if (type === "ack") {
        this.acknowledged += frame.updates?.length ?? 1;
      } else if (!type) {
        socket.send("{}");
      }
    });
  }

  async #post(request, response) {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const [status, why] = this.#judge(request, body);
    this.posts.push({ headers: request.headers, status, why });
    response.writeHead(status, status === 429 ? { "retry-after": "1" } : {}).end(why);
  }

  #judge(request, body) {
    if (this.next.length > 0) return [this.next.shift(), "as the test says"];
    const subscription = this.#subscriptions.get(request.url.split("/").pop());
    if (!subscription) return [404, "unknown"];
    if (subscription.gone) return [410, "gone"];
    const wrong = this.#misSigned(request.headers.authorization ?? "", subscription);
    if (wrong) return [401, wrong];
    if (!/^\d+$/.test(request.headers.ttl ?? "")) return [400, "no TTL"];
    if (request.headers["content-encoding"] !== "aes128gcm") return [400, "not aes128gcm"];
    if (body.length > BODY_BYTES_MAX) return [413, "too large"];
    this.#browsers.get(subscription.uaid).send(JSON.stringify({
      messageType: "notification", channelID: subscription.channelID, version: randomUUID(),
      data: body.toString("base64url"), headers: { encoding: "aes128gcm" },
    }));
    return [201, ""];
  }

  /** What is wrong with a VAPID header, if anything is. */
  #misSigned(header, subscription) {
    const found = /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), k=([\w-]+)$/.exec(header);
    if (!found) return "no vapid header";
    const [, head, claims, signature, key] = found;
    const point = Buffer.from(key, "base64url");
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString("base64url"));
    const publicKey = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
    const signed = verify("sha256", Buffer.from(`${head}.${claims}`),
      { key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url"));
    if (!signed) return "a signature that is not the key's";
    const { aud, exp } = JSON.parse(Buffer.from(claims, "base64url"));
    const now = Date.now() / 1000;
    if (aud !== this.base) return `for ${aud}`;
    if (!(exp > now && exp <= now + 24 * 3600)) return `until ${exp}`;
    const expected = Buffer.from(subscription.key ?? key, "base64url");
    return expected.equals(point) ? null : "another key than the browser subscribed with";
  }
}
