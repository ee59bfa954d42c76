/** Photos that are dropped, pasted or chosen. */

import { all, attach, fill, make, one, say } from "./dom.js";

const TYPES = "image/jpeg,image/png,image/webp,image/avif,image/gif,image/bmp,image/tiff";

/** A place for photos: asks for them while it has none, and shows them until there is a result. */
export class Photos {
  /** `place` is the element, and says how many at most; `changed` is called with the files. */
  constructor(place, changed) {
    this.place = place;
    this.most = Number(place.dataset.most);
    this.changed = changed;
    this.files = [];
    const id = `${place.closest("section").id}-photo`;
    this.input = make("input", { id, type: "file", accept: TYPES, multiple: this.most > 1, className: "unseen" });
    this.input.addEventListener("change", () => {
      this.take([...this.input.files]);
      this.input.value = "";
    });
    this.draw();
  }

  /** Adds files, or with room for one only, takes the last in place of it. */
  take(files) {
    const pictures = files.filter((file) => !file.type || file.type.startsWith("image/"));
    if (!pictures.length) {
      if (files.length) say("That is not a picture.");
      return;
    }
    this.files = this.most === 1 ? pictures.slice(-1) : [...this.files, ...pictures].slice(0, this.most);
    this.draw();
    say(`${this.files.length === 1 ? this.files[0].name : `${this.files.length} photos`} chosen`);
    this.changed(this.files);
  }

  #remove(file) {
    this.files = this.files.filter((other) => other !== file);
    this.draw();
    this.input.focus();
    this.changed(this.files);
  }

  /** Shows the photos, or asks for some. */
  draw() {
    const focused = document.activeElement === this.input;
    this.place.classList.toggle("bare", !this.files.length);
    const text = this.files.length ? (this.most === 1 ? "Another photo" : "Add a photo") : null;
    const label = make("label", { htmlFor: this.input.id }, ...(text ? [text] : this.#invitation()));
    label.className = text ? "button" : "drop";
    const full = this.most > 1 && this.files.length >= this.most;
    this.input.disabled = full;
    const shown = this.files.map((file) => this.#figure(file));
    fill(this.place, ...shown, full ? null : make("span", { className: "pick" }, this.input, label));
    if (focused) this.input.focus();
  }

  #invitation() {
    const drawing = one("#generate .empty svg").cloneNode(true);
    const lead = make("strong", { className: "lead" }, this.place.dataset.lead);
    return [drawing, lead, make("span", {}, this.place.dataset.text), make("span", { className: "button" }, "Choose a file")];
  }

  #figure(file) {
    const image = attach(make("img", { alt: `Your photo, ${file.name}` }), file);
    image.addEventListener("error", () => image.replaceWith(make("span", { className: "noview" }, "No preview of this kind of file")));
    const remove = make("button", { type: "button", className: "remove", title: "Remove", onclick: () => this.#remove(file) });
    remove.append(make("span", { className: "unseen" }, `Remove ${file.name}`), "×");
    return make("figure", {}, image, make("figcaption", {}, file.name), remove);
  }
}

/** Sends what is dropped on the page, or pasted into it, to the photos that `current()` names. */
export function watchPage(current) {
  const files = (transfer) => [...(transfer?.files ?? [])];
  const mark = (over) => all(".stage").forEach((stage) => stage.classList.toggle("over", over));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(Boolean(current()));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || mark(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    current()?.take(files(event.dataTransfer));
  });
  document.addEventListener("paste", (event) => {
    const pasted = files(event.clipboardData);
    if (pasted.length && current()) current().take(pasted);
  });
}
