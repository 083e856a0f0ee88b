"""Where the networks of a study start: each kind of start against the same made by hand, without the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import isthmus
from isthmus import datasets, models, noise, paths, study
from isthmus.errors import BadStudy, RunFailed
from isthmus.networks import NetworkState
from isthmus.nodes import Choose, Graft, Init, PathMeasure, Point, State, Train
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.store import Store
from isthmus.study import Start, Study, expand, from_mapping
from isthmus.study.files import override
from small_studies import PER_EPOCH, TO_FINAL, Told, branch, compute, ran, recipe, state, to_final

SEED = 4
AGAIN = noise.derive(SEED, "after pretraining")
DRAWN = noise.derive(SEED, "new blocks")
SEEDED = f"seeds=[{SEED}]"
Pair = tuple[Tensor, Tensor]


def spiral(split: str = "train", **options: Any) -> Pair:
    found = getattr(datasets.load("spiral", **{"train": 190, "test": 70, **options}), split)
    return torch.from_numpy(found.inputs.copy()), torch.from_numpy(found.labels.copy())


def mlp(seed: int = 0, **arguments: Any) -> nn.Module:
    return models.initialise("mlp", seed, **{"input_shape": (2,), "classes": 2, "hidden": (7,), **arguments})


def initial(seed: int = SEED, **arguments: Any) -> NetworkState:
    return NetworkState.of(mlp(seed, **arguments))


def on(start: NetworkState, stream: int, stop: int, how: Recipe | None = None, **options: Any) -> NetworkState:
    data, model = options.pop("data", None) or spiral(), options.pop("model", None) or mlp()
    return isthmus.train(start, how or recipe(), data, Noise.of(stream), start.step, stop, model=model, **options)[0]


def trained(stop: int = 3 * PER_EPOCH) -> NetworkState:
    return on(initial(), noise.derive(SEED, "trunk"), stop)


def start_of(found: Study) -> State:
    return expand(found).sources[0][1].state


def begun(store: Store, *sets: str) -> NetworkState:
    """Where the networks of a study start, which is computed."""
    node = start_of(to_final(SEEDED, *sets))
    found = state(compute(store, node), node)
    assert (found.step, found.optimizer) == (0, {})
    return found


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], only: str = "") -> bool:
    names = [name for name in wanted if name.startswith(only)]
    return bool(names) and all(torch.equal(found[name], wanted[name]) for name in names)


# --- a network trained first ------------------------------------------------------------------------------------------


def test_a_study_goes_on_from_a_pretrained_network_at_step_0_on_its_own_schedule(store: Store) -> None:
    sets = (SEEDED, 'recipe.schedule={milestones=["6it"], factor=0.5}', "start.pretrain.to=3ep")
    found = ran(to_final(*sets, 'train.paths=["initial->final", "initial->fresh"]'), store)
    how = recipe(schedule={"milestones": ["6it"], "factor": 0.5})
    first = on(initial(), noise.derive(SEED, "trunk"), 15, how)
    assert first.optimizer
    last = on(NetworkState(first.weights), AGAIN, 10, how)
    fresh = initial(noise.derive(SEED, "fresh"))
    for path, end in (("initial->final", last), ("initial->fresh", fresh)):
        line = isthmus.evaluate_path(mlp(), paths.line(first.weights, end.weights), spiral("test"), alphas=3)
        assert found["curves"].where(path=path)["loss"] == line.loss.tolist()
    assert list(found["starts"].rows) == [
        {
            "seed": SEED,
            "start": "pretrain",
            "at": 1.0,
            "data": "spiral",
            "lr": 0.1,
            "weight_decay": 0.0,
            "steps": 15,
            "epochs": 3.0,
            "until": None,
            "reached": None,
        }
    ]


def test_the_table_of_starts_says_by_which_rate_and_decay_a_variant_was_pretrained(store: Store) -> None:
    pre = '"start.pretrain"={to="1ep", recipe={optimizer={weight_decay=0.02}}}'
    again = '"start.pretrain.recipe.optimizer.lr"=0.3'
    tuned = f'"recipe.optimizer.lr"=0.001, {pre}'
    found = ran(to_final(SEEDED, f"variants={{as-tuned={{{tuned}}}, own={{{tuned}, {again}}}}}"), store)
    told = [(row["variant"], row["lr"], row["weight_decay"]) for row in found["starts"]]
    assert told == [("as-tuned", 0.001, 0.02), ("own", 0.3, 0.02)]
    for name, rate in (("as-tuned", 0.001), ("own", 0.3)):
        ((_, source),) = found.expansion.variants[name].sources
        assert isinstance(source.weights, Train)
        assert source.weights.rates().tolist() == [rate] * 5


def test_a_pretraining_as_the_study_trains_is_the_training_of_the_study() -> None:
    (request,) = expand(to_final(SEEDED)).requests
    final = request.measure.path.ends[1]
    ((labels, source),) = expand(to_final(SEEDED, "start.pretrain.to=2ep")).sources
    assert (labels, source.weights.key) == ({"seed": SEED}, final.key)
    again = expand(to_final(SEEDED, "start.pretrain.to=2ep")).requests[0].measure.path.ends[1]
    assert isinstance(again, Train)
    assert isinstance(final, Train)
    assert (again.root.key, again.root.step, again.stop) == (source.state.key, 0, 10)
    assert again.noise == Noise.of(AGAIN) != final.noise


def test_copies_branch_from_the_start_as_well() -> None:
    found = expand(branch(SEEDED, 'start={pretrain={to="1ep"}, new=["layer2"]}'))
    for request in found.requests:
        for child in request.measure.path.ends:
            assert isinstance(child, Train)
            trunk = child.root
            assert (trunk.root if isinstance(trunk, Train) else trunk).key == found.sources[0][1].state.key
            assert not isinstance(trunk, Train) or trunk.noise == Noise.of(AGAIN)
            assert child.noise in [Noise.of(noise.derive(SEED, "child", index)) for index in range(2)]


def test_keys_of_the_pretraining_are_laid_over_those_of_the_study(store: Store) -> None:
    pretrain = {
        "to": "2ep",
        "data": {"seed": 3, "train": 130},
        "recipe": {"batch_size": 26, "optimizer": {"lr": 0.03}},
        "model": {"dropout": 0.2},
    }
    content = {**TO_FINAL, "seeds": [SEED], "start": {"pretrain": pretrain}}
    node = start_of(from_mapping(content))
    found = state(compute(store, node), node)
    how = Recipe.model_validate({"batch_size": 26, "optimizer": {"lr": 0.03, "momentum": 0.9}})
    net: dict[str, Any] = {"dropout": 0.2}
    stream = noise.derive(SEED, "trunk")
    wanted = on(initial(**net), stream, 10, how, data=spiral(seed=3, train=130), model=mlp(**net))
    assert same(found.weights, wanted.weights)
    assert "dropout" not in node.model.arguments  # the network of the study, with weights that come from another
    other = from_mapping(override(content, ['start.pretrain.data={name="digits", examples=50}']))
    assert other.start is not None
    with pytest.raises(BadStudy) as caught:  # options of the spiral are not kept
        expand(other)
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        "start: tensor 'layer1.weight' has shape (7, 2) in mlp and (7, 64) in the pre-trained network",
        "start: tensor 'layer2.weight' has shape (2, 7) in mlp and (10, 7) in the pre-trained network",
    ]


def test_what_is_about_the_pretraining_is_about_its_own_data_recipe_and_model() -> None:
    pretrain = {
        "to": "1ep",
        "data": {"seed": 3},
        "model": {"hidden": [7, 6], "outputs": 1},
        "recipe": {
            "loss": "binary_cross_entropy",
            "precision": "auto",
            "optimizer": {"by_block": [{"blocks": ["layer3"], "factor": 0.5}]},
        },
    }
    made = from_mapping({**TO_FINAL, "start": {"pretrain": pretrain, "at": "top", "only": ["layer1"]}})
    (source,) = (source for _, source in expand(made, bf16=True).sources)
    assert isinstance(source.weights, Train)
    assert isinstance(source.at, Choose)
    (measure,) = source.at.parents()
    assert isinstance(measure, PathMeasure)
    other = datasets.load("spiral", train=190, test=70, seed=3).digest
    assert (source.weights.data.digest, measure.data.digest, measure.loss) == (other, other, "binary_cross_entropy")
    assert [rule.blocks for rule in source.weights.recipe.optimizer.by_block] == [("layer3.*",)]
    assert source.weights.recipe.precision == "bf16"
    assert source.state.model.arguments["hidden"] == [7]
    variant = to_final().model_copy(update={"variants": {"a": {"recipe": {"precision": "auto"}}}})
    assert [study._bf16(one, "cuda") for one in (made, variant, to_final())] == [True, True, False]


def test_pretraining_on_another_data_set_with_new_ends(store: Store) -> None:
    sets = ("model.hidden=[7, 6]", 'start.new=["layer1", "layer3"]')
    found = begun(store, *sets, 'start.pretrain={to="1ep", data={name="digits", examples=90}}')
    digits = datasets.load("digits", examples=90)
    scaled = (torch.from_numpy(digits.train.inputs.copy()) / 255 - digits.mean[0]) / digits.std[0]
    net: dict[str, Any] = {"hidden": (7, 6), "input_shape": (1, 8, 8), "classes": 10}
    data = (scaled, torch.from_numpy(digits.train.labels.copy()))
    first = on(initial(**net), noise.derive(SEED, "trunk"), 3, data=data, model=mlp(**net))
    drawn = initial(DRAWN, hidden=(7, 6))
    assert set(found.weights) == set(drawn.weights)
    torch.testing.assert_close(found.weights["layer2.weight"], first.weights["layer2.weight"], rtol=1e-5, atol=1e-6)
    assert not same(found.weights, drawn.weights, "layer2.weight")
    assert same(found.weights, drawn.weights, "layer1")
    assert same(found.weights, drawn.weights, "layer3")


MEMORY = ("model.hidden=[40, 40]", 'recipe={batch_size=20, optimizer={name="adam", lr=0.02}}')


def test_random_labels_are_learnt_by_heart_and_are_the_same_each_time(store: Store) -> None:
    random: dict[str, Any] = {"random_labels": 7, "examples": 40}
    pretrain = 'start.pretrain={to="300ep", data={random_labels=7, examples=40}, until={accuracy=1.0}}'
    study = to_final(SEEDED, *MEMORY, pretrain, "train.to=1it")
    found = ran(study, store)
    (row,) = found["starts"]
    assert (row["reached"], row["until"]) == (True, 1.0)
    assert row["steps"] == 2 * row["epochs"] < 600
    (_, source) = found.expansion.sources[0]
    net = mlp(hidden=(40, 40))
    net.load_state_dict(dict(state(store, source.state).weights))
    inputs, labels = spiral(**random)
    _, true = spiral(examples=40)
    assert torch.equal(net(inputs).argmax(1), labels)
    assert 0.25 < float((labels == true).float().mean()) < 0.75  # 40 coins: outside in fewer than 1 of 500 draws
    keys = {seed: start_of(to_final(*MEMORY, pretrain.replace("=7", f"={seed}"))).key for seed in (7, 8)}
    assert keys[7] == start_of(to_final(*MEMORY, pretrain)).key != keys[8]


def test_a_goal_that_is_missed_is_told(store: Store) -> None:
    told = Told()
    pretrain = '{to="2ep", until={accuracy=1.0, on="test"}, data={random_labels=2}}'
    found = ran(to_final(SEEDED, f"start.pretrain={pretrain}"), store, display=told)
    assert [(row["steps"], row["until"], row["reached"]) for row in found["starts"]] == [(10, 1.0, False)]
    assert told.lines == [
        "Training mlp on spiral (train=190, test=70, random_labels=2) from seed 4 did not reach an accuracy of 1 on"
        " test in 10 steps (2 epochs); what follows goes on from there."
    ]
    met, again = Told(), Told()
    ran(to_final(SEEDED, "train.until.accuracy=0.1"), store, display=met)
    ran(to_final(SEEDED, "train.until.accuracy=0.999"), store, display=again)
    assert (met.lines, ["an accuracy of 0.999 on train" in line for line in again.lines]) == ([], [True])


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "new"),
    [
        ('new=["layer2"]', ["layer2.weight", "layer2.bias"]),
        ('new=["layer2.bias", "layer1.weight"]', ["layer2.bias", "layer1.weight"]),
        ('new=["*.bias"]', ["layer1.bias", "layer2.bias"]),
        ('only=["layer2"]', ["layer1.weight", "layer1.bias"]),
    ],
)
def test_new_blocks_are_a_fresh_draw_and_all_others_the_trained_ones(store: Store, named: str, new: list[str]) -> None:
    found, first = begun(store, f'start={{pretrain={{to="3ep"}}, {named}}}').weights, trained().weights
    for name, tensor in found.items():
        assert torch.equal(tensor, (initial(DRAWN).weights if name in new else first)[name])
    assert not set(new) & {name for name in first if torch.equal(found[name], first[name])}


def test_new_blocks_may_be_what_they_were_at_first(store: Store) -> None:
    found = begun(store, 'start={pretrain={to="3ep"}, new=["layer2"], fill="initial"}').weights
    assert same(found, initial().weights, "layer2")
    assert same(found, trained().weights, "layer1")
    digits = 'start={pretrain={to="1it", data={name="digits"}}, only=["layer2"], fill="initial"}'
    with pytest.raises(BadStudy) as caught:
        expand(to_final("model.hidden=[7, 6]", digits))
    assert [problem.partition(";")[2] for problem in caught.value.problems] == [
        ' leave out start.fill = "initial".'
    ] * 2


def test_statistics_of_normalisation_go_with_their_block(store: Store) -> None:
    content = {**TO_FINAL, "seeds": [SEED], "model": {"name": "small_studies:normed"}}
    node = start_of(from_mapping({**content, "start": {"pretrain": {"to": "2ep"}, "new": ["1"]}}))
    assert isinstance(node, Graft)
    compute(store, node)
    found, first, drawn = (state(store, one).weights for one in (node, node.donor, node.base))
    assert same(found, drawn, "1.")
    assert {name for name in found if name.startswith("1.")} >= {"1.running_mean", "1.num_batches_tracked"}
    assert found["1.num_batches_tracked"] == 0 != first["1.num_batches_tracked"]
    assert all(same(found, first, block) for block in ("0.", "4."))
    record = store.get(node.key)
    assert record.parents == {one.key: store.get(one.key).digest for one in (node.base, node.donor)}
    assert isinstance(node.base, Init)
    assert {node.base.key, node.donor.key} < set(record.ancestry)


# --- a place on the line ----------------------------------------------------------------------------------------------


def test_a_point_on_the_line_comes_first_and_new_blocks_after_it(store: Store) -> None:
    at = isthmus.weights.lerp(initial().weights, trained().weights, 0.4)
    assert same(begun(store, 'start={pretrain={to="3ep"}, at=0.4}').weights, at)
    found = begun(store, 'start={pretrain={to="3ep"}, at=0.4, new=["layer2"]}').weights
    assert same(found, at, "layer1")
    assert same(found, initial(DRAWN).weights, "layer2")
    ends = [begun(store, f'start={{pretrain={{to="3ep"}}, at={at}}}').weights for at in (0, 1)]
    assert [same(end, one.weights) for end, one in zip(ends, (initial(), trained()))] == [True, True]


HUMP = (
    "data={name='spiral', train=500, test=200}",
    "model.hidden=[30, 30]",
    'recipe={batch_size=100, optimizer={name="adam", lr=0.03}}',
    'evaluate={alphas=11, on=["test", "train:60"], norm_stats="interpolate"}',
)


def test_a_start_at_the_top_of_a_barrier_and_beside_it(store: Store) -> None:
    whole = ran(to_final(SEEDED, *HUMP, "train.to=60ep"), store)
    curve = whole["curves"].where(split="test")
    top = int(np.argmax(curve["loss"]))
    assert 2 <= top <= 8, curve["loss"]  # there is a barrier, and room on both sides
    first, last = (state(store, end).weights for end in whole.expansion.requests[0].measure.path.ends)
    for offset in (0, -2, 2):
        begin = f'start={{pretrain={{to="60ep"}}, at="top", offset={offset}}}'
        found = ran(to_final(SEEDED, *HUMP, "train.to=1it", begin), store)
        (row,) = found["starts"]
        assert row["at"] == pytest.approx((top + offset) / 10, abs=1e-15)
        losses = curve["loss"]
        assert row["rise"] == max(losses[j] - losses[i] for j in range(11) for i in range(j)) > 0
        assert row["split"] == "test"
        height = curve["loss"][top + offset]  # in another batch of points: single precision
        assert found["curves"].where(split="test", alpha=0.0)["loss"] == pytest.approx([height], rel=1e-6)
        (_, source) = found.expansion.sources[0]
        at = isthmus.weights.lerp(first, last, curve["alpha"][top + offset])
        assert same(state(store, source.state).weights, at)
        assert isinstance(source.state, Point)
        assert isinstance(source.at, Choose)
        assert source.at.parents()[0].key == whole.expansion.requests[0].measure.key  # the barrier that was seen
    with pytest.raises(RunFailed, match=rf"There is no grid point \+{10 - top + 1} from the top of the path"):
        ran(to_final(SEEDED, *HUMP, begin.replace("offset=2", f"offset={10 - top + 1}")), store)
    far = f"offset={10 - top + 1}"
    (row,) = ran(to_final(SEEDED, *HUMP, "train.to=1it", begin.replace("offset=2", f"{far}, clip=true")), store)[
        "starts"
    ]
    assert row["at"] == 1.0
    loose, tight = (
        expand(to_final(SEEDED, *HUMP, begin.replace("offset=2", far + more))) for more in ("", ", clip=true")
    )
    assert loose.sources[0][1].state.key != tight.sources[0][1].state.key
    finer = expand(to_final(SEEDED, *HUMP, begin.replace("offset=2", "alphas=[0, 0.3, 1]"))).sources[0][1]
    assert isinstance(finer.at, Choose)
    (measure,) = finer.at.parents()
    assert isinstance(measure, PathMeasure)
    assert isinstance(measure, PathMeasure)
    assert measure.alphas == (0.0, 0.3, 1.0)


def test_a_start_in_python_is_the_one_in_a_file() -> None:
    made = to_final().model_copy(update={"start": Start.model_validate({"pretrain": {"to": "2ep"}, "new": ["layer1"]})})
    assert start_of(made).key == start_of(to_final('start={pretrain={to="2ep"}, new=["layer1"]}')).key
