// The open question of the prologue: tickets to choose from, a line of one's own, or a shrug.

import { byId, element, setText } from "./dom.js";
import { speakerName } from "./words.js";

export class Question {
  #form = byId("question");
  #asked = byId("asked");
  #choices = byId("choices");
  #own = byId("own-answer");
  #text = byId("answer-text");
  #shown = null; // the question on show
  #follow = false; // the reader is answering: focus goes along to the next question

  /** `hooks`: answer({ choice, label } | { text }), skip(). */
  constructor(hooks) {
    this.hooks = hooks;
    this.speakers = {};
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (text) this.#answered(() => hooks.answer({ text }));
      else this.#text.focus();
    });
    byId("skip-question").addEventListener("click", () => this.#answered(() => hooks.skip()));
  }

  update({ script: { prologue, begun } }) {
    const question = begun ? null : prologue.question;
    if (question === this.#shown) return;
    this.#shown = question;
    this.#form.hidden = !question;
    if (!question) return;
    setText(byId("asker"), speakerName(question.speaker, this.speakers));
    setText(this.#asked, question.text);
    this.#choices.replaceChildren(...question.choices.map((choice) => this.#ticket(choice)));
    this.#own.hidden = !question.free_text;
    this.#text.value = "";
    this.#text.placeholder = question.placeholder ?? "";
    if (this.#follow) this.#form.focus({ preventScroll: true });
    this.#follow = false;
  }

  #ticket({ id, label }) {
    const choose = () => this.#answered(() => this.hooks.answer({ choice: id, label }));
    return element("button", { type: "button", className: "ticket", onclick: choose }, label);
  }

  #answered(send) {
    this.#follow = true;
    byId("transcript").focus({ preventScroll: true }); // the form goes away: keep the reader's place
    send();
  }
}
