// The line below the inbox that says whether this browser shows notifications while the page is closed, and changes it.

import { PUSH_BUTTONS, PUSH_TEXTS, disablePush, enablePush, pushState } from "/push.js";
import { byId } from "./shared.js";

let token = null;

/** Shows where this browser stands, for whoever holds this token; null hides it. */
export async function offerPush(secret) {
  token = secret;
  byId("push").hidden = true;
  if (secret) await show(() => pushState());
}

async function show(act) {
  const button = byId("push-do");
  button.disabled = true;
  let state = "off";
  try {
    state = await act();
    byId("push-text").textContent = PUSH_TEXTS[state];
  } catch (error) {
    state = await pushState().catch(() => "off");
    byId("push-text").textContent = `That did not work: ${error.message}`;
  }
  byId("push").dataset.state = state;
  byId("push").hidden = token === null;
  button.hidden = !(state in PUSH_BUTTONS);
  button.textContent = PUSH_BUTTONS[state] ?? "";
  button.disabled = false;
  button.onclick = () => show(() => (state === "on" ? disablePush(token) : enablePush(token)));
}
