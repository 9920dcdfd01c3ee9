"""A model taken apart into layers: what each puts out, what it reads, and with which weights."""

import copy
import functools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.node import map_arg

from mnist_helpers.config import InputError
from mnist_helpers.network.receptive_field import Field, Reads, map_shape, own_places, reads

IMAGE, SOFTMAX = "image", "softmax"
MODULES = {  # functions and methods, and the module that does the same
    "relu": nn.ReLU,
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    F.max_pool2d: nn.MaxPool2d,
    torch.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}


class Layer(NamedTuple):
    """One step of a network.

    Attributes:
        name: "image", the module's name in the state_dict (a second use adds _1), a function's
            name, or "softmax".
        op: the class of the module, or what the function is called.
        shape: of what it puts out for one image.
        parameters: how many numbers it has learnt.
        inputs: the layers that it reads, in the order of its arguments.
        receptive_field: what its values see of the image; None: not known.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    parameters: int
    inputs: tuple[str, ...]
    receptive_field: Field | None

    def __str__(self) -> str:
        field, seen = self.receptive_field, "unknown"
        if field:
            seen = "all" if field.whole else " × ".join(map(str, field.size))
        shape = " × ".join(map(str, self.shape))
        return f"{self.name[-16:]:16} {self.op:17} {shape:14} {self.parameters:10,}  {seen}"


class Network:
    """A model taken apart once, by one trace of torch.fx; its weights stay its own.

    Attributes:
        model: in evaluation mode.
        device: where the model is.
        layers: by name, in the order of use, from the image to the softmax of what comes out.
        convolutions: the names of those that are nn.Conv2d.
        classes: how many logits there are.
        weights: parameters and buffers by name, at first the model's own.
        answer: the name of the layer that puts out the logits.
        nodes: the step of the trace that each layer is.
        reads: for each layer and each of its inputs the places that it reads; None: not known.

    Args:
        model: is put into evaluation mode.
        images: (N, C, H, W), of which the first tells the shapes.

    Raises:
        InputError: it is no model, can't be traced, has no convolution, doesn't take the images,
            or gives no logits.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model must be a torch.nn.Module, not a {type(model).__name__}.")
        self.model = model.eval()
        self.traced = _trace(model)
        self.device = next(model.parameters()).device
        self.weights = dict(model.state_dict(keep_vars=True))
        values = self._first_values(images[:1])
        self.classes = values[self._add_softmax(values)].shape[1]
        self.nodes = _name_layers(self.traced.graph, values)
        self.modules = {name: self._module(node, values) for name, node in self.nodes.items()}
        self.layers: dict[str, Layer] = {}
        self.reads: dict[str, list[Reads] | None] = {}
        for name, node in self.nodes.items():
            self._measure(name, tuple(values[node].shape[1:]))
        (self.answer,) = self.layers[SOFTMAX].inputs
        self.convolutions = [n for n in self.nodes if isinstance(self.modules[n], nn.Conv2d)]
        self.traced.graph.output_node().args = (self.nodes,)
        self.traced.recompile()

    def module(self, layer: str) -> nn.Module | None:
        """The module of a layer, or one that does the same; None for other functions."""
        return self.modules[layer]

    def users(self, layer: str) -> list[str]:
        """The layers that read a layer."""
        return [user.name for user in self.layers.values() if layer in user.inputs]

    def with_weights(self, weights: dict[str, Tensor]) -> "Network":
        """The same network with other weights: a state_dict of its form."""
        other = copy.copy(self)
        other.weights = weights
        return other

    def run(self, images: Tensor) -> dict[str, Tensor]:
        """What every layer puts out for `images`, with gradients where they are enabled."""
        used = {name: self.weights[name].to(self.device) for name in self.traced.state_dict()}
        return functional_call(self.traced, used, (images.to(self.device),), tie_weights=False)

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """What every layer puts out for `images`, (N, ...) each, on the CPU."""
        return {name: output.cpu() for name, output in self.run(images).items()}

    def features(self, images: Tensor, *layers: str, batch_size: int = 250) -> list[Tensor]:
        """What some layers put out for any number of images, (N, ...) each, in one pass."""
        found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
        for batch in images.split(batch_size):
            outputs = self.outputs(batch)
            for layer, kept in found.items():
                kept.append(outputs[layer])
        return [torch.cat(kept) for kept in found.values()]

    def logits(self, images: Tensor) -> Tensor:
        """What it answers to any number of images, (N, classes)."""
        return self.features(images, self.answer)[0]

    @torch.inference_mode()
    def _first_values(self, image: Tensor) -> dict[fx.Node, object]:
        """What every step gives for two copies of an image (1, C, H, W)."""
        kind, image = type(self.model).__name__, image.to(self.device)
        interpreter = fx.Interpreter(self.traced, garbage_collect_values=False)
        try:
            answer = interpreter.run(image.repeat(2, 1, 1, 1))
            expected = self.model(image)
        except RuntimeError as error:
            given = f"an image {tuple(image.shape[1:])} of {image.dtype}"
            reason = str(error).partition("\n")[0]
            remedy = "give images as it was trained on"
            raise InputError(f"{kind} doesn't take {given} ({reason}); {remedy}.") from error
        if not isinstance(answer, Tensor) or answer.ndim != 2:
            raise InputError(f"{kind} must answer with one tensor of logits (N, classes).")
        if not torch.allclose(answer[:1], expected, rtol=1e-3, atol=1e-4, equal_nan=True):
            remedy = "write x = x + y for what it does in place, and use no chance"
            raise InputError(f"{kind} answers otherwise when taken apart; {remedy}.")
        return interpreter.env

    def _add_softmax(self, values: dict[fx.Node, object]) -> fx.Node:
        """Makes the softmax of the logits the last step."""
        graph = self.traced.graph
        logits = graph.output_node().args[0]
        with graph.inserting_before(graph.output_node()):
            softmax = graph.call_method("softmax", (logits, 1))
        values[softmax] = values[logits]
        return softmax

    def _module(self, node: fx.Node, values: dict[fx.Node, object]) -> nn.Module | None:
        if node.op == "call_module":
            return self.traced.get_submodule(node.target)
        if node.op == "placeholder" or node.target not in MODULES:
            return None
        arguments = node.normalized_arguments(self.traced, normalize_to_only_use_kwargs=True)
        given = map_arg(arguments.kwargs, values.get) if arguments else {}
        unlike = ("input", "inplace")  # what modules don't take, or should not
        options = {n: v for n, v in given.items() if n not in unlike and v not in ([], None)}
        return MODULES[node.target](**options)

    def _measure(self, name: str, shape: tuple[int, ...]) -> None:
        """Adds a layer to those before it."""
        node, module = self.nodes[name], self.modules[name]
        inputs = [self.layers[before] for before in _inputs(node)]
        op = type(module).__name__ if module else getattr(node.target, "__name__", node.target)
        op = {IMAGE: "Input", SOFTMAX: "Softmax"}.get(name, op)
        layer_reads = [reads(op, module, before.shape, shape) for before in inputs]
        hidden = any(before.meta.get("hidden") for before in node.all_input_nodes)
        if hidden or None in layer_reads:
            layer_reads = None
        field = _field(inputs, layer_reads) if inputs else own_places(shape)
        parameters = sum(p.numel() for p in module.parameters()) if module else 0
        names = tuple(before.name for before in inputs)
        self.layers[name] = Layer(name, op, shape, parameters, names, field)
        self.reads[name] = layer_reads


