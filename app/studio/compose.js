/** Composing: products onto a backdrop. The preview follows every change of an option. */

import { ask, pictures } from "./api.js";
import { attach, debounced, make, one, say, stem } from "./dom.js";
import { entries, offerPresets, settle, tend } from "./fields.js";
import { Job } from "./job.js";
import { Photos } from "./photos.js";
import { onward, showResult } from "./result.js";

const PAUSE_MS = 350;
const OWN_FIELDS = ["behind", "shipped", "colour", "above", "below"];

/** Wires the panel. */
export function compose(section, to) {
  const form = one("form", section);
  const place = one(".result", section);
  const job = new Job(one(".job", section), form);
  const photos = new Photos(one(".photos", section), (files) => {
    place.hidden = !files.length;
    if (files.length) refresh();
    else job.stop();
  });
  photos.place.classList.add("several");
  const mini = make("img", { className: "mini", alt: "" });
  one(".go", section).prepend(mini);
  const away = (entry) => !place.hidden && !section.hidden && !entry.isIntersecting && entry.boundingClientRect.top < 0;
  new IntersectionObserver((seen) => mini.classList.toggle("away", away(seen.at(-1)))).observe(place);
  const refresh = debounced(() => photos.files.length && form.checkValidity() && job.run(work), PAUSE_MS);

  async function work(signal) {
    const accept = form.elements.preset.value ? "application/json" : "image/*";
    const response = await ask({ path: "compose", fields: fieldsOf(form, photos.files), accept }, { signal });
    const { images, compliance } = await pictures(response);
    signal.throwIfAborted();
    const [image] = images;
    const name = `${stem(photos.files[0].name)}-${nameOf(form)}`;
    const title = form.elements.preset.selectedOptions[0].textContent;
    const next = onward(image.blob, name, ["enhance", "restyle"], to);
    attach(mini, image.blob);
    say(`Done: ${showResult(place, { image, name, compliance, title, onward: next })}`);
  }

  tend(form);
  form.addEventListener("input", ({ target }) => {
    if (target.name === "preset") obey(form, target.value);
    refresh();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!photos.files.length) {
      say("Choose a photo first");
      photos.input.focus();
    } else if (form.reportValidity()) job.run(work);
  });
  let waiting = [];
  return {
    photos,
    offer({ presets, backdrops }) {
      form.presets = presets;
      offerPresets(form, presets);
      waiting = tiles(one(".backdrops > div", section), backdrops);
      settle(form);
    },
    async shown() {
      const now = waiting;
      waiting = []; // a second call does not draw them twice
      waiting = await draw(now);
    },
  };
}

/** What is asked: the form's entries, with the backdrop in the service's own words or as a file. */
function fieldsOf(form, files) {
  const told = new Map(entries(form));
  const backdrop = {
    shipped: told.get("shipped"),
    colour: told.get("colour"),
    gradient: `gradient:${told.get("above")}-${told.get("below")}`,
    transparent: "transparent",
    file: form.elements.picture.files[0],
  }[told.get("behind")];
  const options = [...told].filter(([name]) => !OWN_FIELDS.includes(name));
  const fields = [...files.map((file) => ["image", file]), ...options];
  return backdrop ? [...fields, ["backdrop", backdrop]] : fields;
}

function nameOf(form) {
  const { preset, behind, shipped } = form.elements;
  return preset.value || `on-${behind.value === "shipped" ? shipped.value : behind.value}`;
}

/** Puts the form within a preset's rules; who asks for more afterwards is told why not. */
function obey(form, name) {
  const preset = form.presets.find((one) => one.name === name);
  if (!preset) return;
  const fields = form.elements;
  fields.width.value = fields.height.value = fields.format.value = "";
  one("[data-auto=fill]", form).checked = true;
  if (!preset.shadow) fields.shadow.value = "";
  if (preset.white) {
    fields.behind.value = "colour";
    fields.colour.value = "#ffffff";
  }
  settle(form);
}

/** A tile for each backdrop; gives what `draw` needs. */
function tiles(place, backdrops) {
  return backdrops.map(({ name, title }, index) => {
    const image = make("img", { alt: "", width: 96, height: 72 });
    const radio = make("input", { type: "radio", name: "shipped", value: name, checked: index === 0 });
    place.append(make("label", { title }, radio, make("span", {}, image, make("span", {}, title))));
    return { name, image };
  });
}

/** Asks the service for a small picture of each backdrop: a composition of a product that nobody can see.
 *
 * One after the other, so that they are never in the way. Gives those that it could not draw: they keep their titles.
 */
async function draw(tiles) {
  const canvas = new OffscreenCanvas(64, 1); // so flat that it is a pixel high
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(128 128 128 / 4%)"; // the least that counts as a product
  context.fillRect(0, 0, 64, 1);
  const speck = new File([await canvas.convertToBlob()], "speck.png", { type: "image/png" });
  const size = { width: "192", height: "144", cutout: "none", shadow: "none", harmonize: "0", fill: "0.1" };
  for (const [index, { name, image }] of tiles.entries()) {
    const fields = [["image", speck], ...Object.entries(size), ["backdrop", name]];
    try {
      const response = await ask({ path: "compose", fields, accept: "image/*" }, { quiet: true });
      attach(image, await response.blob()).classList.add("drawn");
    } catch {
      return tiles.slice(index);
    }
  }
  return [];
}
