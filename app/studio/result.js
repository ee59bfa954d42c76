/** A finished picture: before and after, its facts, a marketplace's rules, and what to do with it next. */

import "./vendor/img-comparison-slider/index.js";
import { attach, bytes, ending, fill, make, saver, titled } from "./dom.js";

/** The picture beside the photo that it was made of, under a handle that mouse, finger and keys move. */
function comparison(before, after, size) {
  const slider = make("img-comparison-slider", { role: "slider", "aria-label": "Before and after" });
  slider.setAttribute("aria-valuemin", "0");
  slider.setAttribute("aria-valuemax", "100");
  const first = attach(make("img", { slot: "first", alt: "Before" }), before);
  // A browser that cannot show the photo, such as a TIFF, shows the result alone.
  first.addEventListener("error", () => slider.replaceWith(alone(after, size)));
  slider.append(first, attach(make("img", { slot: "second", alt: "After", className: "ground" }), after));
  slider.append(make("span", { slot: "handle", className: "handle" }));
  const tell = () => {
    const share = Math.round(slider.value);
    slider.setAttribute("aria-valuenow", share);
    slider.setAttribute("aria-valuetext", `${share} % before, ${100 - share} % after`);
  };
  slider.addEventListener("slide", tell);
  slider.addEventListener("keydown", (event) => {
    if (event.key === "Home" || event.key === "End") {
      slider.value = event.key === "Home" ? 0 : 100;
      event.preventDefault();
      tell();
    }
  });
  tell();
  const tags = [make("span", { className: "tag before" }, "Before"), make("span", { className: "tag after" }, "After")];
  return framed(make("div", { className: "frame" }, slider, ...tags), size);
}

function alone(blob, size) {
  return framed(make("div", { className: "frame" }, attach(make("img", { alt: "The result", className: "ground" }), blob)), size);
}

/** The frame has the picture's shape, so that it never jumps and the handle ends at the picture's edges. */
function framed(frame, { width, height }) {
  if (width && height) frame.style.setProperty("--shape", width / height);
  return frame;
}

/** "1 to 10000000" -> "1 to 10,000,000". */
const grouped = (text) => text.replace(/\d{4,}/g, (digits) => Number(digits).toLocaleString("en"));

/** The check of a marketplace's rules as a list. */
function report(findings, title) {
  const kept = findings.filter((finding) => finding.ok).length;
  const heading = kept === findings.length ? `keeps all ${kept} rules` : `breaks ${findings.length - kept} of ${findings.length} rules`;
  const items = findings.map(({ rule, required, measured, ok }) =>
    make(
      "li",
      { className: ok ? "kept" : "broken" },
      make("span", { className: "sign", "aria-hidden": "true" }, ok ? "✓" : "✕"),
      make("strong", {}, titled(rule)),
      make("span", { className: "unseen" }, ok ? " kept: " : " broken: "),
      make("span", {}, grouped(measured)),
      make("span", { className: "note" }, `wanted: ${grouped(required)}`),
    ),
  );
  return make("section", { className: "report" }, make("h3", {}, `${title}: ${heading}`), make("ul", {}, ...items));
}

/** Buttons that take a picture to other panels; `to(panel, file)` does it. */
export function onward(blob, name, panels, to) {
  const file = () => new File([blob], `${name}.${ending(blob)}`, { type: blob.type });
  return panels.map((panel) => make("button", { type: "button", onclick: () => to(panel, file()) }, `${titled(panel)} it`));
}

const KINDS = { webp: "WebP", jpg: "JPEG", png: "PNG", avif: "AVIF" };

/** A picture's size, and that of the photo that it was made of; its kind, its bytes, its seed. */
function factsOf({ blob, width, height, seed }, native) {
  const same = native === `${width}x${height}`;
  const from = !native ? "" : same ? ", as uploaded" : ` from ${native.replace("x", " × ")} px`;
  const size = width ? `${width} × ${height} px${from}` : "";
  return [size, KINDS[ending(blob)], bytes(blob.size), seed ? `seed ${seed}` : ""];
}

/** Shows a result in `place`.
 *
 * `made` has its `image`, its `name` without ending, the photo `before` it or none, its `native` size or none, the
 * `compliance` with the preset's `title` or none, and where it can go `onward`.
 */
export function showResult(place, { image, name, before, native, compliance, title, onward: next }) {
  const words = factsOf(image, native).filter(Boolean).join(" · ");
  const save = saver(make("a", { className: "button primary" }, "Download"), image.blob, name);
  fill(
    place,
    before ? comparison(before, image.blob, image) : alone(image.blob, image),
    make("p", { className: "facts" }, words),
    make("div", { className: "actions" }, save, ...next),
    compliance ? report(compliance, title) : null,
  );
  place.hidden = false;
  return words;
}
