"""The command `vitrine`."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from app import credentials, keys, logs, model_commands, tune
from app.credentials import CredentialsError
from app.files import parsers as files
from app.keys import KeyFileError, read_keys
from app.presets import PresetError, Presets
from app.provenance import Labels
from app.rates import Rates
from app.repository import RepositoryError, read_models
from app.settings import Settings, share_metrics, unknown_settings
from app.supervisor import Supervisor, bound


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="vitrine", description="Product images for shops, on the shop's own machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve the models over HTTP")
    serving.add_argument("--workers", type=int, metavar="N", help="processes (VITRINE_WORKERS, default 1)")
    model_commands.add_parsers(commands)
    credentials.add_parser(commands)
    keys.add_parser(commands)
    tune.add_parser(commands)
    files.add_parsers(commands)
    return parser


def main() -> None:
    """`vitrine` and its commands. Exits with 2 when the settings or the models are wrong."""
    parser = make_parser()
    arguments = parser.parse_args()
    arguments.words = sys.argv[1:]
    given = {} if getattr(arguments, "workers", None) is None else {"workers": arguments.workers}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        found = [[*(f"VITRINE_{name}".upper() for name in e["loc"][:1]), e["msg"]] for e in error.errors()]
        parser.exit(2, f"vitrine: {', '.join(': '.join(parts) for parts in found)}\n")
    logs.configure(settings.log_level, settings.log_format)
    for name in unknown_settings():
        logging.getLogger("vitrine").warning("there is no setting %s", name)
    try:
        if arguments.command == "models":
            sys.exit(model_commands.run(arguments, settings.models_dir, settings.models_key))
        if arguments.command == "keys":
            sys.exit(keys.run(arguments))
        if arguments.command == "credentials":
            sys.exit(credentials.run(arguments))
        sys.exit(run(arguments, settings))
    except BrokenPipeError:  # whoever read what it prints has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (CredentialsError, KeyFileError, PresetError, RepositoryError, OSError) as error:
        parser.exit(2, f"vitrine: {error}\n")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """A command that needs the models; gives the exit code."""
    if arguments.command in (*files.MODELS, "preset"):
        logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger().level))  # the progress is told otherwise
        from app.files import checking, command  # not before the metrics know their folder

        return checking.run(arguments, settings) if arguments.command == "preset" else command.run(arguments, settings)
    return tune.run(arguments, settings) if arguments.command == "tune" else serve(settings)


def serve(settings: Settings) -> int:
    """Check the models and presets, then serve them; gives the exit code.

    Raises:
        RepositoryError: a model is wrong.
        PresetError: a preset is.
        KeyFileError: the file of keys is.
        CredentialsError: answers cannot be signed.
        OSError: the address cannot be had.
    """
    read_models(settings.models_dir)
    Presets(settings.presets_dir)
    if settings.keys_file is not None:
        read_keys(settings.keys_file)
    Labels(settings)
    Rates(settings.redis_url)
    listener = bound(settings.host, settings.port)
    # Only one process needs no files to add up its metrics, and counts quicker without.
    folder = Path(tempfile.mkdtemp(prefix="vitrine-metrics-")) if settings.workers > 1 else None
    try:
        if folder:
            share_metrics(folder)
        # Only now, since the metrics must know their folder; before the processes part, so that each starts at once.
        from app import metrics, server

        run = partial(server.serve, settings, listener, folder=folder)
        forget = partial(metrics.forget_process, folder=folder)
        logging.getLogger("vitrine").info("serving on http://%s:%d", *listener.getsockname()[:2])
        return Supervisor(run, settings.workers, settings.drain_s, forget).run()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
