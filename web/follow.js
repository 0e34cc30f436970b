/** Keeps the end of a growing answer in sight, until the reader scrolls away from it. */

import { byId } from "./dom.js";

const NEAR_PX = 90;

/** Follows while `running`; the button that leads back shows when the reader is elsewhere. */
export class Follower {
  #button = byId("latest");
  #following = true;
  #running = false;
  #last = 0;

  constructor(content) {
    new ResizeObserver(() => this.#grown()).observe(content);
    addEventListener("scroll", () => this.#look(), { passive: true });
    this.#button.addEventListener("click", () => this.start());
  }

  /** Go to the end, and stay there while the answer runs. */
  start() {
    this.#running = true;
    this.#following = true;
    this.#toEnd();
  }

  /** The answer is whole: stay until its last lines are laid out, then leave the page to the reader. */
  settle() {
    requestAnimationFrame(() => requestAnimationFrame(() => (this.#running = false)));
  }

  #grown() {
    if (this.#running && this.#following) this.#toEnd();
    this.#look();
  }

  #toEnd() {
    scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  }

  #look() {
    const left = document.documentElement.scrollHeight - innerHeight - scrollY;
    // Only a reader goes up; that the end is far may also mean that the answer has just grown.
    if (scrollY < this.#last) this.#following = false;
    if (left < NEAR_PX) this.#following = true;
    this.#last = scrollY;
    this.#button.hidden = left < 2 * NEAR_PX;
  }
}
