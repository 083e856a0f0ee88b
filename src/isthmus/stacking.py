"""Replicas of a small fully connected network as one stack: the gradients of all of them in a few calls, on a CPU.

A small network's step is bound by Python and by what each call costs, not by arithmetic. A stack does for all replicas
in one call what each would do in one of its own: products of matrices in batches, elementwise functions over all.
Each such call is used only if, tried on made-up values of the same shapes and strides, it gives the bits of each
replica alone; else it is made replica by replica, and where that differs too (:class:`Apart`), nothing is stacked.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus import losses
from isthmus.weights import same_bits

__all__ = ["LARGEST", "Stack", "stackable"]

LARGEST = 200_000
"""Parameters above which nothing is stacked: a larger network's step is arithmetic, and a stack only takes memory."""

_ALIGNED = 16  # floats in 64 bytes, at multiples of which torch places what it allocates
_aten: Any = torch.ops.aten

_TRIES = 12  # made-up values that an operation has to agree on

Op = Callable[..., None]
"""``op(*operands, out=...)``: of one replica, or of a stack of them, whose operands have one dimension more."""


def stackable(model: nn.Module, inputs: Tensor | None = None) -> bool:
    """Whether it is a small plain sequence of affine layers and elementwise functions, all of it trained in float32.

    With ``inputs``, whether it also takes these, flattened to a row an example.
    """
    children = list(model) if isinstance(model, nn.Sequential) else []
    parameters = [p for child in children if type(child) is nn.Linear for p in child.parameters()]
    return (
        type(model) is nn.Sequential
        and 0 < sum(parameter.numel() for parameter in parameters) <= LARGEST
        and all(type(child) in (nn.Flatten, nn.Linear, nn.Identity, *_ELEMENTWISE) for child in children)
        and all(not _altered(module) for module in model.modules())
        and all((c.start_dim, c.end_dim) == (1, -1) for c in children if isinstance(c, nn.Flatten))
        and len(list(model.parameters()))
        == len(parameters)  # tied ones, and those of a layer that occurs twice, count once
        and not list(model.buffers())
        and all(_plain(parameter) for parameter in parameters)
        and (inputs is None or _takes(children, inputs))
    )


def _takes(children: Sequence[nn.Module], inputs: Tensor) -> bool:
    """Whether what comes to the first affine layer has one row an example."""
    first = next(index for index, child in enumerate(children) if isinstance(child, nn.Linear))
    flat = inputs.ndim == 2 or any(isinstance(child, nn.Flatten) for child in children[:first])
    return inputs.ndim > 1 and flat and inputs[0].numel() == children[first].in_features


