/** Generating: a grid of pictures to pick from, more like one of them, and mixes of two. */

import { ask, pictures } from "./api.js";
import { all, attach, debounced, fill, make, one, say, saver, titled } from "./dom.js";
import { entries, tend } from "./fields.js";
import { Job } from "./job.js";
import { onward } from "./result.js";

const VARIED = 8;
const AMOUNT = 0.3;
const PAUSE_MS = 250;
const AT_ONCE = 4;
const SEEDS = 2n ** 63n;

/** A seed that is short enough to be read out. */
export const freshSeed = () => BigInt(crypto.getRandomValues(new Uint32Array(1))[0]);

/** Wires the panel. */
export function generate(section, to) {
  const form = one("form", section);
  const grid = one(".grid", section);
  const tray = one(".tray", section);
  const job = new Job(one(".job", section), form);
  let picks = [];
  let mixed = null;

  async function fresh(signal) {
    const recipe = recipeOf(form);
    const found = await drawn(recipe, recipe.count, signal);
    signal.throwIfAborted();
    lay(found, "");
  }

  /** Small steps from one design; each its own request, since only the seed that is stepped towards differs. */
  async function varied(like, signal) {
    const found = [];
    const recipes = variations(like.recipe);
    while (recipes.length) {
      const some = recipes.splice(0, AT_ONCE).map((recipe) => drawn(recipe, 1, signal));
      found.push(...(await Promise.all(some)).flat());
    }
    signal.throwIfAborted();
    lay([like, ...found], "Variations of the first picture. ");
  }

  async function between(signal) {
    const [a, b] = picks;
    const amount = Number(one("#mix", tray).value);
    [mixed] = await drawn({ ...a.recipe, mix: { seed: b.recipe.seed, amount } }, 1, signal);
    signal.throwIfAborted();
    show();
  }

  function lay(designs, words) {
    picks = [];
    fill(grid, ...designs.map((design) => make("li", {}, card(design, pick))));
    grid.hidden = false;
    one(".empty", section).hidden = true;
    say(`${words}${designs.length} pictures`);
    show();
  }

  function pick(design, button) {
    const last = picks.at(-1);
    const both = picks.length === 1 && last !== design && !design.recipe.mix && !last.recipe.mix;
    if (picks.includes(design)) picks = picks.filter((other) => other !== design);
    else picks = both ? [last, design] : [design];
    mixed = null;
    for (const other of all("button", grid)) other.setAttribute("aria-pressed", picks.includes(other.design));
    show();
    if (picks.length === 2) job.run(between);
    else if (picks.length) button.scrollIntoView({ block: "nearest" });
  }

  function show() {
    tray.hidden = !picks.length;
    if (!picks.length) return;
    const [a, b] = picks;
    const design = mixed ?? a;
    one("h3", tray).textContent = b ? "A mix of two" : titleOf(design);
    one(".note", tray).textContent = b ? mixWords(a, b) : hint(design);
    one(".mixing", tray).hidden = !b;
    one(".like", tray).hidden = Boolean(b);
    attach(one(".picked img", tray), design.blob).alt = b ? "The mix" : titleOf(design);
    const ends = all(".ends img", tray);
    if (b) [a, b].forEach((end, index) => (attach(ends[index], end.blob).alt = titleOf(end)));
    const name = nameOf(design);
    saver(one(".download", tray), design.blob, name);
    fill(one(".onward", tray), ...onward(design.blob, name, ["enhance", "restyle", "compose"], to));
  }

  tend(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.reportValidity()) job.run(fresh);
  });
  one("#mix", tray).addEventListener("input", debounced(() => picks.length === 2 && job.run(between), PAUSE_MS));
  one(".like", tray).addEventListener("click", () => {
    const [like] = picks;
    job.run((signal) => varied(like, signal));
    one("[type=submit]", form).focus({ preventScroll: true }); // the tray goes, and with it the focus
  });
  return {
    offer({ categories }) {
      form.elements.category.append(...categories.map((name) => make("option", { value: name }, titled(name))));
    },
    shown() {
      if (grid.hidden && !form.hasAttribute("aria-busy")) job.run(fresh);
    },
  };
}

/** A picture to pick. */
function card(design, pick) {
  const image = attach(make("img", { alt: titleOf(design), className: "ground" }), design.blob);
  const button = make("button", { type: "button", "aria-pressed": "false", design }, image);
  button.addEventListener("click", () => pick(design, button));
  return button;
}

/** What the form asks for. */
function recipeOf(form) {
  const { count, seed, ...told } = Object.fromEntries(entries(form));
  for (const name of ["size", "truncation", "quality"]) if (name in told) told[name] = Number(told[name]);
  return { ...told, count: Number(count), seed: seed === undefined ? freshSeed() : BigInt(seed) };
}

/** `count` designs of a recipe: each its picture, and the recipe that makes it alone. */
async function drawn(recipe, count, signal) {
  const accept = count > 1 ? "application/json" : "image/*";
  const { images } = await pictures(await ask({ path: "generate", json: { ...recipe, count }, accept }, { signal }));
  return images.map(({ blob }, index) => ({ blob, recipe: { ...recipe, count: 1, seed: (recipe.seed + BigInt(index)) % SEEDS } }));
}

/** Recipes close to one. A mix cannot be mixed again: its neighbours lie on the way between its two seeds. */
function variations(recipe) {
  if (!recipe.mix) {
    return Array.from({ length: VARIED - 1 }, () => ({ ...recipe, mix: { seed: freshSeed(), amount: AMOUNT } }));
  }
  const { seed, amount } = recipe.mix;
  const steps = [-0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.4].map((step) => Math.round((amount + step) * 100) / 100);
  return steps.filter((step) => step >= 0 && step <= 1).map((step) => ({ ...recipe, mix: { seed, amount: step } }));
}

function titleOf({ recipe }) {
  const mix = recipe.mix ? `, ${Math.round(recipe.mix.amount * 100)} % towards ${recipe.mix.seed}` : "";
  return `${titled(recipe.category ?? "product")}, seed ${recipe.seed}${mix}`;
}

function hint({ recipe }) {
  return recipe.mix ? "A variation." : "Pick a second picture to mix the two.";
}

function mixWords(a, b) {
  const differ = a.recipe.category !== b.recipe.category || !a.recipe.category;
  return `Seeds ${a.recipe.seed} and ${b.recipe.seed}.${differ ? " The category stays that of the first." : ""}`;
}

function nameOf({ recipe }) {
  const mix = recipe.mix ? `-to-${recipe.mix.seed}-${Math.round(recipe.mix.amount * 100)}` : "";
  return `${recipe.category ?? "product"}-${recipe.seed}${mix}`;
}
