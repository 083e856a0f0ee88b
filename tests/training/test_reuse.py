"""What stands still along a path is run once a batch, and nothing shows it but the time."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isthmus import paths
from isthmus.evaluation import evaluate_path
from isthmus.results import PathResult
from isthmus.reuse import Reuse
from small_networks import NETWORKS, make, pictures

POINTS = [0.0, 0.3, 0.55, 1.0]
INPUTS, LABELS = pictures(23)


class Counting(nn.Module):
    """A linear layer that counts how often it is run."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        COUNTS[id(self.inner.weight)] = COUNTS.get(id(self.inner.weight), 0) + 1
        return cast(Tensor, self.inner(x))


COUNTS: dict[int, int] = {}


@pytest.fixture(autouse=True)
def _counts() -> None:
    COUNTS.clear()


def chain(*between: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(31)
        first, second, third = Counting(60, 7), Counting(7, 6), Counting(6, 3)
    return nn.Sequential(nn.Flatten(), first, *between, second, nn.Tanh(), third)


def runs() -> list[int]:
    """How often each counting layer was run, the most run one last."""
    return sorted(COUNTS.values())


def evaluate(model: nn.Module, patterns: Any, *, without: bool = False, **options: Any) -> PathResult:
    a = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    b = {name: tensor * -1.5 + 0.25 if tensor.is_floating_point() else tensor for name, tensor in a.items()}
    path = paths.blocks(a, b, patterns)
    options = {"alphas": POINTS, "batch_size": 8, "norm_stats": "interpolate", **options}
    if not without:
        return evaluate_path(model, path, (INPUTS, LABELS), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reuse, "find", classmethod(lambda *_, **__: None))
        return evaluate_path(model, path, (INPUTS, LABELS), **options)


STATS: dict[str, dict[str, Any]] = {
    "interpolate": {},
    "recompute": {"norm_stats": "recompute", "stats_data": pictures(29, seed=4), "stats_batch": 9},
    "batch": {"norm_stats": "batch"},
    "keep": {"norm_stats": "keep"},
    "bf16": {"precision": "bf16"},
}


@pytest.mark.parametrize("stats", STATS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_bits_are_those_of_running_everything(network: str, stats: str) -> None:
    model = make(network, 5)
    heads = list(dict.fromkeys(name.rpartition(".")[0] or name for name, _ in model.named_parameters()))
    for head in {heads[0], heads[len(heads) // 2], heads[-1]}:
        try:
            expected = evaluate(model, f"{head}*", without=True, **STATS[stats])
        except Exception as error:
            with pytest.raises(type(error)):
                evaluate(model, f"{head}*", **STATS[stats])
            continue
        found = evaluate(model, f"{head}*", **STATS[stats])
        np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)
        np.testing.assert_array_equal(found.per_example_error, expected.per_example_error)


def test_what_lies_below_the_moving_layer_is_run_once_a_batch() -> None:
    """Three batches at four points; to find out what stands still costs two samples with everything, two without."""
    evaluate(chain(), "2.*", without=True)
    assert runs() == [1 + 3 * 4] * 3  # a sample tells which layer is the first
    COUNTS.clear()
    evaluate(chain(), "2.*")
    assert runs() == [1 + 2 + 1 + 3, 1 + 4 + 3 * 4, 1 + 4 + 3 * 4]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_statistics_read_what_stands_still_once_as_well(norm: Any) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(6)
        stats = {
            **STATS["recompute"],
            "stats_data": (torch.randn(29, *INPUTS.shape[1:]) * 3 + 1, torch.zeros(29).long()),
        }
    found = evaluate(chain(norm(7)), "5.*", **stats)
    assert runs()[0] < 25  # 36 without: four batches of statistics and three of losses at four points, and the ends
    expected = evaluate(chain(norm(7)), "5.*", without=True, **stats)
    np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)


def test_a_layer_above_that_writes_into_what_it_is_given_finds_it_whole() -> None:
    for between in ((nn.ReLU(inplace=True),), (nn.BatchNorm1d(7), nn.ReLU(inplace=True)), (nn.Hardtanh(inplace=True),)):
        model = chain(*between)
        moving = f"{2 + len(between)}.*"
        COUNTS.clear()
        found = evaluate(model, moving)
        assert runs()[0] < 12, between  # and not because it was not trusted
        expected = evaluate(model, moving, without=True)
        np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)


class WritesIntoItsInput(nn.Module):
    """The moving layer: what it is given is the output of one that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.7]))

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.scale)


def test_a_moving_layer_that_writes_into_what_it_is_given_finds_it_whole() -> None:
    model = chain(WritesIntoItsInput())
    found = evaluate(model, "2.*")
    assert runs()[0] < 12
    expected = evaluate(model, "2.*", without=True)
    np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)
    assert not np.array_equal(found.per_example_loss[0], found.per_example_loss[1])


class LooksElsewhere(nn.Module):
    """Adds the mean weight of a layer that is not its own."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.elsewhere = [other]

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.elsewhere[0].inner.weight).mean()  # type: ignore[union-attr]


def test_a_module_that_looks_at_another_is_found_out() -> None:
    model = chain()
    model.insert(2, LooksElsewhere(model[4]))
    found, expected = evaluate(model, "5.*"), evaluate(model, "5.*", without=True)
    np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)


class Draws(nn.Module):
    """Draws in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def test_a_model_that_draws_is_run_whole() -> None:
    found = evaluate(chain(Draws()), "5.*")
    assert min(runs()) >= 12
    expected = evaluate(chain(Draws()), "5.*", without=True)
    assert found.per_example_loss.shape == expected.per_example_loss.shape


class Twice(nn.Module):
    """One layer, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = Counting(60, 60), Counting(60, 3)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.last(self.first(self.first(x.flatten(1)).tanh())))


def test_a_module_that_is_called_twice_is_called_twice() -> None:
    model = Twice()
    found, expected = evaluate(model, "last.*"), evaluate(model, "last.*", without=True)
    np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)


def test_hooks_are_told_of_every_call() -> None:
    model, seen = chain(), []
    cast(nn.Module, model[1].inner).register_forward_hook(lambda *_: seen.append(1))
    evaluate(model, "2.*", without=True)
    whole = len(seen)
    evaluate(model, "2.*")
    assert len(seen) - whole >= whole > 0


def test_where_everything_moves_nothing_is_found() -> None:
    model = chain()
    names = list(model.state_dict())

    def run() -> Tensor:
        return cast(Tensor, model(INPUTS[:2]))

    assert Reuse.find(model, names, (lambda: None,), run) is None
    found = Reuse.find(model, [name for name in names if name.startswith("4.")], (lambda: None,) * 2, run)
    assert found is not None
    assert [type(module).__name__ for module in found.modules][:2] == ["Flatten", "Counting"]
    assert all("forward" not in vars(module) for module in model.modules())