def _altered(module: nn.Module) -> bool:
    """Whether somebody hung something on it."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks) or "forward" in vars(module)


def _plain(parameter: nn.Parameter) -> bool:
    return (
        type(parameter) is nn.Parameter
        and parameter.dtype == torch.float32
        and parameter.device.type == "cpu"
        and parameter.layout == torch.strided
        and parameter.is_contiguous()
        and parameter.requires_grad
        and not parameter._backward_hooks
        and not getattr(parameter, "_post_accumulate_grad_hooks", None)
    )


def _sequence(model: nn.Module) -> nn.Sequential:
    assert isinstance(model, nn.Sequential)
    return model


# --- operations, for one replica (matrices) or for a stack ------------------------------------------------------------


def _product(a: Tensor, b: Tensor, *, out: Tensor) -> None:
    (torch.mm if a.ndim == 2 else torch.bmm)(a, b, out=out)


def _affine(x: Tensor, weight: Tensor, bias: Tensor, *, out: Tensor) -> None:
    (torch.addmm if x.ndim == 2 else torch.baddbmm)(bias, x, weight.mT, out=out)


def _linear(x: Tensor, weight: Tensor, *, out: Tensor) -> None:
    _product(x, weight.mT, out=out)


def _by_weight(gradient: Tensor, x: Tensor, *, out: Tensor) -> None:
    _product(gradient.mT, x, out=out)


def _by_bias(gradient: Tensor, *, out: Tensor) -> None:
    torch.sum(gradient, -2, keepdim=True, out=out)


def _relu(x: Tensor, *, out: Tensor) -> None:
    torch.clamp_min(x, 0, out=out)


def _by_relu(gradient: Tensor, y: Tensor, *, out: Tensor) -> None:
    _aten.threshold_backward.grad_input(gradient, y, 0, grad_input=out)


def _tanh(x: Tensor, *, out: Tensor) -> None:
    torch.tanh(x, out=out)


def _by_tanh(gradient: Tensor, y: Tensor, *, out: Tensor) -> None:
    _aten.tanh_backward.grad_input(gradient, y, grad_input=out)


def _sigmoid(x: Tensor, *, out: Tensor) -> None:
    torch.sigmoid(x, out=out)


def _by_sigmoid(gradient: Tensor, y: Tensor, *, out: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(gradient, y, grad_input=out)


def _one_by_one(op: Op, *operands: Tensor, out: Tensor) -> None:
    for each, *own in zip(out, *operands, strict=True):
        op(*own, out=each)


_ELEMENTWISE: dict[type[nn.Module], tuple[Op, Op]] = {
    nn.ReLU: (_relu, _by_relu),
    nn.Tanh: (functools.partial(_one_by_one, _tanh), functools.partial(_one_by_one, _by_tanh)),
    nn.Sigmoid: (functools.partial(_one_by_one, _sigmoid), functools.partial(_one_by_one, _by_sigmoid)),
}
"""Each function, and its gradient from that of its values and the values, of a stack."""


def _in_own_memory(op: Op, *operands: Tensor, out: Tensor) -> None:
    """As of a replica alone, which has all its tensors to itself: where they begin may tell in their bits."""
    for each, *own in zip(out, *operands, strict=True):
        found = torch.empty_like(each)
        op(*(operand.clone() for operand in own), out=found)
        each.copy_(found)


def _loss_of_each(name: str, outputs: Tensor, targets: Tensor, *, out: Tensor, gradient: Tensor) -> None:
    """The loss of each replica as training one computes it, and its gradient."""
    for index, (own, wanted) in enumerate(zip(outputs, targets, strict=True)):
        with torch.enable_grad():
            leaf = own.detach().requires_grad_()
            loss = losses.mean(name, leaf, wanted)
            (found,) = torch.autograd.grad(loss, leaf)
        out[index] = loss.detach()
        gradient[index] = found


def _cross_entropy(outputs: Tensor, targets: Tensor, *, out: Tensor, gradient: Tensor) -> None:
    """The same for classes: each row is computed by itself, whatever the rows beside it."""
    with torch.enable_grad():
        leaf = outputs.flatten(0, 1).detach().requires_grad_()
        logs = F.log_softmax(leaf, 1)
        total = F.nll_loss(logs, targets.flatten().long(), reduction="sum")
        (found,) = torch.autograd.grad(total, leaf, torch.full((), 1.0 / outputs.shape[1]))
    gradient.copy_(found.view_as(gradient))
    for index, own in enumerate(logs.detach().view_as(outputs)):
        out[index] = F.nll_loss(own, targets[index].long())


def _binary_cross_entropy(outputs: Tensor, targets: Tensor, *, out: Tensor, gradient: Tensor) -> None:
    """The same for single logits: what rounds is computed replica by replica, without autograd."""
    wanted = targets.to(outputs.dtype).view_as(outputs)
    for index, (own, right) in enumerate(zip(outputs, wanted, strict=True)):
        out[index] = F.binary_cross_entropy_with_logits(own, right)
        torch.sigmoid(own, out=gradient[index])
    gradient.sub_(wanted).mul_(1.0 / outputs.shape[1])


_KNOWN: dict[tuple[Any, ...], Op] = {}
"""How an operation was found to have the bits of each alone, by itself, shapes, strides and the number of threads."""


# --- the stack --------------------------------------------------------------------------------------------------------


class Stack:
    """The losses and gradients of replicas of one stackable model, whose parameters become views of its own memory.

    Args:
        models: the replicas; what of them requires no gradient is frozen.
        loss: the name of the loss.
    """

    def __init__(self, models: Sequence[nn.Module], loss: str) -> None:
        self.count, self.loss = len(models), loss
        layers = zip(*(list(_sequence(model)) for model in models), strict=True)
        self.layers = [_Layer(replicas) for replicas in layers if type(replicas[0]) not in (nn.Flatten, nn.Identity)]
        trained = [bool(layer.trained) for layer in self.layers]
        self.passes_on = [any(trained[:index]) for index in range(len(trained))]
        self.plans: dict[int, _Plan] = {}

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each replica, shape (replicas,), its gradients being in ``.grad`` of its parameters.

        Args:
            inputs: ready for the network; those of the first replica's batch, then those of the second's, ...
            targets: likewise.
        """
        size = len(inputs) // self.count
        x = inputs.flatten(1).view(self.count, size, -1)
        targets = targets.view(self.count, size, *targets.shape[1:])
        if size not in self.plans:
            self.plans[size] = _Plan(self, x, targets)
        for layer in self.layers:
            layer.give_gradients()
        return self.plans[size].run(x, targets)


