// The door of an operator's page: an API key that stays in this tab, pasted or brought by a link.

import { byId, pastedSecret, tabValue, takeFragment } from "./shared.js";

const key = tabValue("belfry.key");

/**
 * Opens the page with a key that was kept or came by the link, or shows the form that asks for one. `opened` is called
 * whenever somebody comes in, `closed` whenever they leave. Answers how to ask for the key and how to leave.
 */
export function door({ opened, closed }) {
  function enter(secret) {
    key.set(secret);
    show(true);
    opened();
  }

  function leave(why) {
    key.set(null);
    show(false);
    byId("door-key").value = "";
    byId("door-error").textContent = why;
    closed();
  }

  function show(inside) {
    byId("door").hidden = inside;
    byId("room").hidden = !inside;
    byId("sign-out").hidden = !inside;
  }

  function arriveByLink() {
    const link = takeFragment("key");
    if (link?.get("key")) enter(link.get("key"));
    return link !== null;
  }

  byId("sign-out").addEventListener("click", () => leave(""));
  byId("door").addEventListener("submit", (event) => {
    event.preventDefault();
    const secret = pastedSecret(byId("door-key").value, "key");
    if (secret) enter(secret);
    else byId("door-error").textContent = "That link carries no key.";
  });
  addEventListener("hashchange", arriveByLink);

  return {
    key: () => key.get(),
    leave,
    /** To be called once the page is wired. */
    begin() {
      if (arriveByLink()) return;
      const kept = key.get();
      if (kept) enter(kept);
      else leave("");
    },
  };
}
