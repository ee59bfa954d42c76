/** The studio page: its panels, what the service offers them, the key, and the last request. */

import { access, list } from "./api.js";
import { compose } from "./compose.js";
import { fill, make, one, say, titled } from "./dom.js";
import { enhance } from "./enhance.js";
import { generate } from "./generate.js";
import { watchPage } from "./photos.js";
import { restyle } from "./restyle.js";
import { asCurl, asPython } from "./snippets.js";
import { tabs } from "./tabs.js";

const onward = (panel, file) => {
  show(panel);
  panels[panel].photos.take([file]);
};
const panels = {
  generate: generate(one("#generate"), onward),
  enhance: enhance(one("#enhance"), onward),
  restyle: restyle(one("#restyle"), onward),
  compose: compose(one("#compose"), onward),
};
let current = "generate";
let offered = null;
const show = tabs(one("[role=tablist]"), (id) => {
  current = id;
  document.title = `${titled(id)} · Vitrine studio`;
  if (offered) panels[id].shown?.();
});

/** Asks what the service offers, and fills the forms with it. */
async function start() {
  const notice = one("#notice");
  try {
    const paths = ["categories", "styles", "presets", "backdrops"];
    const [categories, styles, presets, backdrops] = await Promise.all(paths.map(list));
    offered = { ...categories, ...presets, ...backdrops, styles: styles.styles, drawn: styles.categories };
  } catch (problem) {
    const again = make("button", { type: "button", onclick: start }, "Try again");
    fill(notice, make("strong", {}, problem.title ?? "This page could not start"), make("span", {}, ` ${problem.message} `), again);
    notice.hidden = false;
    if (problem.status === 401) one("#key-box").open = true;
    return;
  }
  notice.hidden = true;
  for (const panel of Object.values(panels)) panel.offer(offered);
  panels[current].shown?.();
}

function takeKey({ target }) {
  access.key = target.value.trim();
  one("#key-box summary").textContent = access.key ? "API key ✓" : "API key";
  if (offered) panels[current].shown?.();
  else start();
}

/** The bar that tells of the last request, and copies it. */
function tellOfRequests() {
  let last = null;
  document.addEventListener("asked", ({ detail }) => {
    last = detail;
    const model = detail.response.headers.get("X-Model");
    const facts = [detail.response.status, `${detail.seconds.toFixed(1)} s`, model].filter(Boolean).join(" · ");
    one("#last code").textContent = `POST /${detail.path}`;
    one("#last .facts").textContent = facts;
    one("#last").hidden = false;
    if (detail.response.status === 401) one("#key-box").open = true;
  });
  one("#copy-curl").addEventListener("click", () => copy(asCurl(last), "curl command"));
  one("#copy-python").addEventListener("click", () => copy(asPython(last), "Python program"));
}

/** Browsers give the clipboard to pages from https and this machine only; elsewhere the text is shown. */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied the ${what}`);
    flash(`Copied the ${what}`);
  } catch {
    const dialog = one("#snippet");
    one("textarea", dialog).value = text;
    dialog.showModal();
    one("textarea", dialog).select();
  }
}

function flash(words) {
  const note = make("span", { className: "flash", "aria-hidden": "true" }, words);
  one("#last").append(note);
  setTimeout(() => note.remove(), 2000);
}

one("#key").addEventListener("change", takeKey);
one("#key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  one("#key-box").open = false;
  one("#key-box summary").focus(); // leaving the field reports its change
});
one("#key-box").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  one("#key-box").open = false;
  one("#key-box summary").focus();
});
document.addEventListener("click", ({ target }) => {
  if (!target.closest("#key-box")) one("#key-box").open = false;
});
one("#snippet button").addEventListener("click", () => one("#snippet").close());
watchPage(() => panels[current].photos);
tellOfRequests();
start();
