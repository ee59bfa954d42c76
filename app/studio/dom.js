/** Small helpers for the page: elements, pictures in them, words for screen readers, files to save. */

export const one = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** A new element; `facts` are its properties, or attributes where their names have a dash or are `role`. */
export function make(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const urls = new WeakMap();

/** A URL of a blob in an element (`src` or `href`); the one that was there before is let go. */
export function attach(element, blob, property = "src") {
  if (urls.has(element)) URL.revokeObjectURL(urls.get(element));
  const url = URL.createObjectURL(blob);
  urls.set(element, url);
  element[property] = url;
  return element;
}

/** Replaces what is in an element; pictures that were in it are let go. */
export function fill(element, ...children) {
  for (const old of all("img, a", element)) {
    if (urls.has(old)) URL.revokeObjectURL(urls.get(old));
    urls.delete(old);
  }
  element.replaceChildren(...children.filter((child) => child != null));
}

/** Tells screen readers something that others see. */
export function say(words) {
  one("#said").textContent = words;
}

/** Calls `act` when no further call has come for `wait` ms. */
export function debounced(act, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}

/** "t-shirt" -> "T-shirt". */
export const titled = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** 43210 -> "43 kB". */
export function bytes(count) {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** A file's name without its ending, fit for another name. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60) || "photo";
}

/** A link that saves a picture under a name that says what it is. */
export function saver(link, blob, name) {
  attach(link, blob, "href").download = `${name}.${ending(blob)}`;
  return link;
}

export const ending = (blob) => ({ "image/jpeg": "jpg" })[blob.type] ?? blob.type.split("/")[1] ?? "webp";
