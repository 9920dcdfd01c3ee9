"""`mnist-helpers predict`: which digits each picture shows."""

import glob
import json
import logging
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Predict
from mnist_helpers.config import InputError
from mnist_helpers.data import MEAN, STD
from mnist_helpers.digits import keep, load_digits

DIGITS = list("0123456789")


def run(options: Predict) -> None:
    """Reads each picture; what can't be read is named on stderr, and is exit code 2 at the end."""
    if not options.images:
        raise InputError("predict needs at least one picture; give the paths of PNG or JPEG files.")
    if options.json:  # stdout is for its lines alone
        logging.root.handlers[0].setStream(sys.stderr)
    model, card = load_checkpoint(options.checkpoint, options.device)
    data_set = card.get("data_set")
    if data_set and data_set["class_names"] != DIGITS:
        raise InputError(
            f"{options.checkpoint} was trained on {data_set['name']}, and pictures are prepared as "
            "digits; give a checkpoint that reads digits."
        )
    code = 0
    for path in expanded(options.images):
        digits = []
        texts = []
        error = None
        try:
            read(path, model, options.keep, digits, texts)
        except InputError as refusal:
            error = str(refusal)
            print(f"mnist-helpers: {error}", file=sys.stderr)
            code = 2
        if options.json:
            print(json.dumps({"file": str(path), "digits": digits, "error": error}))
        elif texts and not options.keep:
            log.info("%s: %s", path, ", ".join(texts))
    if code:
        sys.exit(code)


def expanded(paths: tuple[Path, ...]) -> list[Path]:
    """The pictures of folders, and the files that a pattern names, in the place of each."""
    files = []
    kinds = {*Image.registered_extensions(), ".heic", ".heif", ".svg"}  # some are told by name
    for path in map(Path.expanduser, paths):
        pictures = sorted(map(Path, glob.glob(str(path))))  # none of a name with brackets
        if path.is_dir():
            pictures = [file for file in sorted(path.glob("[!.]*")) if file.suffix.lower() in kinds]
        files += pictures or [path]  # a folder of none is named in its turn
    return files


def keep_part(path: Path, image: Tensor, guess: str, folder: Path) -> None:
    """Shows a digit of a picture, asks which it is, and keeps it in `folder`.

    Raises:
        InputError: nobody answers.
    """
    for row in (5 * (image[0, ::2] * STD + MEAN)).clamp(0, 4).int().tolist():
        log.info("%s", "".join(map(" ░▒▓█".__getitem__, row)))
    print(f"{path}: {guess}? Enter, its digit, or n: ", end="", file=sys.stderr, flush=True)
    try:
        answer = input()
    except EOFError as error:
        raise InputError("nobody answers; use --keep in a terminal.") from error
    digit = answer.strip() or guess
    if digit in DIGITS:
        log.info("kept as %s", keep(image, int(digit), folder))
    else:
        log.info("not kept")


@torch.inference_mode()
def read(
    path: Path, model: nn.Module, folder: Path | None, digits: list[dict], texts: list[str]
) -> None:
    """Adds what a picture shows, from left to right, to `digits` and, in words, to `texts`.

    Where there is a `folder`, asks of each part which digit it is, and keeps it there.

    Raises:
        InputError: it can't be read, or a part of it is no digit that the network knows.
    """
    parts = load_digits(path)
    batch = torch.stack([digit.image for digit in parts])
    probs = model(batch.to(next(model.parameters()).device)).softmax(dim=1).cpu()
    strange = []
    for (image, box), (first, second), (digit, other) in zip(parts, *probs.topk(2), strict=True):
        if folder:
            keep_part(path, image, f"{digit}", folder)
        elif first < model.no_digit:
            strange.append(f"from {box[0]} to {box[2]} (nearest to {digit}, {first:.1%})")
            continue
        digits.append({"digit": digit.item(), "probability": round(first.item(), 4), "box": box})
        texts.append(f"{digit} ({100 * first:.1f} %; next {other}, {100 * second:.1f} %)")
    if strange:
        raise InputError(
            f"the network recognises no digit in {path} {' and '.join(strange)}; if two digits "
            "touch there, leave room between them."
        )