class _Layer:
    """A layer of all replicas."""

    def __init__(self, replicas: Sequence[nn.Module]) -> None:
        self.kind = type(replicas[0])
        self.parameters = {
            name: [r.get_parameter(name) for r in replicas] for name, _ in replicas[0].named_parameters()
        }
        self.values = {name: _stacked(own) for name, own in self.parameters.items()}
        self.trained = [name for name, own in self.parameters.items() if own[0].requires_grad]
        self.gradients = {name: torch.empty(self.values[name].shape) for name in self.trained}
        self.places = {
            name: [each.view(p.shape) for each, p in zip(self.gradients[name], self.parameters[name], strict=True)]
            for name in self.trained
        }

    def give_gradients(self) -> None:
        for name in self.trained:
            for parameter, place in zip(self.parameters[name], self.places[name], strict=True):
                parameter.grad = place


@torch.no_grad()
def _stacked(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Memory of its own for all of these, each placed as if it were alone; biases become rows."""
    rows = torch.Size((1,)) + parameters[0].shape if parameters[0].ndim == 1 else parameters[0].shape
    memory = _aligned((len(parameters), *rows))
    for parameter, own in zip(parameters, memory, strict=True):
        own.copy_(parameter)
        parameter.data = own.view(parameter.shape)
    return memory


def _aligned(shape: tuple[int, ...]) -> Tensor:
    """A stack whose replicas begin where memory of their own might begin."""
    size = torch.Size(shape[1:]).numel()
    padded = -(-size // _ALIGNED) * _ALIGNED
    return torch.zeros(shape[0], padded)[:, :size].view(shape)


class _Plan:
    """What is called, and the memory for what it gives, for batches of one size."""

    def __init__(self, stack: Stack, x: Tensor, targets: Tensor) -> None:
        self.draws = torch.Generator().manual_seed(len(x) * 1000 + x.shape[1])
        self.forth: list[Callable[[Tensor], Tensor]] = []
        back: list[Callable[[Tensor, Tensor, Tensor], Tensor | None]] = []
        for layer, passes_on in zip(stack.layers, stack.passes_on, strict=True):
            forth, backward, x = self._layer(layer, x, passes_on)
            self.forth.append(forth)
            back.append(backward)
        self.back = back[::-1]
        self.losses, self.gradient = torch.empty(len(x)), torch.empty_like(x)
        self.loss = self._loss(stack.loss, x, targets)

    @torch.no_grad()
    def run(self, x: Tensor, targets: Tensor) -> Tensor:
        """The losses; the gradients are left in their places."""
        values = [x]
        for forth in self.forth:
            values.append(forth(values[-1]))
        self.loss(values[-1], targets, out=self.losses, gradient=self.gradient)
        gradient: Tensor | None = self.gradient
        for back, (x, y) in zip(self.back, reversed(list(itertools.pairwise(values))), strict=True):
            if gradient is None:
                break
            gradient = back(gradient, x, y)
        return self.losses.clone()

    def _layer(
        self, layer: _Layer, x: Tensor, passes_on: bool
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor | None], Tensor]:
        """How a layer is computed, its gradients, and memory of the shape of what it gives."""
        passed = torch.empty_like(x) if passes_on else None
        if layer.kind is not nn.Linear:
            y = torch.empty_like(x)
            function, derivative = _ELEMENTWISE[layer.kind]

            def through(x: Tensor) -> Tensor:
                function(x, out=y)
                return y

            def back_through(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
                if passed is not None:
                    derivative(gradient, y, out=passed)
                return passed

            return through, back_through, y
        weight, bias = layer.values["weight"], layer.values.get("bias")
        y = torch.empty(*x.shape[:2], weight.shape[1])
        fixed = (weight,) if bias is None else (weight, bias)
        affine = self._op(_linear if bias is None else _affine, x, *fixed, out=y)
        gradients = layer.gradients
        by_weight = self._op(_by_weight, y, x, out=gradients["weight"]) if "weight" in gradients else None
        by_bias = self._op(_by_bias, y, out=gradients["bias"]) if "bias" in gradients else None
        by_input = self._op(_product, y, weight, out=passed) if passed is not None else None

        def forth(x: Tensor) -> Tensor:
            affine(x, *fixed, out=y)
            return y

        def back(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
            if by_weight is not None:
                by_weight(gradient, x, out=gradients["weight"])
            if by_bias is not None:
                by_bias(gradient, out=gradients["bias"])
            if by_input is not None:
                by_input(gradient, weight, out=passed)
            return passed

        return forth, back, y

    def _op(self, op: Op, *operands: Tensor, out: Tensor) -> Op:
        """The operation for all at once if that has the bits of each alone, else replica by replica."""
        case = op, *((tensor.shape, tensor.stride()) for tensor in (*operands, out)), torch.get_num_threads()
        if case not in _KNOWN:
            _KNOWN[case] = self._tried(op, *operands, out=out)
        return _KNOWN[case]

    @torch.no_grad()
    def _tried(self, op: Op, *operands: Tensor, out: Tensor) -> Op:
        alone, wanted = functools.partial(_in_own_memory, op), torch.empty_like(out)
        ways: list[Op] = [op, functools.partial(_one_by_one, op)]
        for _ in range(_TRIES):
            made_up = [self._like(operand) for operand in operands]
            alone(*made_up, out=wanted)
            for way in list(ways):
                way(*made_up, out=out)
                if not same_bits(out, wanted):
                    ways.remove(way)
            if not ways:
                return alone
        return ways[0]

    def _loss(self, name: str, outputs: Tensor, targets: Tensor) -> Callable[..., None]:
        """How the loss is computed: at once for classes and single logits, if that has the bits of each alone."""
        one_by_one = functools.partial(_loss_of_each, name)
        together: Callable[..., None]
        if name == "cross_entropy":
            together, fits = _cross_entropy, targets.ndim == 2 and not targets.is_floating_point()
        else:
            together, fits = _binary_cross_entropy, outputs.shape[2] == 1 and targets.numel() == outputs.numel()
        if not fits:
            return one_by_one
        wanted, slopes = torch.empty_like(self.losses), torch.empty_like(self.gradient)
        for _ in range(_TRIES):
            made_up = self._like(outputs)
            one_by_one(made_up, targets, out=wanted, gradient=slopes)
            together(made_up, targets, out=self.losses, gradient=self.gradient)
            if not (same_bits(self.losses, wanted) and same_bits(self.gradient, slopes)):
                return one_by_one
        return together

    def _like(self, operand: Tensor) -> Tensor:
        """Made-up values, none of them special, laid out in memory as these are."""
        made_up = torch.empty_strided(operand.shape, operand.stride())
        return made_up.copy_(torch.randn(operand.shape, generator=self.draws))
