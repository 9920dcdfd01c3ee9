"""A scene as a picture with its caption."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_helpers.explorer.paper import DPI, column, item_box, words
from mnist_helpers.explorer.scene import Scene
from mnist_helpers.files import write_files
from mnist_helpers.plots import GROUND, figure_png

MARGIN = 8  # pixels around the scene


@dataclass
class Still:
    """A scene as a picture with its caption."""

    scene: Scene

    @property
    def figure(self) -> Figure:
        """The scene at its natural size, the caption below."""
        fig = Figure(dpi=DPI, facecolor=GROUND)
        FigureCanvasAgg(fig)
        caption = textwrap.fill(self.scene.caption, 130)
        whole = column([item_box(self.scene.content, fig), words(caption, 8)], 10)
        fig.add_artist(whole)
        extent = whole.get_bbox(fig.canvas.get_renderer()).padded(MARGIN)
        fig.set_size_inches(extent.size / DPI)
        whole.set_offset((-extent.x0, -extent.y0))
        return fig

    def png(self) -> bytes:
        """The picture's bytes."""
        return figure_png(self.figure)

    def save(self, path: Path) -> None:
        """Writes the picture."""
        write_files({Path(path): self.png()})

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png(), {"alt": self.scene.caption}

    def __repr__(self) -> str:
        return textwrap.fill(self.scene.caption, 80)
