"""`mnist-helpers export`: a checkpoint in another format."""

from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Export
from mnist_helpers.config import PROJECT_DIR
from mnist_helpers.data import load_idx_part
from mnist_helpers.export import export_checkpoint


def run(options: Export) -> None:
    """Writes, compares and tells."""
    name = f"{options.checkpoint.stem}.{options.format}"
    out = options.out or PROJECT_DIR / "outputs" / name
    images = load_idx_part(options.data_dir, "test").tensors[0][:1000]
    difference = export_checkpoint(options.checkpoint, options.format, out, images)
    log.info("saved %s as %s, %s bytes", out, options.format, f"{out.stat().st_size:,}")
    log.info("largest difference of a logit from PyTorch's: %.2g", difference)
