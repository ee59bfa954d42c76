/** What enhancing and restyling share: one photo in, one picture out, when the button is pressed. */

import { ask, pictures } from "./api.js";
import { one, say, stem } from "./dom.js";
import { entries, tend } from "./fields.js";
import { Job } from "./job.js";
import { Photos } from "./photos.js";
import { onward, showResult } from "./result.js";

/** Wires such a panel.
 *
 * `fields` gives what is asked of the form's entries, `named` what the picture is called beside the photo's name.
 */
export function single(section, path, { next, to, fields = (told) => told, named }) {
  const form = one("form", section);
  const place = one(".result", section);
  const job = new Job(one(".job", section), form);
  const photos = new Photos(one(".photos", section), () => {
    place.hidden = true;
    photos.place.classList.remove("done");
  });

  async function work(signal) {
    const [photo] = photos.files;
    const told = fields(entries(form));
    const preset = form.elements.preset;
    const checks = !preset.disabled && preset.value !== "";
    const accept = checks ? "application/json" : "image/*";
    const response = await ask({ path, fields: [["image", photo], ...told], accept }, { signal });
    const { images, compliance } = await pictures(response);
    signal.throwIfAborted();
    const name = `${stem(photo.name)}-${checks ? preset.value : named(new Map(told))}`;
    const [image] = images;
    const facts = { image, name, before: photo, native: response.headers.get("X-Native-Size"), compliance };
    const title = preset.selectedOptions[0]?.textContent;
    const words = showResult(place, { ...facts, title, onward: onward(image.blob, name, next, to) });
    photos.place.classList.add("done");
    say(`Done: ${words}`);
    one(".stage", section).scrollIntoView({ block: "start" });
  }

  tend(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!photos.files.length) {
      say("Choose a photo first");
      photos.input.focus();
    } else if (form.reportValidity()) job.run(work);
  });
  return { form, photos };
}
