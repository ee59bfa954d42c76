/** Enhancing: a photo, larger and cleaner, on another background, or as a marketplace wants it. */

import { offerPresets } from "./fields.js";
import { single } from "./single.js";

/** Wires the panel. */
export function enhance(section, to) {
  const named = (told) => (told.get("scale") === "1" ? "clean" : `${told.get("scale")}x`);
  const { form, photos } = single(section, "enhance", { next: ["restyle", "compose"], to, named });
  return { photos, offer: ({ presets }) => offerPresets(form, presets) };
}
