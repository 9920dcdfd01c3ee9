"""`mnist-helpers visualize`: the views into the network as PNGs."""

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Visualize
from mnist_helpers.config import Config
from mnist_helpers.data import load_idx_part
from mnist_helpers.explorer import Subject, still
from mnist_helpers.explorer.views import views_of
from mnist_helpers.files import require_writable
from mnist_helpers.model import make_model


def run(options: Visualize) -> None:
    """Draws each view and writes it."""
    model, _ = load_checkpoint(options.checkpoint)
    random = {"random": make_model(Config(seed=options.seed).seed).state_dict()}
    test = load_idx_part(options.data_dir, "test")
    subject = Subject(model, *test.tensors, others=random)
    selection = options.selection
    views = views_of(subject) if selection.view == "all" else [selection.view]
    paths = {view: options.out / f"{view}.png" for view in views}
    for path in paths.values():
        require_writable(path, "out")
    for view, path in paths.items():
        picture = still(subject, **vars(selection) | {"view": view})
        picture.save(path)
        log.info("%s: %s", path, picture.scene.caption)
