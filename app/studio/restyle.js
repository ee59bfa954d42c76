/** Restyling: a snapshot as a catalogue shot, another colour, a drawing of a photo, a product of a drawing. */

import { freshSeed } from "./generate.js";
import { make, one, titled } from "./dom.js";
import { offerPresets, settle } from "./fields.js";
import { single } from "./single.js";

const WORDS = {
  studio: ["Studio", "A snapshot becomes a catalogue shot on white."],
  colorway: ["New colour", "Shading and texture stay, and all the rest."],
  sketch: ["Sketch", "A photo becomes a clean line drawing."],
  "from-sketch": ["From a sketch", "A line drawing becomes a product."],
};

/** Wires the panel. */
export function restyle(section, to) {
  // A seed is drawn here rather than by the service, so that the copied request gives the same picture.
  const seeded = (told) => {
    const missing = told.some(([, value]) => value === "from-sketch") && !told.some(([name]) => name === "seed");
    return missing ? [...told, ["seed", String(freshSeed())]] : told;
  };
  const named = (told) => told.get("style");
  const { form, photos } = single(section, "restyle", { next: ["enhance", "compose"], to, fields: seeded, named });
  return {
    photos,
    offer({ styles, drawn, presets }) {
      one(".styles > div", section).append(...styles.map(choice));
      form.elements.category.append(...drawn.map((name) => make("option", { value: name }, titled(name))));
      offerPresets(form, presets);
      settle(form);
    },
  };
}

/** A style to choose; one that this page has no words for goes by its own name. */
function choice(style, index) {
  const [title, text] = WORDS[style] ?? [titled(style), ""];
  const radio = make("input", { type: "radio", name: "style", value: style, checked: index === 0 });
  return make("label", {}, radio, make("span", {}, make("strong", {}, title), make("span", { className: "note" }, text)));
}
