"""`mnist-helpers export`: another format, kept only where it answers as PyTorch does."""

import hashlib
import io
import json
import warnings
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnist_helpers.checkpoint import checkpoint_file, load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Export
from mnist_helpers.config import PROJECT_DIR, Format, InputError
from mnist_helpers.data import MEAN, STD, load_idx_part
from mnist_helpers.files import require_writable, write_files
from mnist_helpers.model import SimpleCNN

OPSET = 18  # in which torch.onnx writes; another would be converted from it
TOLERANCE = 1e-4  # the most by which a logit may differ from PyTorch's


def make(kind: Format, model: nn.Module, about: dict[str, str]) -> bytes:
    """The content of a file of that `kind`.

    ONNX and pt2 map `images` (batch, 1, 28, 28) to `logits` (batch, 10). Safetensors are the
    weights alone. All have `about` in their metadata, pt2 as about.json in its extra files.
    """
    if kind == "safetensors":
        return safetensors.torch.save(model.state_dict(), about)
    images = torch.zeros(2, 1, 28, 28)
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (images,), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the folders of this machine
    if kind == "onnx":
        import onnxscript  # noqa: F401 - with which torch writes it

        onnx_program = torch.onnx.export(
            program,
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            verbose=False,
            dynamic_shapes=shapes,
        )
        onnx_program.model.metadata_props.update(about)
        return onnx_program.model_proto.SerializeToString()
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"about.json": json.dumps(about)})
    return buffer.getvalue()


def ask(kind: Format, content: bytes, images: Tensor) -> Tensor:
    """The logits (N, 10) that a file gives for `images` (N, 1, 28, 28), by its own library."""
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
    if kind == "pt2":
        return torch.export.load(io.BytesIO(content)).module()(images)
    return functional_call(SimpleCNN(), safetensors.torch.load(content), images)


def export_checkpoint(checkpoint: Path, kind: Format, out: Path, images: Tensor) -> float:
    """Writes `checkpoint` as `out`, once its content has been opened and asked.

    Args:
        images: (N, 1, 28, 28), what the file and PyTorch are asked.

    Returns:
        The largest difference of a logit.

    Raises:
        InputError: the checkpoint is none, the file can't be written, or it answers otherwise.
    """
    if out.suffix != f".{kind}":
        raise InputError(f"out is {out}, but must be a file name ending in .{kind}.")
    require_writable(out, "out")
    model, card = load_checkpoint(checkpoint)
    model.to(memory_format=torch.contiguous_format)
    data_set = card.get("data_set", {"class_names": list("0123456789")})
    about = {
        "architecture": type(model).__name__,
        "sha256": hashlib.sha256(checkpoint_file(checkpoint).read_bytes()).hexdigest(),
        "mean": str(MEAN),
        "std": str(STD),
        "input": "(pixel / 255 - mean) / std, of grey pixels from 0 to 255, light ink on dark",
        "output": "logits",
        "class_names": json.dumps(data_set["class_names"]),
        "no_digit": str(model.no_digit),  # a largest probability below which it knows none
        "card": json.dumps(card),
    }
    with warnings.catch_warnings(action="ignore"):
        content = make(kind, model, about)
        difference = (ask(kind, content, images) - model(images)).abs().max().item()
    if not difference <= TOLERANCE:  # as nan is not, either
        raise InputError(
            f"{out} differs from PyTorch by up to {difference:.1e} per logit, and was not kept; "
            "choose another format."
        )
    write_files({out: content})
    return difference


def run(options: Export) -> None:
    """Writes, compares and tells."""
    out = options.out or PROJECT_DIR / f"outputs/{options.checkpoint.stem}.{options.format}"
    images = load_idx_part(options.data_dir, "test").tensors[0][:1000]
    difference = export_checkpoint(options.checkpoint, options.format, out, images)
    log.info("saved %s as %s, %s bytes", out, options.format, f"{out.stat().st_size:,}")
    log.info("largest difference of a logit from PyTorch's: %.2g", difference)
