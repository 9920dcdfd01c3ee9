"""A model taken apart into layers: what each puts out, what it reads, and with which weights."""

import copy
import functools
import math
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.node import map_arg

from mnist_helpers.config import InputError
from mnist_helpers.files import reason
from mnist_helpers.metrics import as_logits, evaluating
from mnist_helpers.network.receptive_field import Field, Shape, map_shape, own_places, reads
from mnist_helpers.network.steps import plain, trace
from mnist_helpers.work import finished

IMAGE = "image"
SOFTMAX = "softmax"
Values = dict[fx.Node, object]  # what each step gives
Tensors = dict[str, Tensor]  # by name, of layers or of weights
Arrays = dict[str, np.ndarray]  # by the name of a layer, or another
BATCH = 250  # images that go through a small network at once
MOST_VALUES = 25_000_000  # of all layers, that are in memory at once
FLATTENING = ("flatten", "view", "reshape")
OPS = {IMAGE: "Input", SOFTMAX: "Softmax"}
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
        sees: how much that is at most, in words.
    """

    name: str
    op: str
    shape: Shape
    parameters: int
    inputs: tuple[str, ...]
    receptive_field: Field | None
    sees: str

    @property
    def title(self) -> str:
        """What to call it: a number, as in nn.Sequential, tells nothing without its kind."""
        if self.name.rpartition(".")[2][0].isdigit():
            return f"{self.name} {self.op}"
        return self.name


class Network:
    """A model taken apart once, by one trace of torch.fx; its weights and its mode stay its own.

    Attributes:
        model: what was given, out of its wrappers; a copy where it isn't of single precision.
        device: where the model is.
        layers: by name, in the order of use, from the image to the softmax of what comes out.
        convolutions: the names of those that are nn.Conv2d.
        classes: how many logits there are.
        weights: parameters and buffers by name, at first the model's own.
        answer: the name of the layer that puts out the logits.
        traced: the trace, which puts out what every layer does, by name.
        decider: the same trace, which puts out the logits alone.
        nodes: the step of the trace that each layer is.
        modules: the module of each layer, or one that does the same; None for other functions.
        reads: for each layer and each of its inputs the places that it reads; None: not known.
        batch_size: how many images go through it at once, by what its layers put out.
        is_large: whether that is less than of a small network.

    Args:
        images: (N, C, H, W), of which the first tells the shapes.

    Raises:
        InputError: it is no model, can't be traced, has no convolution, doesn't take the images,
            or gives no logits.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model = plain(model)
        self.device = next(self.model.parameters()).device
        self.weights = dict(self.model.state_dict(keep_vars=True))
        image = images[:1].to(self.device, torch.float32)
        with evaluating(self.model):
            self.traced = trace(self.model, image)
            values = self._first_values(image)
            softmax = self._add_softmax(values)
        self.classes = values[softmax].shape[1]
        carriers = _carriers(self.traced.graph, values)
        # those that put out a tensor for each of the two images
        layers = [n for n in carriers if getattr(values[n], "shape", ())[:1] == (2,)]
        if softmax not in layers:
            kind = type(model).__name__
            raise InputError(
                f"{kind} must answer each image with logits of its own, from it alone."
            )
        names = _layer_names(layers)
        hidden = set(carriers).difference(names)
        self.nodes = {name: node for node, name in names.items()}
        self.modules = {name: self._module(node, values) for name, node in self.nodes.items()}
        self.layers = {}
        self.reads = {}
        for name, node in self.nodes.items():
            known = hidden.isdisjoint(node.all_input_nodes)
            self._measure(name, tuple(values[node].shape[1:]), _inputs(node, names), known)
        (self.answer,) = self.layers[SOFTMAX].inputs
        self.convolutions = [n for n in self.nodes if isinstance(self.modules[n], nn.Conv2d)]
        output = self.traced.graph.output_node()
        output.args = (self.nodes[self.answer],)
        self.decider = fx.GraphModule(self.traced, copy.deepcopy(self.traced.graph))
        output.args = (self.nodes,)
        self.traced.recompile()
        count = sum(math.prod(layer.shape) for layer in self.layers.values())
        self.batch_size = min(BATCH, max(1, MOST_VALUES // count))
        self.is_large = self.batch_size < BATCH

    def users(self, layer: str) -> list[str]:
        """The layers that read a layer."""
        return [user.name for user in self.layers.values() if layer in user.inputs]

    def read_by(self, layer: str) -> str:
        """What a layer reads first: of a flattening, the maps before it; of the image, itself."""
        name = next(iter(self.layers[layer].inputs), layer)
        before = self.layers[name]
        if before.op.lower() in FLATTENING and len(before.shape) == 1 and self.reads[name]:
            return before.inputs[0]
        return name

    def with_weights(self, weights: Tensors) -> "Network":
        """The same network with other weights: a state_dict of its form."""
        other = copy.copy(self)
        other.weights = weights
        return other

    def run(self, images: Tensor, traced: fx.GraphModule | None = None) -> Tensors | Tensor:
        """What every layer puts out for `images`, with gradients where they are enabled.

        By the trace `decider` the logits alone, (N, classes), in less memory and time: what a layer
        puts out is forgotten once it is read.
        """
        traced = traced or self.traced
        own = traced.state_dict()
        used = {name: self.weights[name].to(tensor) for name, tensor in own.items()}
        images = images.to(self.device, torch.float32)
        return functional_call(traced, used, images, tie_weights=False)

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> Tensors:
        """What every layer puts out for `images`, (N, ...) each, on the CPU."""
        return {name: output.cpu() for name, output in self.run(images).items()}

    def reading(self, images: Tensor, *layers: str) -> Generator[float, None, list[Tensor]]:
        """What some layers put out for any number of images, (N, ...) each, in one pass.

        Yields the fraction done.
        """
        batches = []
        # the order of memory in which a CPU is quickest at convolutions
        parts = images.to(memory_format=torch.channels_last).split(self.batch_size)
        for part in parts:
            outputs = self.outputs(part)
            batches.append([outputs[layer] for layer in layers])
            yield len(batches) / len(parts)
        return [torch.cat(features) for features in zip(*batches, strict=True)]

    def features(self, images: Tensor, *layers: str) -> list[Tensor]:
        """The same at once."""
        return finished(self.reading(images, *layers))

    @torch.inference_mode()
    def _first_values(self, image: Tensor) -> Values:
        """What every step gives for two copies of an image (1, C, H, W)."""
        kind = type(self.model).__name__
        interpreter = fx.Interpreter(self.traced, garbage_collect_values=False)
        try:
            answer = interpreter.run(image.repeat(2, 1, 1, 1))
            expected = self.model(image)
        except RuntimeError as error:
            raise InputError(
                f"{kind} doesn't take an image {tuple(image.shape[1:])} of {image.dtype} "
                f"({reason(error)}); give images as it was trained on."
            ) from error
        if not isinstance(answer, Tensor) or answer.ndim != 2:
            raise InputError(f"{kind} must answer with one tensor of logits (N, classes).")
        if not torch.allclose(answer[:1], expected.to(answer), 1e-3, 1e-4, equal_nan=True):
            raise InputError(
                f"{kind} answers differently when taken apart; replace steps in place (x = x + y), "
                "and use no randomness, no autocast and no other image."
            )
        return interpreter.env

    @torch.inference_mode()
    def _add_softmax(self, values: Values) -> fx.Node:
        """Makes the softmax of the logits the last step, in the place of the model's own."""
        graph = self.traced.graph
        output = graph.output_node()
        logits = output.args[0]
        probs = values[logits]
        images = values[next(iter(graph.nodes))]
        answers = self.model(torch.cat([images, images.flip(-1), -images]))
        with graph.inserting_before(output):
            if as_logits(answers) is not answers:
                before = logits.all_input_nodes[0]
                given = values[before]
                if given.shape == probs.shape and given.float().softmax(1).allclose(probs):
                    output.args = (before,)
                    graph.eliminate_dead_code()
                    logits = before
                else:
                    logits = graph.call_function(as_logits, (logits,))
                    values[logits] = as_logits(probs)
            softmax = graph.call_method("softmax", (logits, 1))
        values[softmax] = values[logits]
        return softmax

    def _module(self, node: fx.Node, values: Values) -> nn.Module | None:
        """The module of a step, or one that does the same; None for other functions."""
        if node.op == "call_module":
            return self.traced.get_submodule(node.target)
        if node.target not in MODULES:
            return None
        arguments = node.normalized_arguments(self.traced, normalize_to_only_use_kwargs=True)
        if arguments is None:  # of a method
            return MODULES[node.target]()
        options = map_arg(arguments.kwargs, values.get)
        options = {n: value for n, value in options.items() if n != "input" and value != []}
        return MODULES[node.target](**options)

    def _measure(self, name: str, shape: Shape, inputs: list[str], known: bool) -> None:
        """Adds a layer to those before it; `known`: whether what it reads can be told."""
        target = self.nodes[name].target
        op = getattr(target, "__name__", target)
        module = self.modules[name]
        parameters = 0
        if module:
            op = type(module).__name__
            parameters = sum(map(torch.numel, module.parameters()))
        op = OPS.get(name, op)
        layers = [self.layers[before] for before in inputs]
        fields = [layer.receptive_field for layer in layers]
        layer_reads = [reads(op, module, layer.shape, shape) for layer in layers]
        if not known or None in layer_reads:
            layer_reads = None
        field = None
        if not inputs:
            field = own_places(shape)
        elif layer_reads and None not in fields:
            field = functools.reduce(Field.join, map(Field.through, fields, layer_reads))
        sees = "unknown"
        if field:
            sees = field.extent  # once, for it takes a while
        self.layers[name] = Layer(name, op, shape, parameters, tuple(inputs), field, sees)
        self.reads[name] = layer_reads


def _carriers(graph: fx.Graph, values: Values) -> list[fx.Node]:
    """The steps that carry what comes from the image, in order; a size carries nothing of it."""
    image, *steps, _ = graph.nodes
    carriers = [image]
    for node in steps:
        if isinstance(values[node], int | torch.Size):
            continue
        if any(before in carriers for before in node.all_input_nodes):
            carriers.append(node)
    return carriers


def _layer_names(nodes: list[fx.Node]) -> dict[fx.Node, str]:
    """The names of the layers, in their order; a module's own goes before a function's."""
    image, *layers, softmax = nodes
    names = dict.fromkeys(nodes, "")
    names[image] = IMAGE
    names[softmax] = SOFTMAX
    for node in sorted(layers, key=lambda step: step.op != "call_module"):
        wanted = node.name
        if node.op == "call_module":
            wanted = node.target
        name = wanted
        uses = 0
        while name in names.values():
            uses += 1
            name = f"{wanted}_{uses}"
        names[node] = name
    return names


def _inputs(node: fx.Node, names: dict[fx.Node, str]) -> list[str]:
    """The layers that a step reads, directly or through steps that are none."""
    inputs = []
    for before in node.all_input_nodes:
        if before in names:
            inputs.append(names[before])
        else:
            inputs += _inputs(before, names)
    return list(dict.fromkeys(inputs))


def as_maps(output: Tensor) -> np.ndarray:
    """What a layer puts out for one image as maps: (C,) as (C, 1, 1), (A, B) as (1, A, B)."""
    return output.reshape(map_shape(output.shape)).numpy()
