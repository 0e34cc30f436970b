/** One question and its answer on the page, from the first "deciding" to the thumbs under it. */

import { icon, iconButton, make } from "./dom.js";
import { MarkdownView } from "./markdown.js";
import { Steps } from "./steps.js";
import { Ticket } from "./ticket.js";

const COPIED_MS = 1_600;

/** actions: retry(exchange), feedback(decision_id, score), speak(text, button) or null, announce(words), tell(words). */
export class Exchange {
  finished = false;
  stopping = false;
  simulated = null;
  text = "";

  #actions;
  #decision = null;
  #frame = null;
  #by = make("p", { class: "by" });
  #state = make("p", { class: "state" });
  #body = make("div", { class: "answer-text" });
  #foot = make("div", { class: "actions" });
  #steps = new Steps();
  #ticket = new Ticket();
  #markdown = new MarkdownView(this.#body);

  constructor({ turn, question, route, number, actions }) {
    this.turn = turn;
    this.question = question;
    this.route = route;
    this.#actions = actions;
    this.answer = make("div", { class: "answer", "aria-busy": "true" }, make("h3", { class: "unseen" }, "Answer"),
      this.#by, this.#steps.root, this.#body, this.#state, this.#foot);
    this.root = make("article", { class: "exchange", "aria-label": `Exchange ${number}` },
      make("div", { class: "question" }, make("h3", { class: "unseen" }, "You"), make("p", { dir: "auto" }, question)),
      this.answer, this.#ticket.root);
    this.#waiting("Weighing the question");
  }

  /** The same question once more, under a new turn. */
  again(turn) {
    this.turn = turn;
    this.finished = this.stopping = false;
    this.simulated = null;
    this.#decision = null;
    this.#ticket.clear();
    this.#steps.clear();
    this.#by.replaceChildren();
    this.#foot.replaceChildren();
    this.answer.classList.remove("failed");
    this.answer.setAttribute("aria-busy", "true");
    this.#replaceText("");
    this.#waiting("Weighing the question");
  }

  /** A message of the server for this turn. */
  hear(event) {
    if (this.finished) return;
    const hearers = { decision: this.#decided, token: this.#grew, final: this.#ended, error: this.fail };
    if (event.type in hearers) hearers[event.type].call(this, event);
    else this.#steps.hear(event);
  }

  /** Waiting for the server to let go. */
  markStopping() {
    this.stopping = true;
    this.#waiting("Stopping");
  }

  /** End here without the server: what was said stays. */
  stopHere() {
    this.#close();
    this.#mark("Stopped");
    this.#putActions();
  }

  /** No answer: the reason, and a way to try again. What was said so far is void, unless only the connection failed. */
  fail({ code, message, keep = false }) {
    if (!keep) this.#replaceText("");
    this.#close();
    this.answer.classList.add("failed");
    this.#state.className = "state fault";
    this.#state.replaceChildren(make("span", {}, message), code ? make("code", {}, code) : "");
    this.#foot.replaceChildren(
      make("button", { type: "button", class: "retry", onclick: () => this.#actions.retry(this) }, icon("retry"), "Try again"),
    );
    this.#actions.announce(`No answer. ${message}`);
  }

  #decided(decision) {
    if (decision.restarted) {
      this.#replaceText("");
      const reason = decision.why ? ` (${decision.why})` : "";
      const before = `${this.#decision?.route ?? "The first model"} did not finish${reason}`;
      this.#steps.note(`${before}; ${decision.route} starts over, and the text so far was thrown away.`, { grave: true });
      this.#actions.announce(`Starting over with ${decision.route}.`);
    }
    this.#decision = decision;
    this.simulated = decision.simulated;
    this.#signed(decision);
    this.#ticket.decide(decision);
    if (!this.stopping) this.#waiting(`${decision.route} is thinking`);
  }

  #grew({ text }) {
    this.text += text;
    if (!this.stopping) this.#state.replaceChildren();
    this.#body.classList.add("growing");
    this.#frame ??= requestAnimationFrame(() => this.#drawText());
  }

  #ended(final) {
    this.#close();
    // A stopped answer comes without its model's particulars: they are those of the decision.
    const begun = this.#decision;
    const route = final.route ?? begun?.route ?? "nobody";
    this.simulated = final.simulated || Boolean(final.cancelled && begun?.simulated);
    this.#replaceText(final.text || (final.cancelled ? this.text : ""));
    this.#signed({ route, model: final.model ?? (final.cancelled ? begun?.model : null), simulated: this.simulated });
    this.#ticket.settle(final);
    if (begun && begun.route !== route) {
      this.#steps.note(`Decided for ${begun.route}; ${route} answered in its place.`, { grave: true });
    }
    if (final.cached) this.#mark("From the cache", "This answer was given before");
    if (final.fixed) this.#mark("Fixed message", "No model answered; this text is the same for everybody");
    if (final.cancelled) this.#mark("Stopped");
    if (this.text === "" && !final.cancelled) this.#state.replaceChildren("The model answered with no text.");
    this.#putActions(final.decision_id ?? this.#decision?.decision_id);
    this.#actions.announce(`${final.simulated ? "Simulated answer" : "Answer"} from ${route}${final.cancelled ? ", stopped" : ""}: ${this.#body.textContent}`);
  }

  #close() {
    this.finished = true;
    this.#state.className = "state";
    this.#state.replaceChildren();
    if (this.#frame !== null) this.#drawText();
    this.#body.classList.remove("growing");
    this.answer.setAttribute("aria-busy", "false");
  }

  #signed({ route, model, simulated }) {
    this.#by.replaceChildren(make("b", { class: "route" }, route), model ? make("span", { class: "model" }, model) : "");
    if (simulated) this.#mark("Simulated", "No real model answered: this text is made up by a script", "simulated");
  }

