/** Tabs as the ARIA Authoring Practices describe them: arrows, Home and End move and select. */

import { all, one } from "./dom.js";

/** Shows a panel, and calls `shown` with its id whenever another one is. */
export function tabs(list, shown) {
  const buttons = all("[role=tab]", list);
  const idOf = (button) => button.getAttribute("aria-controls");

  // Not the panel's own id: a browser would let the Tab key begin there, past the head of the page.
  const address = (id) => `#/${id}`;

  function select(button) {
    for (const other of buttons) {
      const chosen = other === button;
      other.setAttribute("aria-selected", chosen);
      other.tabIndex = chosen ? 0 : -1;
      one(`#${idOf(other)}`).hidden = !chosen;
    }
    history.replaceState(null, "", address(idOf(button)));
    shown(idOf(button));
  }

  list.addEventListener("click", (event) => {
    const button = event.target.closest("[role=tab]");
    if (button) select(button);
  });
  list.addEventListener("keydown", (event) => {
    const now = buttons.indexOf(event.target);
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: -1 }[event.key];
    if (now < 0 || to === undefined) return;
    const next = buttons.at(to % buttons.length);
    event.preventDefault();
    select(next);
    next.focus();
  });
  const named = (id) => buttons.find((button) => idOf(button) === id);
  const addressed = () => buttons.find((button) => address(idOf(button)) === location.hash);
  window.addEventListener("hashchange", () => addressed() && select(addressed()));
  select(addressed() ?? buttons[0]);
  return (id) => {
    select(named(id));
    named(id).focus();
  };
}
