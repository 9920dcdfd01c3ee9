"""A checkpoint's analysis as files: figures, metrics.json, and one page that needs no kernel."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_helpers import plots
from mnist_helpers.analysis import calibration, comparison, mistakes
from mnist_helpers.analysis.disturbance import DISTURBANCES, disturb, resistance
from mnist_helpers.config import printable
from mnist_helpers.data import Splits
from mnist_helpers.explorer import Selection, Subject
from mnist_helpers.explorer.scene import Row
from mnist_helpers.explorer.selection import ImageFilter
from mnist_helpers.explorer.views import draw
from mnist_helpers.explorer.widget import PAGE, classic_script, encoded
from mnist_helpers.files import write_files
from mnist_helpers.metrics import class_report, confusion_matrix, evaluate
from mnist_helpers.network.tracing import Network

SOME = 1000  # images that are disturbed
COVERAGE = (1.0, 0.99, 0.98, 0.95)
NO_BYTES = 0  # all numbers of the page travel in half precision


class Report:
    """What one checkpoint does with one data set, measured once.

    Args:
        model: as `Subject` takes it.
        splits: its test images are judged; its validation images fit the temperature.
        class_names: as `Subject` takes them.
    """

    def __init__(
        self, model: nn.Module, splits: Splits, class_names: Sequence[str] | None = None
    ) -> None:
        self.subject = Subject(model, *splits.test.tensors, class_names=class_names)
        self.test = self.subject.predictions
        self.temperature = calibration.fit_temperature(evaluate(model, splits.val))
        self.calibrated = calibration.with_temperature(self.test, self.temperature)
        some = [part[:SOME] for part in splits.test.tensors]
        self.resistance = dict(resistance(self.subject.network, *some))

    def metrics(self) -> dict[str, object]:
        """The numbers under their stable names, which docs/metrics.md explains."""
        _, risk = calibration.risk_by_coverage(self.test)
        places = {share: max(round(share * len(risk)), 1) - 1 for share in COVERAGE}
        return {
            "images": len(self.test.labels),
            "accuracy": self.test.accuracy,
            "accuracy_interval": comparison.accuracy_interval(self.test.correct),
            "loss": self.test.loss(),
            "calibration_error": self.test.calibration_error,
            "temperature": self.temperature,
            "calibrated_loss": self.calibrated.loss(),
            "calibrated_calibration_error": self.calibrated.calibration_error,
            "risk_at_coverage": {str(share): risk[place] for share, place in places.items()},
            "class_names": self.subject.digits,
            "classes": {name: each.tolist() for name, each in class_report(self.test).items()},
            "confusion_matrix": confusion_matrix(self.test).tolist(),
            "top_losses": mistakes.top_losses(self.test, 24).tolist(),
            "label_suspects": mistakes.label_suspects(self.calibrated).tolist(),
            "resistance": {
                name: {
                    "amounts": DISTURBANCES[name].amounts,
                    "accuracies": [each.double().mean().item() for each in kept],
                }
                for name, kept in self.resistance.items()
            },
        }

    def figures(self) -> dict[str, Figure]:
        """The figures by the name of their file."""
        matrix = plots.plot_confusion_matrix(confusion_matrix(self.test), self.subject.digits)
        scores = plots.plot_class_report(class_report(self.test), self.subject.digits)
        bars = plots.plot_reliability(self.test.confidence, self.test.correct)
        line = plots.plot_risk(*calibration.risk_by_coverage(self.test))
        withstood = plot_withstood(self.subject.network, self.subject.images[:1], self.resistance)
        made = {"confusion": matrix, "classes": scores, "reliability": bars, "risk": line}
        return {name: ax.figure for name, ax in made.items()} | {"resistance": withstood}

    def states(self) -> dict[str, object]:
        """What the page shows of every image, of each cell of the matrix, of each confidence."""
        cells = confusion_matrix(self.test).nonzero().tolist()
        filters = [ImageFilter(), *(ImageFilter(tenth=tenth) for tenth in range(10))]
        filters += [ImageFilter(digit=true, predicted=read) for true, read in cells]
        return {json.dumps(vars(each)): self.state(each) for each in filters}

    def state(self, only: ImageFilter) -> dict[str, object]:
        """The confusion view of some images, as the page's scripts read it."""
        at = Selection(view="confusion", **vars(only))
        empty = {"header": Row([]), "trail": Row([])}
        text, numbers = encoded(empty | {"scene": draw(self.subject, at)}, NO_BYTES)
        plain = {"view": at.view, "tabs": [], "controls": [], "error": "", "call": str(at)}
        packed = [base64.b64encode(each).decode() for each in numbers]
        return plain | {"shown": text, "numbers": packed}

    def write(self, out: Path, title: str) -> None:
        """Writes the figures, metrics.json and report.html into a folder."""
        out.mkdir(parents=True, exist_ok=True)
        pictures = {name: plots.figure_png(fig) for name, fig in self.figures().items()}
        write_files({out / f"{name}.png": picture for name, picture in pictures.items()})
        found = self.metrics()
        write_files({out / "metrics.json": (json.dumps(found, indent=2) + "\n").encode()})
        images = [
            f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
            for name, png in pictures.items()
        ]
        rows = [
            f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{told(value)}</td></tr>"
            for name, value in found.items()
            if isinstance(value, int | float | tuple)
        ]
        page = Template(PAGE.joinpath("report.html").read_text("utf-8"))
        text = page.substitute(
            title=html.escape(printable(title)),
            rows="\n".join(rows),
            figures="\n".join(images),
            style=PAGE.joinpath("explorer.css").read_text("utf-8"),
            script=classic_script(),
            states=json.dumps(self.states()).replace("<", "\\u003c"),
        )
        write_files({out / "report.html": text.encode()})


def plot_withstood(
    network: Network, image: Tensor, withstood: Mapping[str, Sequence[Tensor]]
) -> Figure:
    """Draws accuracy by the amount of each disturbance, with an image (1, C, H, W) so disturbed.

    Args:
        withstood: what `resistance` yields, by name.
    """
    fig = plots.make_figure(9, 8)
    panels = fig.subfigures(3, 3).ravel()
    for panel, (name, kept) in zip(panels, withstood.items(), strict=True):
        kind = DISTURBANCES[name]
        digits = [disturb(network, image, name, amount) for amount in kind.amounts]
        shares, title = [each.float().mean() for each in kept], f"{name} ({kind.unit})"
        plots.plot_resistance(title, kind.amounts, shares, torch.cat(digits), fig=panel)
    return fig


def told(value: float | tuple[float, ...]) -> str:
    """A number as text, or the ends of an interval."""
    if isinstance(value, tuple):
        return " to ".join(map(told, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
