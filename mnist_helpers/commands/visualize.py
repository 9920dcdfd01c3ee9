"""`mnist-helpers visualize`: the views into the network as PNGs."""

from dataclasses import replace

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Visualize
from mnist_helpers.data import load_idx_part
from mnist_helpers.explorer import Subject, still
from mnist_helpers.explorer.views import require_view, views_of
from mnist_helpers.files import require_writable
from mnist_helpers.foreign.readers import tell_data
from mnist_helpers.model import make_model
from mnist_helpers.work import bar_options


def run(options: Visualize) -> None:
    """Draws each view and writes it."""
    model, card = load_checkpoint(options.checkpoint)
    subject = Subject(
        model,
        *load_idx_part(options.data_dir, "test").tensors,
        others={"random": make_model().state_dict()},
    )
    views = options.views or list(views_of(subject))
    subject.check(options.selection)
    for view in views:
        require_view(view)
        require_writable(options.out / f"{view}.png", "out")
    tell_data(options.data_dir, card)
    with logging_redirect_tqdm():
        for view in tqdm(views, **bar_options("views")):
            path = options.out / f"{view}.png"
            picture = still(subject, **vars(replace(options.selection, view=view)))
            picture.save(path)
            log.info("%s: %s", path, picture.scene.caption)
