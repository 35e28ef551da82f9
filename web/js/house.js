// What the house says of itself and of the story as a whole: its name, worlds, models, the queue, a copy to keep.

export class House {
  #copy = []; // parts of a story's export

  constructor() {
    this.model = { name: "", state: "unknown" };
    this.queue = null; // { place, eta_s } while the listener waits for a free place
    this.title = ""; // the listener's own name of the story
    this.world = "";
    this.language = "";
    this.worlds = [];
    this.models = [];
  }

  /** Takes `session.ready`. */
  greet({ title, world, language, worlds, model, models }) {
    Object.assign(this, { title: title ?? "", world, language: language ?? "en", worlds: worlds ?? [], models });
    if (this.model.name !== model) this.model = { ...this.model, name: model };
  }

  /** Takes `model.status`. */
  status(frame) {
    this.model = frame;
    if (frame.state !== "full") this.queue = null;
  }

  /** Takes a part of an export: { format, text } once it is whole, until then null. */
  copy({ format, text, part = 1, parts = 1 }) {
    if (part === 1) this.#copy = [];
    this.#copy[part - 1] = text;
    if (Object.keys(this.#copy).length < parts) return null;
    const whole = this.#copy.join("");
    this.#copy = [];
    return { format, text: whole };
  }
}
