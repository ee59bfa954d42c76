/** What the forms have in common: fields that come and go, automatic values, presets, the file's format. */

import { all, make, one } from "./dom.js";

/** Makes a form's own behaviour work; call it again after its fields were set by a program. */
export function settle(form) {
  for (const part of all("[data-when]", form)) {
    const [name, wanted] = part.dataset.when.split("=");
    const control = form.elements[name];
    const shown = wanted.split("|").includes(control?.value) && !(control instanceof Element && control.disabled);
    part.hidden = !shown;
    for (const field of all("input, select", part)) field.disabled = !shown;
  }
  for (const box of all("[data-auto]", form)) {
    const range = form.elements[box.dataset.auto];
    range.disabled = box.checked || Boolean(range.closest("[hidden]"));
  }
  for (const output of all(".range > output", form)) {
    const range = one(`#${output.htmlFor}`, form);
    output.textContent = range.disabled ? "auto" : range.max === "1" ? `${Math.round(range.value * 100)} %` : range.value;
  }
}

/** Keeps a form in order while it is used. */
export function tend(form) {
  form.addEventListener("input", () => settle(form));
  for (const place of all(".file", form)) place.append(...fileFields(place.dataset.file));
  settle(form);
}

function fileFields(prefix) {
  const format = make("select", { id: `${prefix}-format`, name: "format" });
  for (const [value, title] of [["", "Automatic"], ["webp", "WebP"], ["jpeg", "JPEG"], ["png", "PNG"], ["avif", "AVIF"]]) {
    format.append(make("option", { value }, title));
  }
  const facts = { id: `${prefix}-quality`, name: "quality", type: "number", min: 1, max: 100, placeholder: "Automatic" };
  const field = (id, title, control) => make("div", { className: "field" }, make("label", { htmlFor: id }, title), control);
  const quality = field(facts.id, "Quality", make("input", facts));
  return [make("div", { className: "pair" }, field(format.id, "Format", format), quality)];
}

/** What a form says, [name, text], without what is left open; the background's colour in its place. */
export function entries(form) {
  const told = new FormData(form);
  if (told.get("background") === "colour") told.set("background", told.get("background-colour"));
  told.delete("background-colour");
  return [...told].filter(([, value]) => typeof value === "string" && value !== "");
}

/** Offers the marketplaces' presets in a form, with their rules beneath. */
export function offerPresets(form, presets) {
  const select = form.elements.preset;
  const note = make("p", { className: "note", id: `${select.id}-note` });
  select.append(...presets.map(({ name, title }) => make("option", { value: name }, title)));
  select.after(note);
  select.setAttribute("aria-describedby", note.id);
  const explain = () => {
    const found = presets.find(({ name }) => name === select.value);
    note.textContent = found ? `${found.rules} As read on ${found.read}.` : "";
  };
  form.addEventListener("input", explain);
}
