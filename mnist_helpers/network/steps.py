"""The steps of a model's forward pass, by torch.fx, out of whatever wraps the model."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from mnist_helpers.config import InputError
from mnist_helpers.files import reason

WRAPPERS = ("OptimizedModule", "DataParallel", "DistributedDataParallel", "AveragedModel")


def plain(model: nn.Module) -> nn.Module:
    """A model out of what wraps it; a copy in single precision where its own is another.

    Raises:
        InputError: it is no model, or has no convolution.
    """
    kind = type(model).__name__
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, not a {kind}.")
    if isinstance(model, torch.jit.ScriptModule) or "Quantized" in str(model):
        raise InputError(
            f"{kind} is TorchScript or quantized; give the nn.Module that it was made from."
        )
    while type(model).__name__ in WRAPPERS:
        (model,) = model.children()
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        raise InputError(f"{kind} has no nn.Conv2d; give a network with convolutions.")
    if all(parameter.dtype == torch.float32 for parameter in model.parameters()):
        return model
    return copy.deepcopy(model).float()


class WayTracer(fx.Tracer):
    """Traces a forward pass along `ways`: what each `if` and `assert` is answered."""

    def __init__(self, ways: list[bool]) -> None:
        super().__init__()
        self.ways = iter(ways)

    def create_proxy(
        self, kind: str, target: str, args: tuple, *more: object, **named: object
    ) -> object:
        """A step; an argument of forward that has a default is that."""
        if kind == "placeholder" and args:
            return args[0]
        return super().create_proxy(kind, target, args, *more, **named)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """The next answer; StopIteration: there is none for this step yet."""
        self.asked = obj.node
        return next(self.ways)


def find_way(model: nn.Module, image: Tensor) -> fx.Graph:
    """The steps that a model takes for images of the form of `image` (1, C, H, W)."""
    ways = []
    while True:
        tracer = WayTracer(ways)
        try:
            return tracer.trace(model)
        except StopIteration:
            run = fx.Interpreter(model, garbage_collect_values=False, graph=tracer.graph)
            run.run(image)
            answer = run.env[tracer.asked]
            if isinstance(answer, Tensor):
                raise TraceError("its path depends on the values of the image") from None
            ways.append(answer)


def trace(model: nn.Module, image: Tensor) -> fx.GraphModule:
    """The steps of a model, with its weights; none overwrites what a step before it put out.

    Its modules are its own, and stay in the mode that the model's are in now.

    Raises:
        InputError: torch.fx can't trace it.
    """
    try:
        traced = fx.GraphModule(model, find_way(model, image))
        weights = model.state_dict(keep_vars=True).values()
        traced = copy.deepcopy(traced, {id(tensor): tensor for tensor in weights})
    except Exception as error:  # whatever the model's own code raises
        raise InputError(
            f"torch.fx can't trace {type(model).__name__} ({reason(error)}); "
            "write that step of its forward so that torch.fx can follow it, and end pruning or an "
            "old weight_norm by prune.remove or remove_weight_norm."
        ) from error
    for module in traced.modules():
        module.inplace = False  # which those without such an option do not read
    for node in traced.graph.nodes:
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)
        target = getattr(node.target, "__name__", node.target)
        if node.op == "call_method":
            node.target = target.removesuffix("_")
            if node.target == "view":  # which needs the usual order of memory
                node.target = "reshape"
        elif node.op == "call_function" and target.endswith("_"):
            node.target = getattr(F, target.removesuffix("_"))
    return traced
