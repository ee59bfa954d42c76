/** The last request as a command and as a program; the key is left to the environment. */

import { exactJson } from "./api.js";

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const python = (text) => JSON.stringify(text);
const here = (path) => new URL(path, document.baseURI).href;
const single = (asked) => !asked.accept.startsWith("application/json");

/** The answer's file: a picture, or JSON with pictures in it. */
function output(asked) {
  if (!single(asked)) return "answer.json";
  return `answer.${(asked.response.headers.get("Content-Type") ?? "").replace(/^image\//, "") || "webp"}`;
}

/** Text fields go as they are; names of files in double quotes, as curl wants them where they hold a comma. */
function curlField([name, value]) {
  if (typeof value === "string") return `--form-string ${shell(`${name}=${value}`)}`;
  return `-F ${shell(`${name}=@"${value.name.replace(/[\\"]/g, "\\$&")}"`)}`;
}

/** The request for a POSIX shell. */
export function asCurl(asked) {
  const parts = [`curl -sS --fail-with-body -o ${output(asked)}`, `-H ${shell(`Accept: ${asked.accept}`)}`];
  if (asked.keyed) parts.push('-H "Authorization: Bearer $VITRINE_KEY"');
  if (asked.json) parts.push("-H 'Content-Type: application/json'", `-d ${shell(exactJson(asked.json))}`);
  else parts.push(...asked.fields.map(curlField));
  return [...parts, shell(here(asked.path))].join(" \\\n  ");
}

/** The request for Python with httpx. */
export function asPython(asked) {
  const modules = [asked.keyed && "os", "pathlib", !single(asked) && "base64"].filter(Boolean).sort();
  const key = asked.keyed ? ', "Authorization": f"Bearer {os.environ[\'VITRINE_KEY\']}"' : "";
  const lines = [...modules.map((name) => `import ${name}`), "", "import httpx", "", "answer = httpx.post("];
  lines.push(`    ${python(here(asked.path))},`, `    headers={"Accept": ${python(asked.accept)}${key}},`);
  lines.push(...(asked.json ? [`    json=${exactJson(asked.json)},`] : pythonForm(asked.fields)), "    timeout=60,", ")");
  lines.push("answer.raise_for_status()");
  if (single(asked)) lines.push(`pathlib.Path("${output(asked)}").write_bytes(answer.content)`);
  else {
    lines.push('for number, image in enumerate(answer.json()["images"], 1):');
    lines.push('    name = f"{number}." + image["media_type"].removeprefix("image/")');
    lines.push('    pathlib.Path(name).write_bytes(base64.b64decode(image["data"]))');
  }
  return `${lines.join("\n")}\n`;
}

function pythonForm(fields) {
  const texts = fields.filter(([, value]) => typeof value === "string");
  const files = fields.filter(([, value]) => typeof value !== "string");
  const pairs = texts.map(([name, value]) => `${python(name)}: ${python(value)}`).join(", ");
  const opened = files.map(([name, value]) => `(${python(name)}, open(${python(value.name)}, "rb"))`).join(", ");
  return [`    data={${pairs}},`, `    files=[${opened}],`];
}
