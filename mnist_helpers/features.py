"""What flows through a network: its stages, what each puts out, what it sees of the image, and its arithmetic."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from mnist_helpers.config import InputError

POOLS = nn.MaxPool2d | nn.AvgPool2d
BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d
MODULES = {  # functions and methods, and what the same arithmetic is called as a module
    "relu": nn.ReLU,
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    F.max_pool2d: nn.MaxPool2d,
    torch.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
SOFTMAX = "softmax"


class Window(NamedTuple):
    """Which pixels a value at (row, column) sees: `size` of them along each axis, from `start` + `step` · position."""

    size: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)
    start: tuple[int, int] = (0, 0)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right (the last two excluded) of what is seen; it may reach beyond the frame."""
        top, left = (
            start + step * at
            for start, step, at in zip(self.start, self.step, (row, column), strict=True)
        )
        return top, left, top + self.size[0], left + self.size[1]

    def through(self, inner: "Window") -> "Window":
        """What is seen by a value that sees `inner` of values that see this."""
        size = (
            size + (n - 1) * step
            for size, step, n in zip(self.size, self.step, inner.size, strict=True)
        )
        step = (mine * its for mine, its in zip(self.step, inner.step, strict=True))
        start = (
            mine + at * step
            for mine, at, step in zip(self.start, inner.start, self.step, strict=True)
        )
        return Window(tuple(size), tuple(step), tuple(start))


