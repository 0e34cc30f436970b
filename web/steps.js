/** What happened on the way to an answer: tools called, what they returned, hand-overs between desks, new starts. */

import { make } from "./dom.js";

const LONGEST_SHOWN = 4_000;

/** Notes stand open, since they change how the answer reads; tool calls fold into one line. */
export class Steps {
  root = make("div", { class: "steps" });
  #notes = make("ul", { class: "notes", hidden: true });
  #summary = make("summary");
  #list = make("ol");
  #tools = make("details", { class: "tools-used", hidden: true }, this.#summary, this.#list);
  #names = [];

  constructor() {
    this.root.append(this.#notes, this.#tools);
  }

  /** Forget all of it. */
  clear() {
    this.#names = [];
    this.#list.replaceChildren();
    this.#notes.replaceChildren();
    this.#notes.hidden = this.#tools.hidden = true;
  }

  /** A line that stands open. grave: it changes what the answer is worth. */
  note(words, { grave = false } = {}) {
    this.#notes.hidden = false;
    this.#notes.append(make("li", { class: grave ? "grave" : null }, words));
  }

  /** A tool call, its result, or a hand-over; what is none of these is passed over. */
  hear(event) {
    if (event.type === "handoff") this.note(`Handed over from ${event.from} to ${event.to}.`);
    if (event.type === "tool_call") this.#called(event);
    if (event.type === "tool_result") this.#returned(event);
  }

  #called({ name, arguments: given }) {
    this.#names.push(name);
    this.#tools.hidden = false;
    this.#summary.textContent = `Used ${[...new Set(this.#names)].join(", ")}`;
    const shown = typeof given === "string" ? given : JSON.stringify(given);
    this.#list.append(make("li", {}, make("b", {}, name), " ", make("code", {}, cut(shown ?? ""))));
  }

  #returned({ name, text }) {
    this.#list.append(make("li", {}, make("b", {}, name), " returned", make("pre", { tabindex: 0, role: "group", "aria-label": `What ${name} returned` }, cut(text))));
  }
}

function cut(text) {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}
