"""The command `vitrine`."""

from __future__ import annotations

import argparse
import logging

import uvicorn
from pydantic import ValidationError

from app.main import create_app
from app.repository import RepositoryError, read_models
from app.settings import Settings, unknown_settings


def main() -> None:
    """`vitrine serve`: read the settings, check the models, serve. Exits with 2 when either is wrong."""
    parser = argparse.ArgumentParser(prog="vitrine", description="Product images for shops, on the shop's own machine.")
    parser.add_subparsers(dest="command", required=True).add_parser("serve", help="serve the models over HTTP")
    parser.parse_args()
    try:
        settings = Settings()
        models = read_models(settings.models_dir)
    except ValidationError as error:
        names = ", ".join(f"VITRINE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        parser.exit(2, f"vitrine: {names}\n")
    except RepositoryError as error:
        parser.exit(2, f"vitrine: {error}\n")
    logging.basicConfig(level=settings.log_level.upper())
    for name in unknown_settings():
        logging.getLogger("vitrine").warning("there is no setting %s", name)
    uvicorn.run(
        create_app(settings, models),
        host=settings.host,
        port=settings.port,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_s,
    )