class Stage(NamedTuple):
    """One step of a network.

    `shape` is what it puts out for one image; `sees` what a value of it sees of the image, None for all of it;
    `reads` the same of the stage before, and `before` that stage's name, "image" for the first.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    sees: Window | None
    reads: Window | None
    before: str

    def __str__(self) -> str:
        sees = "all" if self.sees is None else " × ".join(map(str, self.sees.size))
        shape = " × ".join(map(str, self.shape))
        return f"{self.name:10} {self.kind:10} {shape:14} {self.parameters:9,}   {sees}"


class Arithmetic(NamedTuple):
    """How one value of a stage comes about.

    `patch` is what it reads and `kernel` what that is multiplied with, both (in channels, height, width); a kernel of
    None means that the `rule` (max, mean, relu, softmax or the kind of the module) makes the value of the patch.
    `first` is the channel of the stage before that the patch begins with, `rectified` whether a ReLU comes next.
    """

    patch: np.ndarray
    kernel: np.ndarray | None
    bias: float
    rule: str
    value: float
    first: int = 0
    rectified: bool = False

    @property
    def partial_sums(self) -> np.ndarray:
        """The products summed up for each input channel, (in channels,)."""
        return (self.patch * self.kernel).sum(axis=(1, 2))


def window_of(module: nn.Module) -> tuple[Window, tuple[int, int]] | None:
    """What a value of a convolution or pooling reads of its input, and the dilation; None for other modules."""
    if not isinstance(module, nn.Conv2d | POOLS):
        return None
    values = (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
    kernel, stride, padding, dilation = ((v, v) if isinstance(v, int) else v for v in values)
    span = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    if isinstance(padding, str):
        padding = tuple((s - 1) // 2 if padding == "same" else 0 for s in span)
    return Window(span, tuple(stride), tuple(-p for p in padding)), tuple(dilation)


class Network:
    """A model taken apart, once, into the stages that its images pass through; its weights stay the model's own.

    Stages are the modules in the order of use, by their names in the state_dict (a second use adds _1), functions such
    as `F.relu` by their own name, and at the end the softmax of what comes out. Works for any model that `torch.fx`
    can trace.

    Args:
        model: is put into evaluation mode.
        images: (N, C, H, W), of which the first tells the shapes.

    Raises:
        InputError: the model can't be traced, has no convolution, doesn't take the images, or gives no logits.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model, kind = model.eval(), type(model).__name__
        try:
            self.graph = _with_modules(fx.symbolic_trace(model))
        except Exception as error:  # whatever the model's own code raises
            remedy = "give a model whose path doesn't depend on its input"
            raise InputError(f"torch.fx can't trace {kind} ({error}); {remedy}.") from error
        for name, module in list(self.graph.named_modules()):
            if getattr(module, "inplace", False):  # would overwrite what the stage before put out
                self.graph.set_submodule(name, copy.copy(module))
                self.graph.get_submodule(name).inplace = False
        self.nodes: dict[str, fx.Node] = {}
        for node in self.graph.graph.nodes:
            if node.op == "call_module":
                uses = sum(known.target == node.target for known in self.nodes.values())
                self.nodes[f"{node.target}_{uses}" if uses else node.target] = node
        self.between: dict[
            str, fx.Node
        ] = {}  # what stages read that no module puts out, such as a sum
        self.names = {node: name for name, node in self.nodes.items()}
        self.convolutions = [
            name for name in self.nodes if isinstance(self.module(name), nn.Conv2d)
        ]
        if not self.convolutions:
            raise InputError(f"{kind} has no nn.Conv2d; give a network with convolutions.")
        self.device = next(model.parameters()).device
        try:
            self.stages = {stage.name: stage for stage in self._measure(images[:1])}
        except RuntimeError as error:
            given = f"an image {tuple(images.shape[1:])} of {images.dtype}"
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{kind} doesn't take {given} ({reason}); give images as it was trained on."
            ) from error

    def module(self, stage: str) -> nn.Module:
        """The module of a stage."""
        return self.graph.get_submodule(self.nodes[stage].target)

    def run(self, images: Tensor) -> dict[fx.Node, Tensor]:
        """What every node of the graph puts out, with gradients where they are enabled."""
        interpreter = fx.Interpreter(self.graph, garbage_collect_values=False)
        interpreter.run(images.to(self.device))
        return interpreter.env

    @torch.inference_mode()
    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """What every stage puts out for `images`: {name: (N, C, H, W) or (N, features)}, in order, on the CPU."""
        values = self.run(images)
        maps = {name: values[node].cpu() for name, node in (self.nodes | self.between).items()}
        return maps | {SOFTMAX: values[self.output].softmax(1).cpu()}

    @property
    def output(self) -> fx.Node:
        """The node whose values are the logits."""
        return next(iter(reversed(self.graph.graph.nodes))).all_input_nodes[0]

    def _measure(self, image: Tensor) -> list[Stage]:
        with torch.inference_mode():
            values = self.run(image)
        logits = values.get(next(iter(reversed(self.graph.graph.nodes))).args[0])
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise InputError(
                f"{type(self.model).__name__} must answer with one tensor of logits (N, classes)."
            )
        sees: dict[fx.Node, Window | None] = {}
        stages = []
        for node, value in values.items():
            if not node.all_input_nodes or node.op == "output":
                sees[node] = Window()
                continue
            before = node.all_input_nodes[0]
            module = self.module(self.names[node]) if node in self.names else None
            found, reads = window_of(module), Window()
            if found:
                reads = found[0]
            elif value.shape[2:] != values[before].shape[2:] or isinstance(module, nn.Linear):
                reads = None  # flattened, or a size changed in a way unknown: it may see all
            widest = max(
                (sees[each] for each in node.all_input_nodes),
                key=lambda w: (w is None, w and w.size),
            )
            sees[node] = widest.through(reads) if widest and reads else None
            if node in self.names:
                parameters = sum(tensor.numel() for tensor in module.parameters())
                before = _laid_out(before, values)
                source = self.names.get(
                    before, "image" if before.op == "placeholder" else before.name
                )
                if source not in self.nodes and before.op != "placeholder":
                    self.between[source] = before
                shape = tuple(value.shape[1:])
                stages.append(
                    Stage(
                        self.names[node],
                        type(module).__name__,
                        shape,
                        parameters,
                        sees[node],
                        reads,
                        source,
                    )
                )
        source = self.names.get(self.output, self.output.name)
        if source not in self.nodes:  # a function, such as log_softmax
            self.between[source] = self.output
        return [*stages, Stage(SOFTMAX, "Softmax", tuple(logits.shape[1:]), 0, None, None, source)]

    @torch.inference_mode()
    def arithmetic(
        self, image: Tensor, stage: str, channel: int, row: int = 0, column: int = 0
    ) -> Arithmetic:
        """How `stage` comes to its value at (`channel`, `row`, `column`) for `image` (C, H, W)."""
        values = self.run(image[None])
        if stage == SOFTMAX:
            logits = values[self.output][0]
            value = logits.softmax(0)[channel].item()
            return Arithmetic(
                logits.reshape(1, 1, -1).cpu().numpy(), None, 0.0, "softmax", value, channel
            )
        node, module = self.nodes[stage], self.module(stage)
        source = node.all_input_nodes[0]
        before, value = (
            values[source][0],
            values[node][0].reshape(-1, *(values[node].shape[2:] or (1, 1))),
        )
        weights, bias, first = (
            None,
            0.0,
            channel % len(before),
        )  # all but sums read the channel that they make
        rule = {nn.MaxPool2d: "max", nn.AvgPool2d: "mean"}.get(
            type(module), type(module).__name__.lower()
        )
        if isinstance(module, nn.Conv2d | nn.Linear):
            rule, weights, first = "sum", module.weight[channel], 0
            bias = 0.0 if module.bias is None else module.bias[channel].item()
        elif (
            isinstance(module, BATCH_NORMS) and module.track_running_stats
        ):  # a factor and a summand for each channel
            gamma, beta = (
                (module.weight[channel], module.bias[channel]) if module.affine else (1.0, 0.0)
            )
            factor = gamma * (module.running_var[channel] + module.eps).rsqrt()
            rule, weights = "scale", factor.reshape(1, 1, 1)
            bias = float(beta - module.running_mean[channel] * factor)
        if found := window_of(module):
            patch = _cut(before, *found, row, column, module)
            if rule == "sum":
                first = channel // (module.out_channels // module.groups) * len(weights)
            patch = patch[first : first + (len(weights) if rule == "sum" else 1)]
            if getattr(module, "divisor_override", None):
                rule = f"the sum, divided by {module.divisor_override},"
        elif rule == "sum":
            spread = values[_laid_out(source, values)][0].shape
            patch, weights = (
                each.reshape(spread[0], *(spread[1:] or (1, 1))) for each in (before, weights)
            )
        elif before.numel() == value.numel():  # one value of one value
            patch = before.reshape(value.shape)[channel, row, column].reshape(1, 1, 1)
        else:  # such as global pooling: all of the channel
            maps = before.reshape(len(before), *(before.shape[1:] or (1, 1)))
            patch = maps[first][None]
            rule = (
                "mean"
                if isinstance(module, nn.AdaptiveAvgPool2d) and value.shape[1:] == (1, 1)
                else rule
            )
        kernel = None if weights is None else weights.cpu().numpy()
        rectified = any(
            user in self.names and isinstance(self.module(self.names[user]), nn.ReLU)
            for user in node.users
        )
        number = value[channel, row, column].item()
        return Arithmetic(patch.cpu().numpy(), kernel, bias, rule, number, first, rectified)


