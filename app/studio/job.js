/** Work that somebody waits for: its time, its cancel button, and in plain words what went wrong. */

import { Problem } from "./api.js";
import { all, fill, make, one, say, titled } from "./dom.js";

const HINTS = {
  401: "Enter your API key at the top of this page.",
  403: "This API key may not do that.",
  404: "Reload this page: what the service offers has changed.",
  413: "Choose a smaller photo, or a smaller size.",
  415: "Choose a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF file.",
  504: "Try again, or ask for less at once.",
};

/** One panel's job at a time: a new one takes the place of the one before. */
export class Job {
  /** `place` shows it; `form` has the fields that an error may be about. */
  constructor(place, form) {
    this.place = place;
    this.form = form;
    this.controller = null;
  }

  /** Runs `work(signal)`; true when it ended well, false when it failed or was cancelled. */
  async run(work) {
    this.stop();
    const controller = (this.controller = new AbortController());
    this.#wait(controller);
    try {
      await work(controller.signal);
      this.#end(controller);
      return true;
    } catch (error) {
      if (controller !== this.controller) return false;
      this.#end(controller);
      if (error.name === "AbortError") say("Cancelled");
      else this.fail(error);
      return false;
    }
  }

  /** Ends what runs, if anything does. */
  stop() {
    this.controller?.abort();
  }

  #wait(controller) {
    const begun = performance.now();
    const time = make("span", { className: "time" }, "");
    const cancel = make("button", { type: "button", className: "cancel" }, "Cancel");
    cancel.addEventListener("click", () => {
      controller.abort();
      one("[type=submit]", this.form).focus(); // the button goes, and with it the focus
    });
    const bar = make("div", { className: "bar", role: "progressbar", "aria-label": "Working" });
    fill(this.place, make("div", { className: "working" }, bar, make("span", {}, "Working", time), cancel));
    this.form.setAttribute("aria-busy", "true");
    clear(this.form);
    say("Working");
    this.clock = setInterval(() => (time.textContent = ` ${((performance.now() - begun) / 1e3).toFixed(1)} s`), 100);
    controller.signal.addEventListener("abort", () => this.controller === controller && this.#end(controller));
  }

  #end(controller) {
    if (controller !== this.controller) return;
    clearInterval(this.clock);
    this.form.removeAttribute("aria-busy");
    fill(this.place);
  }

  /** Shows an error, and marks the fields that it is about. */
  fail(error) {
    const known = error instanceof Problem;
    const problem = known ? error : new Problem({ title: "This page made a mistake", detail: String(error) });
    const findings = problem.errors.map((found) => mark(this.form, found));
    const hint = problem.wait ? `Try again in ${problem.wait} s.` : HINTS[problem.status];
    fill(
      this.place,
      make(
        "div",
        { className: "problem", role: "alert" },
        make("strong", {}, problem.title),
        findings.length ? make("ul", {}, ...findings.map((words) => make("li", {}, words))) : null,
        !findings.length && problem.detail ? make("p", {}, problem.detail) : null,
        hint ? make("p", {}, hint) : null,
      ),
    );
    this.place.firstChild.scrollIntoView({ block: "nearest" });
  }
}

/** Takes the marks of an earlier error away. */
function clear(form) {
  for (const field of all("[aria-invalid]", form)) field.removeAttribute("aria-invalid");
}

/** Marks the field that an entry of a problem's `errors` names, and says what is wrong with it. */
function mark(form, { loc, msg }) {
  const name = loc.map(String).filter((part) => !["body", "query"].includes(part))[0] ?? "";
  const message = msg.replace(/^Value error, /, "");
  const field = one(`[name="${CSS.escape(aliases[name] ?? name)}"]`, form);
  if (!field) return name === "image" ? `Photo: ${message}` : name ? `${titled(name)}: ${message}` : titled(message);
  field.setAttribute("aria-invalid", "true");
  const more = field.closest("details");
  if (more) more.open = true;
  const label = field.type === "radio" ? one("legend", field.closest("fieldset")) : field.labels?.[0];
  return `${label?.textContent.trim() ?? titled(name)}: ${message}`;
}

/** Fields that the page names otherwise than the service. */
const aliases = { backdrop: "behind" };
