"""The page at /docs: Swagger UI, served from this machine, under a policy that lets nothing else in."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response

from app.errors import NotFound

router = APIRouter(include_in_schema=False)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Vitrine: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/studio/icon.svg"><link rel="stylesheet" href="/docs/swagger-ui.css">
<style>.parameter__empty_value_toggle { display: none; }</style></head>
<body><div id="page"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>
</body></html>"""
START: Final = """// Forms begin empty, and what is left empty is not sent: full of samples, requests would be refused.
const empty = {afterLoad(system) {
  const {fn} = system.getSystem(), made = fn.getSampleSchema;
  fn.getSampleSchema = (schema, kind, ...rest) => {
    const type = schema?.get?.("type") ?? schema?.type;
    return kind === false && type !== "array" ? "" : made(schema, kind, ...rest);
  };
}};
const withoutEmpty = (request) => {
  if (request.body instanceof FormData)
    for (const [name, value] of [...request.body.entries()]) if (value === "") request.body.delete(name);
  return request;
};
SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null, plugins: [empty],
  requestInterceptor: withoutEmpty,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset].filter(Boolean)});"""
BUNDLED: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@router.get("/docs")
async def docs() -> Response:
    """What can be asked, to be tried out."""
    return Response(PAGE, headers={"Content-Security-Policy": POLICY}, media_type="text/html")


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    """What the page is made of."""
    headers = {"Cache-Control": "max-age=3600"}
    if name == "start.js":
        return Response(START, headers=headers, media_type="text/javascript")
    if name not in BUNDLED:
        raise NotFound("There is nothing at this path.")
    data = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(data, headers=headers, media_type=BUNDLED[name])