def _trace(model: nn.Module) -> fx.GraphModule:
    """The steps of a model; none overwrites what a step before it put out."""
    kind = type(model).__name__
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # whatever the model's own code raises
        remedy = "give a model whose path doesn't depend on its input"
        raise InputError(f"torch.fx can't trace {kind} ({error}); {remedy}.") from error
    modules = list(traced.named_modules())
    if not any(isinstance(module, nn.Conv2d) for _, module in modules):
        raise InputError(f"{kind} has no nn.Conv2d; give a network with convolutions.")
    for name, module in modules:
        if getattr(module, "inplace", False):
            traced.set_submodule(name, copy.copy(module))
            traced.get_submodule(name).inplace = False
    for node in traced.graph.nodes:
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)
        target = getattr(node.target, "__name__", node.target)
        if node.op == "call_method":
            node.target = target.removesuffix("_")
        elif node.op == "call_function" and target.endswith("_"):
            node.target = getattr(F, target.removesuffix("_"))
    return traced


def _name_layers(graph: fx.Graph, values: dict[fx.Node, object]) -> dict[str, fx.Node]:
    """The steps that put out a tensor for each of the two images, by name and in order.

    Marks those that don't, but carry what comes from the image, as hidden.
    """
    image, *steps, softmax, _ = graph.nodes
    image.meta["of_image"] = True
    layers = []
    for node in (*steps, softmax):
        value = values[node]
        sizes = isinstance(value, int | torch.Size)
        seen = any(before.meta.get("of_image") for before in node.all_input_nodes)
        node.meta["of_image"] = seen and not sizes
        node.meta["hidden"] = seen and not sizes
        if seen and isinstance(value, Tensor) and value.shape[:1] == (2,):
            node.meta["hidden"] = False
            layers.append(node)
    names = {image: IMAGE, softmax: SOFTMAX}
    for node in sorted(layers[:-1], key=lambda step: step.op != "call_module"):
        name = known = node.target if node.op == "call_module" else node.name
        uses = 0
        while name in names.values():
            uses += 1
            name = f"{known}_{uses}"
        names[node] = name
    for node, name in names.items():
        node.meta["layer"] = name
    return {names[node]: node for node in (image, *layers)}


def _inputs(node: fx.Node) -> list[str]:
    """The layers that a step reads, directly or through steps that are none."""
    names: list[str] = []
    for before in node.all_input_nodes:
        name = before.meta.get("layer")
        names += [name] if name else _inputs(before)
    return list(dict.fromkeys(names))


def _field(inputs: list[Layer], layer_reads: list[Reads] | None) -> Field | None:
    """What a layer sees of the image through its inputs."""
    fields = [before.receptive_field for before in inputs]
    if layer_reads is None or None in fields:
        return None
    return functools.reduce(Field.join, map(Field.through, fields, layer_reads))


def as_maps(output: Tensor) -> np.ndarray:
    """What a layer puts out for one image as maps: (C,) as (C, 1, 1), (A, B) as (1, A, B)."""
    return output.reshape(map_shape(output.shape)).numpy()
