"""`mnist-helpers site`: the lab and the notebooks as pages that need no kernel."""

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.notebooks import notebook_paths
from mnist_helpers.commands.options import Site
from mnist_helpers.data import load_idx_part
from mnist_helpers.explorer import Subject
from mnist_helpers.files import require_writable
from mnist_helpers.site.build import write_site


def run(options: Site) -> None:
    """Builds and writes."""
    paths = notebook_paths(())  # without the collection there is nothing to build
    start = options.out / "index.html"
    require_writable(start, "out")
    model, _ = load_checkpoint(options.checkpoint)
    images = load_idx_part(options.data_dir, "test")[:100]
    write_site(Subject(model, *images), paths, options.out)
    log.info("saved %s", start)
