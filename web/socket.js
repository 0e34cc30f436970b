/** The line to the server: it breaks, comes back, and goes on where it was, without loss and without repeats. */

import { uuid } from "./dom.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const PING_MS = 15_000; // the server lets a session go 30 s after its socket: a dead one must be noticed before
const PONG_MS = 8_000;
const OPEN_MS = 12_000;
const KEY_REFUSED = 4401;
const SESSION_REFUSED = 4400; // not to be had any more, but another one is
const RUNNING_ALREADY = "too_many_turns";

/**
 * One conversation over as many sockets as it takes.
 *
 * hear(event): every message of the server, once, in order.
 * changed(state): "connecting", "connected", "waiting" (until the next try), "refused" (a key is asked for), "forgotten"
 * (the server no longer has the session; a new one is begun).
 * keyOf(): the person's key, or null.
 */
export class Link {
  #hear;
  #changed;
  #keyOf;
  #socket = null;
  #session = uuid();
  #lastSeq = 0;
  #attempts = 0;
  #connected = false;
  #timer = null;
  #unanswered = new Map(); // turn -> message of which the server has not said a word yet
  #outbox = [];
  #repeated = new Set(); // turns that were said again, since nothing had been heard of them

  constructor({ hear, changed, keyOf }) {
    this.#hear = hear;
    this.#changed = changed;
    this.#keyOf = keyOf;
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#socket && this.#broken(0));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#hurry());
  }

  /** Connect now, whatever was planned. */
  open() {
    this.#leave();
    this.#changed("connecting");
    const address = new URL("ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams({ session: this.#session, last_seq: this.#lastSeq });
    const key = this.#keyOf();
    const socket = new WebSocket(address, key ? ["weighbridge", `key.${key}`] : ["weighbridge"]);
    this.#socket = socket;
    // Connected is only who has been answered: a server accepts a socket before it can refuse its key in words.
    socket.onopen = () => this.#ping();
    this.#timer = setTimeout(() => this.#broken(0), OPEN_MS);
    socket.onmessage = (message) => this.#heard(JSON.parse(message.data));
    socket.onclose = (event) => this.#broken(event.code);
  }

  /** Leave the conversation and begin another. */
  renew() {
    this.#unanswered.clear();
    this.#outbox = [];
    this.#begin();
    this.open();
  }

  /** Say something; it waits where there is no connection. A message of a turn is said again until it is answered. */
  say(message) {
    if (message.type === "message") this.#unanswered.set(message.turn, message);
    else if (!this.#connected) this.#outbox.push(message);
    if (this.#connected) this.#socket.send(JSON.stringify(message));
  }

  /** Take back a message that waits for the connection; false if it has gone out, and must be cancelled instead. */
  withdraw(turn) {
    return !this.#connected && this.#unanswered.delete(turn);
  }

  /** Whether the server has not said a word of this turn yet. */
  waits(turn) {
    return this.#unanswered.has(turn);
  }

  #heard(event) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ping(), this.#connected || event.type === "pong" ? PING_MS : PONG_MS);
    if (!this.#connected) this.#welcome(event);
    // It had arrived after all, and goes on: that it came twice is no news.
    const runsAlready = event.type === "error" && event.code === RUNNING_ALREADY && this.#repeated.has(event.turn);
    this.#unanswered.delete(event.turn);
    if (Number.isInteger(event.seq)) {
      if (event.seq <= this.#lastSeq) return;
      this.#lastSeq = event.seq;
    }
    if (event.type !== "pong" && !runsAlready) this.#hear(event);
  }

  // What was missed comes before the pong, so what is unanswered by then has not arrived.
  #welcome(event) {
    if (event.type !== "pong") return;
    this.#connected = true;
    this.#attempts = 0;
    this.#changed("connected");
    for (const turn of this.#unanswered.keys()) this.#repeated.add(turn);
    for (const message of [...this.#unanswered.values(), ...this.#outbox]) this.#socket.send(JSON.stringify(message));
    this.#outbox = [];
  }

  #ping() {
    this.#socket.send(JSON.stringify({ type: "ping" }));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#broken(0), PONG_MS);
  }

  #broken(code) {
    this.#leave();
    if (code === KEY_REFUSED) {
      this.#attempts = 0; // nothing to hurry: the next try is the person's
      this.#changed("refused");
      return;
    }
    if (code === SESSION_REFUSED) {
      this.#begin();
      this.#changed("forgotten");
    }
    const wait_ms = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempts) * (0.75 + Math.random() / 2);
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.open(), wait_ms);
    this.#changed("waiting");
  }

  #begin() {
    this.#session = uuid();
    this.#lastSeq = 0;
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#connected = false;
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #hurry() {
    if (this.#socket === null && this.#attempts > 0) this.open();
  }
}
