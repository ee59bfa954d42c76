/** Requests to the service, their pictures, and what went wrong with them. */

/** The caller's key. It lives in this module only: no storage, no cookie, no address. */
export const access = { key: "" };

/** An error as RFC 9457 has it, or one of the way to the service. */
export class Problem extends Error {
  constructor({ title, detail = "", status = 0, errors = [] }, wait = null) {
    super(detail || title);
    Object.assign(this, { title, detail, status, errors, wait });
  }
}

/** JSON with seeds in full: they have up to 63 bits, and numbers in JavaScript 53. */
export function exactJson(value) {
  const marked = JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `\u0001${one}` : one));
  return marked.replace(/"\\u0001(\d+)"/g, "$1");
}

const parsed = (text) => JSON.parse(text.replace(/"seed":\s*(\d+)/g, '"seed":"$1"'));

function head(accept, json) {
  const fields = { Accept: accept };
  if (json) fields["Content-Type"] = "application/json";
  if (access.key) fields.Authorization = `Bearer ${access.key}`;
  return fields;
}

/** Sends a request. `asked` is its `path`, and `json` or `fields` ([name, text or file]), and `accept`.
 *
 * Throws a Problem, or an AbortError once `signal` says so. Unless it is `quiet`, the page tells about it.
 */
export async function ask(asked, { signal, quiet = false } = {}) {
  const begun = performance.now();
  const body = asked.fields ? form(asked.fields) : exactJson(asked.json);
  const headers = head(asked.accept, asked.json);
  const response = await reach(asked.path, { method: "POST", body, headers, signal });
  if (!quiet) tell({ ...asked, keyed: Boolean(access.key), response, seconds: (performance.now() - begun) / 1e3 });
  return checked(response);
}

/** What a list of the service holds. */
export async function list(path) {
  return (await checked(await reach(path, { headers: head("application/json") }))).json();
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service cannot be reached", detail: "Is it running, and is the network there?" });
  }
}

async function checked(response) {
  if (response.ok) return response;
  const wait = Number(response.headers.get("Retry-After")) || null;
  const told = await response.json().catch(() => null);
  const { status } = response;
  throw new Problem(told?.title ? { ...told, status } : { title: `The service answered ${status}`, status }, wait);
}

function form(fields) {
  const made = new FormData();
  for (const [name, value] of fields) made.append(name, value);
  return made;
}

function tell(detail) {
  document.dispatchEvent(new CustomEvent("asked", { detail }));
}

/** The pictures of an answer, {blob, width, height, seed}, whichever way they came, and what JSON says of them. */
export async function pictures(response) {
  if (!response.headers.get("Content-Type").startsWith("application/json")) {
    const blob = await response.blob();
    return { images: [{ blob, ...(await sizeOf(blob)), seed: response.headers.get("X-Seed") }], compliance: null };
  }
  const told = parsed(await response.text());
  const images = told.images.map(({ data, media_type: type, ...facts }) => ({ ...facts, blob: decoded(data, type) }));
  return { images, compliance: told.compliance ?? null };
}

/** A picture's size in px; of one that this browser cannot show, zeros. */
export async function sizeOf(blob) {
  try {
    const bitmap = await createImageBitmap(blob);
    const { width, height } = bitmap;
    bitmap.close();
    return { width, height };
  } catch {
    return { width: 0, height: 0 };
  }
}

function decoded(data, type) {
  return new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type });
}
