/** The weigh ticket beside an answer: how sure the router was, why, and what the answer cost. */

import { make } from "./dom.js";
import { dollars, duration, percent, plainName, whyInWords } from "./words.js";

const MOST_LABELS = 6;

/** One decision, filled in as it becomes known. */
export class Ticket {
  root = make("div", { class: "ticket", role: "group", "aria-label": "Decision", hidden: true });
  #decision = null;
  #final = null;
  #open = false; // a disclosure stays as the reader left it when the figures arrive

  /** As for a question not asked yet. */
  clear() {
    this.root.hidden = true;
    this.#decision = this.#final = null;
  }

  /** The router has decided. */
  decide(decision) {
    this.#decision = decision;
    this.#final = null;
    this.#draw();
  }

  /** The answer is whole. */
  settle(final) {
    this.#final = final;
    this.#draw();
  }

  #draw() {
    const probabilities = this.#decision?.probabilities ?? {};
    this.root.hidden = false;
    this.root.replaceChildren(
      ...(this.#decision === null ? [] : reasons(this.#decision)),
      figures(this.#decision, this.#final),
      ...(Object.keys(probabilities).length ? [this.#disclosure(probabilities)] : []),
    );
  }

  #disclosure(probabilities) {
    const heads = Object.entries(probabilities).map(([head, labels]) => headList(head, labels));
    const details = make("details", { class: "probabilities", open: this.#open }, make("summary", {}, "Probabilities"), ...heads);
    details.addEventListener("toggle", () => (this.#open = details.open));
    return details;
  }
}

function reasons(decision) {
  const sure = make("p", { class: "sure" }, make("span", {}, "Confidence"), make("b", {}, percent(decision.confidence)));
  const why = make("p", { class: "why" }, capital(whyInWords(decision)));
  return typeof decision.confidence === "number" ? [sure, bar(decision.confidence), why] : [sure, why];
}

/** decision: null where a fixed message came before any model was asked. */
function figures(decision, final) {
  const rows = [
    ["Cost", final && dollars(final.cost_usd)],
    ["Time", final && duration(final.latency_ms)],
    ["First word", final && duration(final.first_token_ms)],
    ["Provider", decision?.provider],
    ["Novelty", typeof decision?.novelty === "number" && percent(decision.novelty), "Share of the calibration queries that are more familiar than this one"],
    ["Served as", final && final.served_model && final.served_model !== final.model && final.served_model, null, "wide"],
  ];
  const shown = rows.filter(([, value]) => value);
  return make("dl", {}, ...shown.map(([name, value, title, kind]) => make("div", { title, class: kind }, make("dt", {}, name), make("dd", {}, value))));
}

function headList(head, labels) {
  const ranked = Object.entries(labels).sort((a, b) => b[1] - a[1]);
  const shown = ranked.length <= MOST_LABELS + 1 ? ranked.length : MOST_LABELS; // "1 others" would take as much room
  const rows = ranked.slice(0, shown).map(([label, p]) =>
    make("li", {}, make("span", { class: "label" }, plainName(label)), bar(p), make("span", { class: "p" }, percent(p))),
  );
  const rest = ranked.slice(shown);
  const others = rest.length ? make("li", { class: "others" }, `${rest.length} others, ${percent(rest.reduce((sum, [, p]) => sum + p, 0))}`) : null;
  return make("div", { class: "head" }, make("h4", {}, plainName(head)), make("ul", { "aria-label": plainName(head) }, ...rows, others));
}

/** The number in words stands beside it; the bar is for the eye. */
function bar(p) {
  const fill = make("i");
  fill.style.width = `${Math.round(1000 * Math.min(1, Math.max(0, p))) / 10}%`; // through CSSOM: the policy forbids style attributes
  return make("span", { class: "bar", "aria-hidden": "true" }, fill);
}

function capital(sentence) {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
