/** Speaking and listening, where the browser can. Both are the browser's own; the page sends no sound anywhere. */

const Recognition = globalThis.SpeechRecognition ?? globalThis.webkitSpeechRecognition ?? null;
const synthesis = globalThis.speechSynthesis ?? null;

export const CAN_LISTEN = Recognition !== null;
export const CAN_SPEAK = synthesis !== null && "SpeechSynthesisUtterance" in globalThis;

const FAULTS = {
  "not-allowed": "The browser does not allow the microphone here.",
  "service-not-allowed": "The browser does not allow speech recognition here.",
  "audio-capture": "No microphone was found.",
  network: "The browser's speech service cannot be reached.",
};

/** Turns speech into text. heard(text): the words since the start, as they firm up; changed(listening, words or null). */
export class Ear {
  #recognition = null;
  #heard;
  #changed;

  constructor({ heard, changed }) {
    this.#heard = heard;
    this.#changed = changed;
  }

  get listening() {
    return this.#recognition !== null;
  }

  /** Start, or stop and keep what was heard. */
  toggle() {
    if (this.listening) this.stop();
    else this.#start();
  }

  stop() {
    this.#recognition?.stop();
  }

  /** Stop and hear no more: words that firm up after the message has gone must not come back into the box. */
  drop() {
    if (!this.listening) return;
    this.#recognition.onresult = null;
    this.#recognition.abort();
  }

  #start() {
    const recognition = new Recognition();
    let fault = null;
    recognition.lang = navigator.language;
    recognition.interimResults = true;
    recognition.continuous = true;
    recognition.onresult = (event) => this.#heard(Array.from(event.results, (result) => result[0].transcript).join(" ").replace(/\s+/g, " ").trim());
    recognition.onerror = (event) => (fault = FAULTS[event.error] ?? null);
    recognition.onend = () => {
      this.#recognition = null;
      this.#changed(false, fault);
    };
    this.#recognition = recognition;
    recognition.start();
    this.#changed(true, "Listening. Some browsers send the sound to their maker's speech service.");
  }
}

/** Reads text aloud, one at a time. */
export class Mouth {
  #ended = null;

  get speaking() {
    return this.#ended !== null;
  }

  /** Say this, in place of whatever is being said. ended(): it is over, or something else is said. */
  say(text, ended) {
    this.stop();
    const utterance = new SpeechSynthesisUtterance(text);
    utterance.onend = utterance.onerror = () => {
      if (this.#ended === ended) this.#finish();
    };
    this.#ended = ended;
    synthesis.speak(utterance);
  }

  stop() {
    if (!this.speaking) return;
    this.#finish();
    synthesis.cancel();
  }

  #finish() {
    const ended = this.#ended;
    this.#ended = null;
    ended();
  }
}
