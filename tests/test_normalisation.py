"""Each mode of normalisation statistics against networks copied, loaded and measured one by one in float64."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from isthmus import evaluate_path, normalisation, paths
from isthmus.errors import BadInput
from isthmus.examples import Examples
from small_networks import make, pictures

Arrays = dict[str, npt.NDArray[np.float64]]
POINTS = [0.0, 0.3, 1.0]
NAMES = ["convolutional", "vector_norm"]
ROUNDING = 5e-5


def norms(model: nn.Module) -> dict[str, _BatchNorm]:
    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}


def at(name: str, alpha: float) -> nn.Module:
    """The interpolant of networks 0 and 1 in float64 and eval mode, its buffers interpolated as well."""
    model = make(name, 77).double()
    a, b = (make(name, seed).state_dict() for seed in (0, 1))
    model.load_state_dict({k: (1 - alpha) * a[k].double() + alpha * b[k].double() for k in a})
    return model.eval()


def recompute(model: nn.Module, inputs: Tensor, batch: int) -> None:
    """Overwrite the running statistics: what every layer meets in every batch is kept whole, then measured at once."""
    met: dict[str, list[Tensor]] = {name: [] for name in norms(model)}
    handles = [
        module.register_forward_pre_hook(lambda _, given, name=name: met[name].append(given[0].detach().clone()))
        for name, module in norms(model).items()
    ]
    for module in norms(model).values():
        module.train()
    with torch.no_grad():
        for begin in range(0, len(inputs), batch):
            model(inputs[begin : begin + batch].double())
    for handle in handles:
        handle.remove()
    for name, module in norms(model).items():
        whole = torch.cat(met[name]).transpose(0, 1).flatten(1).numpy()
        module.running_mean = torch.from_numpy(whole.mean(axis=1))
        module.running_var = torch.from_numpy(whole.var(axis=1, ddof=1))
    model.eval()


def losses(model: nn.Module, inputs: Tensor, labels: Tensor) -> npt.NDArray[np.float64]:
    with torch.no_grad():
        logits = model(inputs.double())
    found: npt.NDArray[np.float64] = (torch.logsumexp(logits, 1) - logits[torch.arange(len(labels)), labels]).numpy()
    return found


def expected(name: str, alpha: float, mode: str, data: tuple[Tensor, Tensor], stats: Tensor, batch: int) -> Any:
    model = at(name, alpha)
    if mode == "recompute":
        recompute(model, stats, batch)
    if mode == "keep":
        own = make(name, 0)
        for key, module in norms(model).items():
            module.running_mean = norms(own)[key].running_mean.double()  # type: ignore[union-attr]
            module.running_var = norms(own)[key].running_var.double()  # type: ignore[union-attr]
    if mode == "init":
        for module in norms(model).values():
            module.reset_running_stats()
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean, module.running_var = module.running_mean.double(), module.running_var.double()
    if mode == "batch":
        for module in norms(model).values():
            module.train()
        return np.concatenate([losses(model, *(part[i : i + batch] for part in data)) for i in range(0, 19, batch)])
    return losses(model, *data)


@pytest.mark.parametrize("mode", normalisation.MODES)
@pytest.mark.parametrize("name", NAMES)
def test_each_mode_against_the_oracle(name: str, mode: str) -> None:
    data, stats = pictures(19, seed=1), pictures(17, seed=2)
    found = evaluate_path(
        make(name, 77),
        paths.line(*(make(name, seed).state_dict() for seed in (0, 1))),
        data,
        alphas=POINTS,
        norm_stats=mode,
        stats_data=stats,
        stats_batch=7,  # 7, 7 and 3: batches of unequal sizes, pooled by count
        batch_size=8,  # 8, 8 and 3
    )
    for index, alpha in enumerate(POINTS):
        size = 8 if mode == "batch" else 7
        wanted = expected(name, alpha, mode, data, stats[0], size)
        np.testing.assert_allclose(found.per_example_loss[index], wanted, rtol=ROUNDING, atol=ROUNDING)
    assert found.norm_stats.mode == mode
    assert found.norm_stats.batch == {"recompute": 7, "batch": 8}.get(mode)
    assert found.norm_stats.examples == (17 if mode == "recompute" else None)


@pytest.mark.parametrize("name", NAMES)
def test_recompute_is_the_default_with_statistics_data_and_changes_the_ends_too(name: str) -> None:
    data, stats = pictures(19, seed=1), pictures(17, seed=2)
    path = paths.line(*(make(name, seed).state_dict() for seed in (0, 1)))
    default = evaluate_path(make(name, 7), path, data, alphas=3, stats_data=stats)
    named = evaluate_path(make(name, 8), path, data, alphas=3, stats_data=stats, norm_stats="recompute")
    np.testing.assert_array_equal(default.per_example_loss, named.per_example_loss)
    kept = evaluate_path(make(name, 7), path, data, alphas=3, norm_stats="interpolate")
    assert default.norm_stats.mode == "recompute"
    for index, end in ((0, "a"), (-1, "b")):
        assert default.loss[index] != kept.loss[index]
        assert default.stored_ends[end] == (kept.loss[index], kept.error[index])
    assert not kept.stored_ends


def test_only_the_first_stats_examples_are_read() -> None:
    data, (inputs, labels) = pictures(19, seed=1), pictures(30, seed=2)
    path = paths.line(*(make("convolutional", seed).state_dict() for seed in (0, 1)))
    model = make("convolutional", 7)
    few = evaluate_path(model, path, data, alphas=3, stats_data=(inputs[:12], labels[:12]), stats_batch=5)
    limited = evaluate_path(model, path, data, alphas=3, stats_data=(inputs, labels), stats_batch=5, stats_examples=12)
    np.testing.assert_array_equal(few.per_example_loss, limited.per_example_loss)
    assert limited.norm_stats.examples == 12


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_size_of_recompute_matters_above_the_first_layer(name: str) -> None:
    stats = pictures(24, seed=2)[0]
    found: list[list[Any]] = []
    for batch in (4, 12):
        model = at(name, 0.5)
        recompute(model, stats, batch)
        found.append([module.running_var for module in norms(model).values()])
    if name == "convolutional":  # it has a layer above a layer
        np.testing.assert_allclose(found[0][0], found[1][0])
        assert not np.allclose(found[0][1], found[1][1])


def collect(model: nn.Module, inputs: Tensor, batch: int, examples: int = 1000) -> normalisation.Statistics:
    data = Examples.of((inputs, torch.zeros(len(inputs))))
    return normalisation.collect(
        model.eval(), [lambda: None], data, batch=batch, examples=examples, forward=lambda net, x: net(x)
    )[0]


@given(st.integers(2, 40), st.integers(2, 11))
def test_pooling_equals_all_values_at_once(count: int, batch: int) -> None:
    layer, (inputs, _) = nn.BatchNorm2d(2), pictures(count, seed=count)
    found = collect(layer, inputs * 3 + 5, batch)
    values = (inputs.double() * 3 + 5).transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(found["running_mean"], values.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["running_var"], values.var(axis=1, ddof=1), rtol=1e-5)


def test_a_last_batch_of_one_counts_where_it_has_a_variance_and_only_there() -> None:
    inputs, _ = pictures(9)
    maps = collect(nn.BatchNorm2d(2), inputs, 4)
    np.testing.assert_allclose(maps["running_mean"], inputs.mean((0, 2, 3)), rtol=1e-5)
    vectors = collect(nn.BatchNorm1d(60), inputs.flatten(1), 4)
    np.testing.assert_allclose(vectors["running_mean"], inputs.flatten(1)[:8].mean(0), rtol=1e-4, atol=1e-6)


def test_a_layer_that_runs_twice_pools_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            self.norm(x)
            return self.norm(x + 3)  # type: ignore[no-any-return]

    inputs, _ = pictures(9)
    found = collect(Twice(), inputs, 4)
    both = torch.cat([inputs, inputs + 3]).transpose(0, 1).flatten(1)
    np.testing.assert_allclose(found["norm.running_var"], both.var(1), rtol=1e-5)


def test_collecting_leaves_momentum_modes_and_hooks_as_they_were() -> None:
    model = make("convolutional", 3).eval()
    collect(model, pictures(9)[0], 4)
    assert [module.momentum for module in norms(model).values()] == [0.1, None]
    assert not any(module.training or module._forward_hooks for module in model.modules())


def test_too_few_examples_for_statistics() -> None:
    model, (a, b) = make("convolutional", 3), (make("convolutional", seed).state_dict() for seed in (0, 1))
    wrong: tuple[dict[str, Any], ...] = ({"stats_batch": 1}, {"stats_examples": 1})
    for options in wrong:
        with pytest.raises(BadInput, match="at least 2 examples a batch"):
            evaluate_path(model, paths.line(a, b), pictures(5), stats_data=pictures(5), **options)


def test_a_layer_that_meets_no_data() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(60, 3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(1))  # type: ignore[no-any-return]

    state = Unused().state_dict()
    with pytest.raises(BadInput, match=r"'norm' \(BatchNorm1d\) met no data"):
        evaluate_path(Unused(), paths.line(state, state), pictures(5), stats_data=pictures(5))


def test_a_batch_of_one_in_batch_mode() -> None:
    model, (a, b) = make("vector_norm", 3), (make("vector_norm", seed).state_dict() for seed in (0, 1))
    with pytest.raises(BadInput, match="choose another batch_size"):
        evaluate_path(model, paths.line(a, b), pictures(9), norm_stats="batch", batch_size=4)


def test_recompute_needs_data_and_a_mode_a_name() -> None:
    model, (a, b) = make("vector_norm", 3), (make("vector_norm", seed).state_dict() for seed in (0, 1))
    with pytest.raises(BadInput, match="needs stats_data"):
        evaluate_path(model, paths.line(a, b), pictures(9), norm_stats="recompute")
    with pytest.raises(BadInput, match=r'did you mean "recompute"'):
        evaluate_path(model, paths.line(a, b), pictures(9), norm_stats="recomputed")


def test_first_layer_statistics_of_a_merge() -> None:
    """science: the mean is linear; the variance has the correlation, which interpolated buffers leave out."""
    inputs = pictures(50, seed=4)[0].flatten(1)
    targets = torch.zeros(50, 3)
    ends, outputs = [], []
    for seed in (0, 1):
        model = nn.Sequential(nn.Linear(60, 3), nn.BatchNorm1d(3, affine=False, eps=1e-12))
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)
            model[0].weight.normal_()  # type: ignore[operator]
            outputs.append(model[0](inputs).double().numpy())
        statistics = {"1.running_mean": outputs[-1].mean(0), "1.running_var": outputs[-1].var(0, ddof=1)}
        ends.append(
            {**model.state_dict(), **{name: torch.from_numpy(value).float() for name, value in statistics.items()}}
        )
    sA, sB = (values.std(axis=0, ddof=1) for values in outputs)
    r = np.array([np.corrcoef(outputs[0][:, unit], outputs[1][:, unit])[0, 1] for unit in range(3)])
    for a in (0.25, 0.5):
        mean = (1 - a) * outputs[0].mean(0) + a * outputs[1].mean(0)
        measured = (1 - a) ** 2 * sA**2 + a**2 * sB**2 + 2 * a * (1 - a) * r * sA * sB
        interpolated = (1 - a) * sA**2 + a * sB**2
        mixed = (1 - a) * outputs[0] + a * outputs[1]
        for mode, variance in (("recompute", measured), ("interpolate", interpolated)):
            found = evaluate_path(
                copy.deepcopy(model),
                paths.line(*ends),
                (inputs, targets),
                alphas=[0.0, a, 1.0],
                loss=lambda outputs, _: outputs[:, 1],  # the normalised value of one unit, itself
                norm_stats=mode,
                stats_data=(inputs, targets),
                stats_batch=50,
            )
            wanted = (mixed - mean) / np.sqrt(variance)
            np.testing.assert_allclose(found.per_example_loss[1], wanted[:, 1], rtol=1e-4, atol=1e-5)
