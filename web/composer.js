/** The box a person writes in: keys, limit, height, and which of send and stop is to be had. */

import { byId, icon } from "./dom.js";

const LONGEST = 32_000; // characters, as the server counts them: code points
const COUNT_FROM = 28_800;
const TALLEST_PX = 220;

/** send(text, route); stop(); refuse(words): said where a message cannot go now. */
export class Composer {
  #box = byId("box");
  #limit = byId("limit");
  #send = byId("send");
  #stop = byId("stop");
  #route = byId("route");
  #actions;
  #running = false;

  constructor(actions) {
    this.#actions = actions;
    this.#send.prepend(icon("send"));
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#box.addEventListener("input", () => this.#changed());
    this.#box.addEventListener("keydown", (event) => {
      // isComposing: Enter that picks a word in an input method is not Enter that sends (229 is Safari's way to say so).
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => this.#actions.stop());
    this.#changed();
  }

  get text() {
    return this.#box.value;
  }

  set text(text) {
    this.#box.value = text;
    this.#changed();
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  /** While an answer runs there is Stop in the place of Send; what is written meanwhile stays in the box. */
  set running(running) {
    const heldFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#running = running;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    if (heldFocus) this.focus();
  }

  /** The routes that can be asked for by name. */
  set routes(names) {
    const chosen = this.#route.value;
    this.#route.replaceChildren(...["auto", ...names].map((name) => new Option(name, name)));
    if (names.includes(chosen)) this.#route.value = chosen;
  }

  #submit() {
    const text = this.#box.value.trim();
    if (this.#running) return this.#actions.refuse("An answer is still running. Press Escape to stop it.");
    if (text === "") return this.focus();
    if (this.#over(text) > 0) return this.#actions.refuse(`The message is ${this.#over(text).toLocaleString("en")} characters too long.`);
    this.text = "";
    this.focus();
    return this.#actions.send(text, this.#route.value);
  }

  #over(text) {
    return text.length <= LONGEST ? 0 : [...text].length - LONGEST;
  }

  #changed() {
    const text = this.#box.value.trim();
    const near = text.length >= COUNT_FROM;
    const over = near ? [...text].length - LONGEST : 0;
    this.#limit.hidden = !near;
    this.#limit.classList.toggle("over", over > 0);
    if (near) this.#limit.textContent = over > 0 ? `${over.toLocaleString("en")} too many` : `${(-over).toLocaleString("en")} left`;
    this.#box.setAttribute("aria-invalid", String(over > 0));
    this.#send.disabled = over > 0;
    this.#box.style.height = "auto";
    this.#box.style.height = `${Math.min(TALLEST_PX, this.#box.scrollHeight)}px`;
  }
}
