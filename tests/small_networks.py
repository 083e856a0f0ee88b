"""Networks of people's own, small, for the tests of training and evaluation; and data that fits them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 3
SHAPE = (2, 6, 5)
"""Of an input: channels, height, width; no two alike."""


class Functional(nn.Module):
    """Dropout called as a function, and ``view`` on activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.dropout(F.relu(self.first(x.view(len(x), -1))), 0.4, self.training)
        return self.last(hidden)  # type: ignore[no-any-return]


class Drawing(Functional):
    """Draws from Python's and numpy's generators as well, in training: stochastic depth as people write it."""

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)
        if self.training:
            outputs = outputs * (0.5 + random.random()) + float(np.random.rand())  # noqa: NPY002
        return outputs


class Tied(nn.Module):
    """One matrix on the way in and on the way out."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out, self.last = nn.Linear(60, 7, bias=False), nn.Linear(60, 7), nn.Linear(7, CLASSES)
        self.out.weight = self.into.weight

    def forward(self, x: Tensor) -> Tensor:
        back = torch.tanh(self.into(x.flatten(1))) @ self.into.weight
        return self.last(torch.tanh(self.out(back)))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """An LSTM over the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.last = nn.LSTM(10, 4, batch_first=True), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])  # type: ignore[no-any-return]


class Attending(nn.Module):
    """Self-attention over the rows, with a learned position, layer norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(6, 10) / 3)
        self.attention = nn.MultiheadAttention(10, 2, dropout=0.3, batch_first=True)
        self.norm, self.last = nn.LayerNorm(10), nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 1, 3).flatten(2) + self.position
        return self.last(self.norm(rows + self.attention(rows, rows, rows)[0]).mean(1))  # type: ignore[no-any-return]


class ChangesItsInput(nn.Module):
    """Scales what it is given in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5).add_(0.25)
        return self.last(self.first(x.flatten(1)).relu_())  # type: ignore[no-any-return]


class Constrained(nn.Module):
    """Puts another tensor in the place of its weight when it runs, as max-norm constraints do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        self.last.weight.data = torch.renorm(self.last.weight.data, p=2, dim=0, maxnorm=0.3)
        return self.last(torch.tanh(self.first(x.flatten(1))))  # type: ignore[no-any-return]


class Scaled(nn.Module):
    """The first layer's input depends on weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ParameterList([torch.rand(60) + 0.5])
        self.first, self.last = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(input=x.flatten(1) * self.scales[0])))  # type: ignore[no-any-return]


class Twice(nn.Module):
    """The first layer runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(60, 60), nn.Linear(60, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(torch.tanh(self.first(x.flatten(1))))))  # type: ignore[no-any-return]


def convolutional() -> nn.Module:
    """Two convolutions, each with batch normalisation (one of them averages without momentum)."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5, momentum=None),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(60, CLASSES),
    )


def vector_norm() -> nn.Module:
    """Batch normalisation of vectors."""
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def plain() -> nn.Module:
    """Fully connected, the non-linearity in place."""
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 9), nn.ReLU(inplace=True), nn.Linear(9, CLASSES))


def parametrised() -> nn.Module:
    """The first layer's weights are a function of others."""
    first = nn.utils.parametrizations.weight_norm(nn.Linear(60, 7))
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Linear(7, CLASSES))


def hooked() -> nn.Module:
    """A hook alters the first layer's output."""
    model = plain()
    model[1].register_forward_hook(lambda module, _, output: output * module.weight.sum())  # type: ignore[index]
    return model


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "convolutional": convolutional,
    "vector_norm": vector_norm,
    "functional": Functional,
    "drawing": Drawing,
    "tied": Tied,
    "recurrent": Recurrent,
    "attending": Attending,
    "changes its input": ChangesItsInput,
    "constrained": Constrained,
    "scaled": Scaled,
    "twice": Twice,
    "parametrised": parametrised,
    "hooked": hooked,
}


def make(name: str, seed: int) -> nn.Module:
    """A network of these, its weights and buffers generic: no running mean is 0, no scale is 1."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = NETWORKS[name]()
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                if key.endswith("running_var"):
                    tensor.uniform_(0.5, 2.0)
                elif key.endswith("num_batches_tracked"):
                    tensor.fill_(seed)
                elif tensor.ndim == 1:
                    tensor.add_(torch.randn_like(tensor) / 4)
        return model


def pictures(examples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Float inputs and labels."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, *SHAPE, generator=generator) * 1.5 + 0.2
    return inputs, torch.randint(0, CLASSES, (examples,), generator=generator)
