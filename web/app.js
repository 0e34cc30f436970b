/** The page put together: what a person does goes to the line, what the line hears goes to the answers. */

import { Composer } from "./composer.js";
import { byId, icon, make, uuid } from "./dom.js";
import { Exchange } from "./exchange.js";
import { Follower } from "./follow.js";
import { KeyDialog, heldKey } from "./key.js";
import { routeNames } from "./routes.js";
import { Link } from "./socket.js";
import { CAN_LISTEN, CAN_SPEAK, Ear, Mouth } from "./voice.js";

const STATES = {
  connecting: "Connecting",
  connected: "Connected",
  waiting: "Connection lost, trying again",
  refused: "Key needed",
};
const FORGOTTEN = "The server no longer has this conversation. What you ask from here on begins a new one: it does not know what was said above.";

const TOLD_MS = 8_000;

const conversation = byId("conversation");
const exchanges = [];
const follower = new Follower(conversation);
const mouth = CAN_SPEAK ? new Mouth() : null;
const composer = new Composer({ send: ask, stop, refuse: tell });
const keys = new KeyDialog({ entered: () => link.open(), put_off: () => byId("enter-key").focus() });
const link = new Link({ hear, changed: showState, keyOf: heldKey });
const ear = CAN_LISTEN ? new Ear({ heard: dictated, changed: showListening }) : null;
let draft = ""; // what stood in the box before the person began to speak
let told = null;

const running = () => exchanges.find((exchange) => !exchange.finished) ?? null;

function announce(words) {
  byId("announcer").replaceChildren(make("p", {}, words));
}

/** Words for a moment beside the box, and for the screen reader. */
function tell(words) {
  announce(words);
  clearTimeout(told);
  byId("told").textContent = words;
  byId("told").hidden = words === "";
  told = setTimeout(() => (byId("told").hidden = true), TOLD_MS);
}

function ask(text, route) {
  byId("welcome").hidden = true;
  const actions = { retry, feedback, announce, tell, speak: mouth === null ? null : speak };
  const exchange = new Exchange({ turn: uuid(), question: text, route, number: exchanges.length + 1, actions });
  exchanges.push(exchange);
  conversation.append(exchange.root);
  announce("");
  begin(exchange);
}

function retry(exchange) {
  if (running() !== null) return tell("An answer is still running. Press Escape to stop it.");
  exchange.again(uuid());
  composer.focus();
  return begin(exchange);
}

function begin(exchange) {
  mouth?.stop();
  ear?.drop();
  link.say({ type: "message", turn: exchange.turn, text: exchange.question, route: exchange.route });
  composer.running = true;
  if (exchange === exchanges.at(-1)) follower.start();
}

function feedback(decision_id, score) {
  link.say({ type: "feedback", decision_id, score });
}

/** Ask the server to stop; where it has not got the message yet, or does not answer a second press, stop here. */
function stop() {
  const exchange = running();
  if (exchange === null) return;
  const waits = link.withdraw(exchange.turn);
  if (!exchange.stopping) link.say({ type: "cancel", turn: exchange.turn });
  if (waits || exchange.stopping) exchange.stopHere();
  else exchange.markStopping();
  composer.focus();
  settle(exchange);
}

function hear(event) {
  const exchange = exchanges.find((one) => one.turn === event.turn && !one.finished);
  if (exchange !== undefined) {
    exchange.hear(event);
    settle(exchange);
    if (event.type === "final" && byId("speak-all").ariaPressed === "true") speak(exchange.answer.querySelector(".answer-text").textContent, null);
  } else if (event.type === "error" && !exchanges.some((one) => one.turn === event.turn)) {
    notice(event.message);
  }
}

function settle(exchange) {
  showSimulated();
  if (!exchange.finished) return;
  composer.running = running() !== null;
  follower.settle();
}

function notice(words) {
  conversation.append(make("p", { class: "notice" }, words));
  announce(words);
}

function showSimulated() {
  const known = exchanges.filter((exchange) => exchange.simulated !== null);
  const simulated = known.filter((exchange) => exchange.simulated);
  byId("simulated").hidden = simulated.length === 0;
  byId("simulated").textContent = simulated.length === known.length ? "Simulated models" : "Some simulated";
}

function showState(state) {
  if (state === "forgotten") return forget();
  byId("status").dataset.state = state;
  if (byId("status-text").textContent !== STATES[state]) byId("status-text").textContent = STATES[state];
  byId("reconnect").hidden = state !== "waiting";
  byId("enter-key").hidden = state !== "refused";
  if (state === "refused") keys.ask();
  if (state === "connected") routeNames(heldKey()).then((names) => (composer.routes = names));
  return undefined;
}

function forget() {
  const exchange = running();
  if (exchanges.length > 0) notice(FORGOTTEN);
  if (exchange === null || link.waits(exchange.turn)) return;
  exchange.fail({ code: null, keep: true, message: "The connection was lost for too long, and with it this answer." });
  settle(exchange);
}

function fresh() {
  mouth?.stop();
  if (running() !== null) link.say({ type: "cancel", turn: running().turn });
  exchanges.length = 0;
  conversation.replaceChildren();
  byId("welcome").hidden = false;
  composer.running = false;
  showSimulated();
  link.renew();
  composer.focus();
  announce("New conversation.");
}

function speak(text, button) {
  if (button?.ariaPressed === "true") return mouth.stop();
  mouth.say(text, () => button?.setAttribute("aria-pressed", "false"));
  return button?.setAttribute("aria-pressed", "true");
}

function dictated(words) {
  composer.text = draft ? `${draft} ${words}` : words;
}

function showListening(listening, words) {
  byId("listen").setAttribute("aria-pressed", String(listening));
  tell(words ?? "");
  if (!listening) composer.focus();
}

function escape(event) {
  if (event.key !== "Escape" || event.isComposing || keys.isOpen) return;
  if (ear?.listening) ear.stop();
  else if (mouth?.speaking) mouth.stop();
  else stop();
}

byId("fresh").append(icon("fresh"));
byId("fresh").addEventListener("click", fresh);
byId("reconnect").addEventListener("click", () => link.open());
byId("enter-key").addEventListener("click", () => keys.ask());
for (const button of byId("examples").querySelectorAll("button")) {
  button.addEventListener("click", () => ask(button.textContent, "auto"));
}
document.addEventListener("keydown", escape);

if (mouth !== null) {
  const button = byId("speak-all");
  button.append(icon("sound"));
  button.hidden = false;
  button.addEventListener("click", () => {
    button.ariaPressed = String(button.ariaPressed !== "true");
    mouth.stop();
  });
}
if (ear !== null) {
  byId("listen").append(icon("mic"));
  byId("listen").hidden = false;
  byId("listen").addEventListener("click", () => {
    draft = composer.text.trim();
    ear.toggle();
  });
}
link.open();
