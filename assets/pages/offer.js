// The line below the inbox that says whether this browser shows notifications while the page is closed, and changes it.

import { disablePush, enablePush, pushState } from "/push.js";
import { byId } from "./shared.js";

const TEXTS = {
  off: "This browser can show notifications while the inbox is closed.",
  on: "This browser shows notifications while the inbox is closed.",
  denied: "Notifications are blocked for this site. Allow them in the browser’s settings for the site, then load this page again.",
  unsupported: "This browser cannot show notifications while the inbox is closed. On an iPhone or iPad, add this page to the home screen first.",
  insecure: "Notifications while the inbox is closed need a connection over https.",
};
const BUTTONS = { off: "Enable notifications", on: "Turn them off" };

let token = null;

/** Shows where this browser stands, for whoever holds this token; null hides it. */
export async function offerPush(secret) {
  token = secret;
  byId("push").hidden = true;
  if (secret) await show(pushState);
}

async function show(act) {
  const button = byId("push-do");
  button.disabled = true;
  let state = "off";
  try {
    state = await act();
    byId("push-text").textContent = TEXTS[state];
  } catch (error) {
    state = await pushState().catch(() => "off");
    byId("push-text").textContent = `That did not work: ${error.message}`;
  }
  byId("push").dataset.state = state;
  byId("push").hidden = token === null;
  button.hidden = !(state in BUTTONS);
  button.textContent = BUTTONS[state] ?? "";
  button.disabled = false;
  button.onclick = () => show(() => (state === "on" ? disablePush(token) : enablePush(token)));
}
