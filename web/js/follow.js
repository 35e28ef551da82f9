// Keeps the end of the story in view while the reader is there, and leaves them alone when they scroll back.

import { byId } from "./dom.js";

const NEAR = 24; // px from the end that still count as being there
const ABOVE = 110; // px above what is to be read first: the valance, and a line of what was said before

export class Follow {
  #button = byId("latest");
  #question = byId("question");
  #transcript = byId("transcript");
  #page = document.scrollingElement;
  #following = true;
  #height = 0;
  #top = 0;

  constructor() {
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#button.addEventListener("click", () => this.toEnd());
  }

  /** After the page has changed. */
  update() {
    const grown = this.#page.scrollHeight > this.#height;
    this.#height = this.#page.scrollHeight;
    if (this.#following) this.#page.scrollTop = Math.max(this.#end, this.#page.scrollTop);
    else if (grown) this.#button.hidden = false;
  }

  toEnd() {
    this.#following = true;
    this.#button.hidden = true;
    this.#page.scrollTop = this.#end;
  }

  /** Where the end is: the bottom of the page, but never past the beginning of what is to be read first. */
  get #end() {
    const { scrollHeight, clientHeight, scrollTop } = this.#page;
    const bottom = scrollHeight - clientHeight;
    const first = this.#first;
    return first ? Math.min(bottom, scrollTop + first.getBoundingClientRect().top - ABOVE) : bottom;
  }

  /** An answer from the FAQ, which has the open question and the whispers below it; or the open question. */
  get #first() {
    const last = this.#transcript.lastElementChild;
    if (last?.classList.contains("faq")) return last;
    return this.#question.hidden ? null : this.#question;
  }

  #scrolled() {
    const { scrollTop } = this.#page;
    if (scrollTop > this.#end - NEAR) {
      this.#following = true;
      this.#button.hidden = true;
    } else if (scrollTop < this.#top) {
      this.#following = false; // only readers scroll up; the page may also grow between two events
    }
    this.#top = scrollTop;
  }
}