  #mark(words, title = null, kind = "mark") {
    this.#by.append(make("span", { class: kind, title }, words));
  }

  #waiting(words) {
    this.#state.className = "state waiting";
    this.#state.replaceChildren(words, make("i", { class: "dots", "aria-hidden": "true" }));
  }

  #replaceText(text) {
    this.text = text;
    this.#drawText();
  }

  #drawText() {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.#markdown.show(this.text);
  }

  #putActions(decisionId = null) {
    const thumbs = decisionId === null ? [] : this.#thumbs(decisionId);
    const rest = this.text === "" ? [] : [this.#copyButton(), this.#speakButton()];
    const retry = decisionId === null ? iconButton("retry", "Try again", () => this.#actions.retry(this)) : "";
    this.#foot.replaceChildren(...thumbs, ...rest.filter(Boolean), retry);
  }

  #thumbs(decisionId) {
    const pressed = (event, other, score) => {
      if (event.currentTarget.getAttribute("aria-pressed") === "true") return;
      event.currentTarget.setAttribute("aria-pressed", "true");
      other.setAttribute("aria-pressed", "false");
      this.#actions.feedback(decisionId, score);
      this.#actions.announce("Thank you, noted.");
    };
    const up = iconButton("up", "Good answer", (event) => pressed(event, down, 1), { "aria-pressed": "false" });
    const down = iconButton("down", "Bad answer", (event) => pressed(event, up, -1), { "aria-pressed": "false" });
    return [up, down];
  }

  #copyButton() {
    const button = iconButton("copy", "Copy answer", async () => {
      const copied = await copy(this.text);
      button.replaceChildren(icon(copied ? "done" : "copy"));
      if (copied) this.#actions.announce("Copied.");
      else this.#actions.tell("The browser does not allow copying here.");
      setTimeout(() => button.replaceChildren(icon("copy")), COPIED_MS);
    });
    return button;
  }

  #speakButton() {
    if (this.#actions.speak === null) return null;
    const aloud = () => this.#actions.speak(this.#body.textContent, button);
    const button = iconButton("sound", "Read aloud", aloud, { "aria-pressed": "false" });
    return button;
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not allowed, or no clipboard on a plain-http address
  }
}
