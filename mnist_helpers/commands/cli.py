"""The command line: train, evaluate, predict, export, visualize, analyze, notebooks, site, ...

Arguments are parsed first; then the command that they ask for is imported, and nothing else.
"""

import difflib
import importlib
import re
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

SLOW = ("analyze", "notebooks", "site", "visualize")  # which tell on stderr how far they are


def parse(args: Sequence[str]) -> object:
    """What `args` ask for: the record of options of a command, named as the command is.

    Raises:
        InputError: a value is impossible, or there is no such command or option.
        SystemExit: help was asked for, or tyro has said on stderr what it does not understand.
    """
    commands = {record.__name__.lower(): record for record in options.COMMANDS}
    # the recipe is read ahead of tyro, which shows its values as the defaults
    line = " ".join(args)
    recipe = "quick"
    if "--start" in line:
        recipe = "hand"
    preset = re.search(r"--preset[ =](\w+)", line)
    if preset:
        recipe = preset[1]
    commands["train"] = partial(options.Train, config=PRESETS.get(recipe, Config()))
    name = [*args, "--help"][0]
    if name in commands:
        commands = {name: commands[name]}  # of others no option is proposed
    elif not name.startswith("-"):
        near = difflib.get_close_matches(name, commands, 1) or commands
        raise InputError(f"there is no command {name:.80}; did you mean {' or '.join(near)}?")
    command = tyro.extras.subcommand_cli_from_dict(
        commands, args=args, prog="mnist-helpers", config=[OmitArgPrefixes]
    )
    # by its name: a value may be the default's, and yet not the run's
    others = [arg for arg in args if arg.startswith("-") and not arg.startswith("--resume")]
    if others and getattr(command, "resume", None):
        raise InputError(
            f"{', '.join(others)} can't be combined with --resume: a run continues as it was "
            "configured, with a learning rate planned to its last epoch; for more epochs or "
            "other options start a new run."
        )
    return command


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends it with a sentence on stderr and exit code 2."""
    start_console()
    try:
        command = parse(sys.argv[1:] if args is None else args)
        name = type(command).__name__.lower()
        if name in SLOW and "torch" not in sys.modules:
            print("loading PyTorch", file=sys.stderr)
        importlib.import_module(f"mnist_helpers.commands.{name}").run(command)
    except BrokenPipeError:
        pass  # who reads the output has enough
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; pip install 'mnist-helpers[all]'.")
    except InputError as error:
        fail(str(error))
    except OSError as error:  # a full disk, most of all
        fail(
            f"{printable(str(error.filename or 'the output'))} ({reason(error)}); "
            "make room or choose another place."
        )
    except KeyboardInterrupt:
        fail("interrupted", 130)


def fail(text: str, code: int = 2) -> NoReturn:
    """Ends the command with a sentence on stderr."""
    print(f"mnist-helpers: {text}", file=sys.stderr)
    sys.exit(code)