def _with_modules(graph: fx.GraphModule) -> fx.GraphModule:
    """Turns the functions in `MODULES` into calls of modules, which makes stages of them."""
    for node in graph.graph.nodes:
        if node.op in ("call_function", "call_method") and node.target in MODULES:
            found = node.normalized_arguments(graph, normalize_to_only_use_kwargs=True)
            unlike = ("input", "self", "inplace")  # what modules don't take, or should not
            given = found.kwargs if found else {}  # methods have no more than their object
            options = {
                name: value for name, value in given.items() if name not in unlike and value != []
            }
            name = node.name if not hasattr(graph, node.name) else f"{node.name}_function"
            graph.add_submodule(name, MODULES[node.target](**options))
            node.op, node.target, node.args, node.kwargs = (
                "call_module",
                name,
                tuple(node.all_input_nodes),
                {},
            )
    graph.recompile()
    return graph


def _laid_out(node: fx.Node, values: dict[fx.Node, Tensor]) -> fx.Node:
    """The node before a flattening, which has the same values as maps; or `node` itself."""
    if values[node].ndim == 2 and len(node.all_input_nodes) == 1:
        before = values[node.all_input_nodes[0]]
        if before.ndim > 2 and before.numel() == values[node].numel():
            return node.all_input_nodes[0]
    return node


def _cut(
    before: Tensor,
    window: Window,
    dilation: tuple[int, int],
    row: int,
    column: int,
    module: nn.Module,
) -> Tensor:
    """The values of `before` (C, H, W) in a window, its padding included."""
    (up, left), mode = window.start, getattr(module, "padding_mode", "zeros")
    # what lies beyond the last whole window is read by ceil_mode and an even "same" padding only
    frame, beyond = (-left, -left, -up, -up), (0, window.size[1], 0, window.size[0])
    if mode == "zeros":
        none = (
            -torch.inf
            if isinstance(module, nn.MaxPool2d)
            else torch.nan
            if isinstance(module, POOLS)
            else 0.0
        )
        fill = (
            0.0 if getattr(module, "count_include_pad", False) else none
        )  # nan is not counted by a mean
        padded = F.pad(F.pad(before, frame, value=fill), beyond, value=none)
    else:
        padded = F.pad(before[None], frame, mode=mode)[0]
    top, side = (at * step for at, step in zip((row, column), window.step, strict=True))
    return padded[
        :, top : top + window.size[0] : dilation[0], side : side + window.size[1] : dilation[1]
    ]


def as_maps(out: Tensor) -> np.ndarray:
    """What a stage puts out for one image as maps (C, H, W); a vector becomes maps of one pixel."""
    return out.reshape(len(out), *out.shape[1:] or (1, 1)).numpy()


def kernels(
    model: nn.Module, of: Callable[[Tensor], Tensor] = lambda weight: weight
) -> dict[str, Tensor]:
    """The weights of every convolution, {name: (out channels, in channels, height, width)}, in order, on the CPU.

    Args:
        of: what to take of each weight, such as its gradient.
    """
    convolutions = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)
    }
    return {name: of(module.weight).detach().cpu() for name, module in convolutions.items()}
