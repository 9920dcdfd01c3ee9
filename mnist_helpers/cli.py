"""The command line: train, evaluate, predict, export, visualize, analyze, notebooks, site, ...

Arguments are parsed first; then the command that they ask for is imported, and nothing else.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import tyro
from tyro.conf import OmitArgPrefixes

from mnist_helpers.commands import options
from mnist_helpers.commands.console import start_console
from mnist_helpers.config import PRESETS, Config, InputError, printable
from mnist_helpers.files import reason


def parse(args: Sequence[str]) -> object:
    """What `args` ask for: the record of options of a command, named as the command is.

    Raises:
        InputError: a value is impossible.
        SystemExit: help was asked for, or tyro has said on stderr what it does not understand.
    """
    # the recipe is read ahead of tyro, which shows its values as the defaults
    ahead = argparse.ArgumentParser("mnist-helpers", add_help=False, allow_abbrev=False)
    ahead.add_argument("--preset", nargs="?")
    preset = ahead.parse_known_args(args)[0].preset
    commands = {
        "train": partial(options.Train, config=PRESETS.get(preset, Config())),
        "evaluate": options.Evaluate,
        "predict": options.Predict,
        "export": options.Export,
        "visualize": options.Visualize,
        "analyze": options.Analyze,
        "notebooks": options.Notebooks,
        "site": options.Site,
        "download": options.Download,
    }
    command = tyro.extras.subcommand_cli_from_dict(
        commands, args=args, prog="mnist-helpers", config=[OmitArgPrefixes]
    )
    if getattr(command, "resume", None):
        # by its name: a value may be the default's, and yet not the run's
        others = [arg for arg in args if arg.startswith("-") and not arg.startswith("--resume")]
        if others:
            remedy = "for more epochs or other options start a new run"
            raise InputError(
                f"{', '.join(others)} can't be combined with --resume: a run continues as it was "
                f"configured, with a learning rate planned to its last epoch; {remedy}."
            )
    return command


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends it with a sentence on stderr and exit code 2."""
    start_console()
    try:
        command = parse(sys.argv[1:] if args is None else args)
        name = type(command).__name__.lower()
        importlib.import_module(f"mnist_helpers.commands.{name}").run(command)
    except BrokenPipeError:
        pass  # who reads the output has enough
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; pip install 'mnist-helpers[all]'.")
    except InputError as error:
        fail(str(error))
    except OSError as error:  # a full disk, most of all
        what = f"{printable(str(error.filename or 'the output'))} ({reason(error)})"
        fail(f"{what}; make room or choose another place.")
    except KeyboardInterrupt:
        fail("interrupted", 130)


def fail(text: str, code: int = 2) -> NoReturn:
    """Ends the command with a sentence on stderr."""
    print(f"mnist-helpers: {text}", file=sys.stderr)
    sys.exit(code)
