"""Optimisers as a recipe describes them, over the parameters of a module by name, and their buffers in and out.

The update itself is torch's, its fused kernel where that takes the parameters: one call for all of them, elementwise,
so it is deterministic, and several times faster than a loop over tensors for small networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.errors import BadInput
from isthmus.recipe import Optimizer

__all__ = ["buffers", "build", "fill_gaps", "join", "restore", "set_rate", "slot_names"]


def build(
    spec: Optimizer, names: Mapping[str, nn.Parameter], state: Mapping[str, Mapping[str, Tensor]]
) -> torch.optim.Optimizer:
    """The optimiser of a recipe, with the buffers of a state; its groups carry the ``factor`` of their learning rate.

    Parameters that a rule of ``by_block`` freezes are in none of its groups, and require no gradient any more.

    Raises:
        BadInput: a rule that matches nothing, everything frozen, buffers of another optimiser or other parameters.
    """
    groups = _groups(spec, names)
    optimizer = _optimizer(spec, groups, fused=_fusible(p for group in groups for p in group["params"]))
    restore(optimizer, names, state, slot_names(spec))
    return optimizer


def join(spec: Optimizer, own: Sequence[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """One optimiser over the parameters of several of this recipe, which all have the same groups.

    Their buffers are its buffers: from then on each of them may take a step of its own as well.
    """
    groups = [
        {**parts[0], "params": [parameter for part in parts for parameter in part["params"]]}
        for parts in zip(*(optimizer.param_groups for optimizer in own), strict=True)
    ]
    joined = _optimizer(spec, groups, fused=bool(own[0].defaults["fused"]))
    for optimizer in own:
        joined.state.update(optimizer.state)
    for optimizer in own:
        optimizer.state = joined.state
    return joined


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of each group to its factor of this one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def buffers(optimizer: torch.optim.Optimizer, names: Mapping[str, nn.Parameter]) -> dict[str, dict[str, Tensor]]:
    """The optimiser's tensors by parameter and slot, those of parameters that it has updated."""
    found = {
        name: {slot: value for slot, value in optimizer.state[parameter].items() if isinstance(value, Tensor)}
        for name, parameter in names.items()
        if parameter in optimizer.state
    }
    return {name: slots for name, slots in found.items() if slots}


def fill_gaps(optimizer: torch.optim.Optimizer) -> None:
    """Give each parameter that has a gradient but no momentum yet a momentum of 0, if others have theirs.

    The fused kernel takes all or none as new. The next step is the same: 0 times momentum, plus the gradient.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if not group["momentum"]:
            continue
        moving = [p for p in group["params"] if p.grad is not None]
        new = [p for p in moving if optimizer.state[p].get("momentum_buffer") is None]
        if 0 < len(new) < len(moving):
            for parameter in new:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _fusible(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether the fused kernel, which goes through memory in its order, takes these parameters.

    Not those of less than 32 bits: on a CPU they hardly learn by it, where they do by the loop over tensors.
    """
    return all(
        p.dtype in (torch.float32, torch.float64)
        and p.device.type in ("cpu", "cuda")
        and (p.is_contiguous() or (p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last)))
        for p in parameters
    )


def _groups(spec: Optimizer, names: Mapping[str, nn.Parameter]) -> list[dict[str, Any]]:
    """The parameters by the rule of ``by_block`` that is theirs; what a rule freezes is in none and has no gradient."""
    left, groups = dict(names), []
    for rule in spec.by_block:
        if isinstance(rule.blocks, str):
            raise BadInput(f"Only a study can tell which blocks show {rule.blocks!r}: give by_block the names of them.")
        for glob in rule.blocks:
            if not any(fnmatchcase(name, glob) for name in names):
                raise BadInput(
                    f"The optimiser's by_block names {glob!r}, which matches no trained parameter"
                    f" (such as {next(iter(names))})."
                )
        own = [left.pop(name) for name in list(left) if any(fnmatchcase(name, glob) for glob in rule.blocks)]
        decay = spec.weight_decay if rule.weight_decay is None else rule.weight_decay
        if rule.factor:
            groups.append({"params": own, "factor": rule.factor, "weight_decay": decay})
        else:
            for parameter in own:
                parameter.requires_grad_(False)
    groups.append({"params": list(left.values()), "factor": 1.0, "weight_decay": spec.weight_decay})
    found = [group for group in groups if group["params"]]
    if not found:
        raise BadInput("The optimiser's by_block freezes every parameter of the model, so there is nothing to train.")
    return found


def _optimizer(spec: Optimizer, parameters: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
    if spec.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            fused=fused,
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay, fused=fused)


def slot_names(spec: Optimizer) -> set[str]:
    """What the optimiser keeps for a parameter that it has updated."""
    if spec.name == "sgd":
        return {"momentum_buffer"} if spec.momentum else set()
    return {"step", "exp_avg", "exp_avg_sq"}


def _listed(slots: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{slot} of shape {tuple(tensor.shape)}" for slot, tensor in sorted(slots.items()))


def restore(
    optimizer: torch.optim.Optimizer,
    names: Mapping[str, nn.Parameter],
    slots: Mapping[str, Mapping[str, Tensor]],
    wanted: set[str],
) -> None:
    """Hand the optimiser its buffers, each in the memory format of its parameter."""
    for name, found in slots.items():
        if name not in names:
            raise BadInput(f"The state has optimiser buffers for {name!r}, which the model does not train.")
        parameter = names[name]
        if set(found) != wanted or any(s != "step" and t.shape != parameter.shape for s, t in found.items()):
            raise BadInput(
                f"The state's optimiser buffers for {name!r} ({_listed(found)}) are not those of the recipe's optimiser"
                f" ({', '.join(sorted(wanted)) or 'none'}, each of shape {tuple(parameter.shape)}):"
                " reset them (state.without_buffers())."
            )
        counter = parameter.device if optimizer.defaults["fused"] else torch.device("cpu")
        optimizer.state[parameter] = {
            slot: value.to(counter, copy=True) if slot == "step" else torch.empty_like(parameter).copy_(value).detach()
            for slot, value in found.items()
        }
