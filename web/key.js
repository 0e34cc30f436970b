/** The person's key: asked for when the server refuses, kept in this tab's sessionStorage and nowhere else. */

import { byId } from "./dom.js";

const PLACE = "weighbridge-key";
const POSSIBLE = /^[\w!#$%&'*+.^`|~-]{1,500}$/; // it travels as a WebSocket subprotocol: a token of RFC 9110

let held = null; // where sessionStorage is switched off, the key lives as long as the page

/** The key, or null. */
export function heldKey() {
  try {
    return sessionStorage.getItem(PLACE) ?? held;
  } catch {
    return held;
  }
}

function hold(key) {
  held = key;
  try {
    if (key === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, key);
  } catch {
    // Kept in `held`.
  }
}

/** Asks for a key. entered(): a new one is held; put_off(): not now. */
export class KeyDialog {
  #dialog = byId("key-dialog");
  #input = byId("key");
  #fault = byId("key-fault");

  constructor({ entered, put_off }) {
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const key = this.#input.value.trim();
      if (!POSSIBLE.test(key)) return this.#say("A key has letters, digits and signs such as - . _ and no spaces.");
      hold(key);
      this.#dialog.close("entered");
      return entered();
    });
    byId("key-later").addEventListener("click", () => this.#dialog.close());
    this.#input.addEventListener("input", () => this.#say(""));
    this.#dialog.addEventListener("close", () => {
      this.#input.value = "";
      if (this.#dialog.returnValue !== "entered") put_off();
    });
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** The server has refused: a key that was held is wrong and is let go. */
  ask() {
    const refused = heldKey() !== null;
    hold(null);
    if (!this.isOpen) this.#dialog.showModal();
    this.#dialog.returnValue = "";
    this.#say(refused ? "The server does not know that key." : "");
  }

  #say(words) {
    this.#fault.textContent = words;
    this.#input.setAttribute("aria-invalid", String(words !== ""));
  }
}
