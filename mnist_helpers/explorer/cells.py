"""The explorers of each notebook cell: run again, it closes those of its earlier run."""

from IPython import get_ipython
from ipywidgets import VBox


def close_former(explorer: VBox) -> None:
    """Closes what an earlier run of this cell has made, for ipywidgets and Out would keep it."""
    shell = get_ipython()
    parent = getattr(shell, "get_parent", dict)()
    if parent:
        # for each cell, by its id or (where the page tells none) its text: last run and explorers
        latest = shell.meta.setdefault("explorers", {})
        # a widget's callback, which has neither, is one cell as well
        cell = parent["metadata"].get("cellId") or parent["content"].get("code")
        request = parent["header"]["msg_id"]
        former, explorers = latest.get(cell, (request, []))
        if former != request:
            for other in explorers:
                other.release()
            explorers = []
        latest[cell] = (request, [*explorers, explorer])
