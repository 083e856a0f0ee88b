"""Rules of the optimiser for blocks with or without a barrier: what is chosen, and that it is what acts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import isthmus
from isthmus import choices, models, study
from isthmus.errors import BadInput, BadStudy, Conflict
from isthmus.execute import Setting
from isthmus.execute.compute import Stopped, Workshop
from isthmus.graph import plan, stale
from isthmus.nodes import Choose, Train
from isthmus.recipe import Recipe
from isthmus.store import Store, join_ancestries
from isthmus.study import Results, Study, expand
from small_studies import Told, branch, compute, digests, ran, recipe, to_final

SETS = ("model.hidden=[7, 5]", "seeds=[4, 9]", "train.to=4ep", "recipe.optimizer.lr=0.6")
BLOCKS = ("layer1", "layer2", "layer3")


def finals(found: Results, store: Store) -> list[str]:
    """The digests of the trained networks that the study's tables are about."""
    ends = {end.key for request in found.expansion.requests for end in request.measure.path.ends}
    return sorted(store.get(key).digest for key in ends)


def rises(store: Store, *sets: str) -> dict[str, float]:
    """The greatest climb of the mean over seeds of each block's loss, from a study without rules."""
    curves = ran(to_final(*SETS, "train.blocks=all", *sets), store)["curves"]
    found = {}
    for block in BLOCKS:
        groups = curves.where(block=block).groups("seed").values()
        mean = np.mean([group["loss"] for group in groups], axis=0)
        found[block] = max(0.0, *(mean[j] - mean[i] for j in range(len(mean)) for i in range(j)))
    return found


def between(found: dict[str, float]) -> float:
    """A threshold that some blocks reach and others do not."""
    low, *_, high = sorted(found.values())
    assert high - low > 1e-3, found
    return (low + high) / 2


def listed(rules: Sequence[dict[str, Any]]) -> str:
    tables = ("{" + ", ".join(f"{name}={value!r}" for name, value in rule.items()) + "}" for rule in rules)
    return f"recipe.optimizer.by_block=[{', '.join(tables)}]"


def test_the_rate_of_chosen_blocks_is_that_of_a_list_written_by_hand(store: Store) -> None:
    found = rises(store)
    threshold = between(found)
    groups = {"barrier": [b for b in BLOCKS if found[b] >= threshold]}
    groups["no barrier"] = [b for b in BLOCKS if b not in groups["barrier"]]
    rules = [{"blocks": "barrier", "factor": 0.1}, {"blocks": "no barrier", "weight_decay": 0.02}]
    chosen = ran(to_final(*SETS, listed(rules), f"choose.threshold={threshold}"), store)
    by_hand = ran(to_final(*SETS, listed([{**rule, "blocks": groups[str(rule["blocks"])]} for rule in rules])), store)
    assert finals(chosen, store) == finals(by_hand, store)
    assert finals(chosen, store) != finals(ran(to_final(*SETS), store), store)
    (table, numbers) = chosen["chosen"], ("group", "threshold", "seeds")
    assert table.columns == ("block", "rise", *numbers, "split")
    assert table["block"] == list(BLOCKS)
    assert table["rise"] == pytest.approx([found[block] for block in BLOCKS], rel=1e-12)
    for row in table:
        assert row["block"] in groups[row["group"]]
        assert (row["threshold"], row["seeds"]) == (threshold, 2)
    assert chosen["paths"]["start"] == by_hand["paths"]["start"]
    node = chosen.expansion.chosen
    assert node is not None
    assert [row["block"] for row in store.get(node.key).summary["value"] if row["barrier"]] == groups["barrier"]


def test_a_rule_of_one_kind_leaves_the_others_as_they_are(store: Store) -> None:
    threshold = between(rises(store))
    barrier = [block for block, rise in rises(store).items() if rise >= threshold]
    for group, blocks in (("barrier", barrier), ("no barrier", [b for b in BLOCKS if b not in barrier])):
        chosen = to_final(*SETS, listed([{"blocks": group, "factor": 0.0}]), f"choose.threshold={threshold}")
        by_hand = to_final(*SETS, listed([{"blocks": blocks, "factor": 0.0}]))
        assert finals(ran(chosen, store), store) == finals(ran(by_hand, store), store)


def test_where_no_block_or_every_block_shows_one_the_rule_applies_to_nothing_or_all(store: Store) -> None:
    rules = [{"blocks": "barrier", "factor": 0.1}]
    display = Told()
    none = ran(to_final(*SETS, listed(rules), "choose.threshold=1e6"), store, display=display)
    assert finals(none, store) == finals(ran(to_final(*SETS), store), store)
    assert none["chosen"]["group"] == ["no barrier"] * 3
    assert display.lines[-1] == (
        "Chosen by a rise of 1e+06 on test: blocks with barrier: none; blocks with no barrier: layer1, layer2, layer3;"
        " a rule for blocks with barrier applies to nothing."
    )
    ran(to_final(*SETS), store, display=display)
    assert len(display.lines) == 1  # nothing was chosen, nothing is told
    low = min(rises(store, "evaluate.alphas=9").values()) / 2
    every = ran(to_final(*SETS, listed(rules), f"choose={{threshold={low}, alphas=9}}"), store)
    assert every["chosen"]["group"] == ["barrier"] * 3
    assert every["chosen"]["split"] == ["test"] * 3
    on_train = ran(to_final(*SETS, listed(rules), "choose={threshold=1e6, on='train:60'}"), store, display=display)
    assert on_train["chosen"]["split"] == ["train:60"] * 3
    assert display.lines[-1].startswith("Chosen by a rise of 1e+06 on train:60: ")
    by_hand = ran(to_final(*SETS, listed([{"blocks": list(BLOCKS), "factor": 0.1}])), store)
    assert finals(every, store) == finals(by_hand, store)


def test_the_base_run_has_all_rules_but_those_that_ask(store: Store) -> None:
    plain = {"blocks": ["layer2"], "weight_decay": 0.3}
    rules = listed([plain, {"blocks": "barrier", "factor": 0.1}])
    sets = ("choose={to='3ep', alphas=[0, 0.4, 1], on='train:60', blocks=['layer3', 'layer1']}",)
    node = expand(to_final(*SETS, rules, *sets)).chosen
    base = expand(to_final(*SETS, listed([plain]), "train.to=3ep")).requests[0].measure.path.ends
    assert node is not None
    assert [source.path.ends[1].step for source in sources(node)] == [15] * 4
    assert {end.key for end in sources(node)[0].path.ends} == {end.key for end in base}
    patterns = [source.path.patterns for source in sources(node)]
    assert patterns == [("layer3.*",)] * 2 + [("layer1.*",)] * 2
    assert {(str(source.part), source.alphas) for source in sources(node)} == {("train:60", (0.0, 0.4, 1.0))}


def sources(node: Choose) -> list[Any]:
    return list(node.sources)


def test_a_study_with_choices_is_declared_whole(store: Store, tmp_path: Path) -> None:
    rules = listed([{"blocks": "barrier", "factor": 0.1}])
    found = expand(to_final(*SETS, rules))
    again = expand(to_final(*SETS, rules))
    assert [node.key for node in found.targets] == [node.key for node in again.targets]
    pending = plan(found.targets, Store(tmp_path)).pending
    kinds = [node.kind for node in pending.values()]
    assert kinds.count("choose") == 1
    trained = [node for node in pending.values() if isinstance(node, Train)]
    assert [bool(node.choices) for node in trained].count(True) == 2
    for node in trained:
        assert ("choices" in node.describe()) == bool(node.choices)
    assert expand(to_final(*SETS, rules, "choose.threshold=0.06")).targets[0].key != found.targets[0].key


BRANCHING = ("model.hidden=[7, 5]", 'branch={at=["2ep"], lengths=["1ep"]}', 'merge={after="1ep", every="1ep"}')


def test_branches_are_trained_by_what_was_chosen_too(store: Store) -> None:
    rules = listed([{"blocks": "no barrier", "factor": 0.2}])
    chosen = ran(branch(*BRANCHING, rules, "choose={to='4ep', threshold=1e-9}"), store)
    blocks = chosen["chosen"].where(group="no barrier")["block"]
    by_hand = [{"blocks": blocks, "factor": 0.2}] if blocks else []
    assert finals(chosen, store) == finals(ran(branch(*BRANCHING, listed(by_hand)), store), store)
    for request in chosen.expansion.requests:
        for end in request.measure.path.ends:
            assert not isinstance(end, Train) or end.choices == (chosen.expansion.chosen,)


def trained(found: Study) -> Train:
    (end,) = [end for end in expand(found).requests[0].measure.path.ends if isinstance(end, Train)]
    return end


@pytest.mark.parametrize("after", [3, 10])
def test_a_run_cut_anywhere_and_gone_on_with_has_the_same_bits(store: Store, tmp_path: Path, after: int) -> None:
    threshold = between(rises(store))
    node = trained(to_final(*SETS, listed([{"blocks": "barrier", "factor": 0.1}]), f"choose.threshold={threshold}"))
    compute(store, node)
    own = compute(Store(tmp_path), *node.parents())
    told = [0.0]
    workshop = Workshop(own, Setting(), lambda *progress: told.append(progress[0]), lambda: told[-1] >= after)
    with pytest.raises(Stopped, match=f"^stopped at step {after}$"):
        workshop.compute(node)
    compute(own, node)
    assert own.get(node.key).digest == store.get(node.key).digest
    assert own.get(node.key).ancestry[node.choices[0].key] == own.get(node.choices[0].key).digest


def test_everything_together_has_the_same_bits_in_another_process(tmp_path: Path) -> None:
    sets = (
        'branch={at=["1ep"], lengths=["1ep"], disjoint=true}',
        'evaluate.scores={score="grand", splits=2, at="2ep"}',
    )
    rules = listed([{"blocks": "barrier", "factor": 0.1}])
    found = branch(*sets, "merge.weights=[0.3, 0.7]", rules, "choose={to='3ep', threshold=0.001}")
    results = [study.run(found, tmp_path / str(workers), workers=workers, threads=1) for workers in (0, 1)]
    first, second = (digests(Store(tmp_path / str(workers))) for workers in (0, 1))
    assert first == second
    assert list(results[0].tables) == [
        "pairs",
        "curves",
        "networks",
        "chosen",
        "splits",
        "scores",
        "seeds",
        "provenance",
    ]
    for name in ("networks", "chosen", "splits", "scores"):
        assert results[0][name].to_csv() == results[1][name].to_csv()
    assert study.run(found, tmp_path / "0", workers=0, threads=1).computed == 0


def test_networks_trained_by_two_realisations_of_a_choice_are_not_compared(store: Store, tmp_path: Path) -> None:
    rules = listed([{"blocks": "barrier", "factor": 0.1}])
    node = trained(to_final(*SETS, rules))
    own = compute(Store(tmp_path), node)
    before = own.get(node.key)
    (choice,) = node.choices
    record = own.get(choice.key)
    assert own.agrees(before)
    assert not stale([node], own)
    base = sources(choice)[0].path.ends[1]
    trained_again = own.get(base.key)
    own.delete(base.key)
    own.put(type(record)(**{**vars(trained_again), "digest": "ef" * 32}), own.blob(before))
    assert not stale([node], own)  # the choice is the value that acts, whatever it was taken from
    own.delete(choice.key)
    own.put(type(record)(**{**vars(record), "digest": "ab" * 32}), None)  # as where a base run has other bits
    assert not own.agrees(before)
    assert stale([node], own) == [node.key]
    other = type(before)(**{**vars(before), "key": "cd" * 32, "ancestry": {choice.key: "ab" * 32}})
    with pytest.raises(Conflict, match=f"their shared ancestor {choice.key[:12]}"):
        join_ancestries([before, other])


# --- the rule by itself -----------------------------------------------------------------------------------------------


def numbers(*losses: float) -> dict[str, Any]:
    return {"alphas": [0.0, 0.3, 1.0], "loss": list(losses)}


NAMED = [["a", ["a.*"]], ["b", ["b.*", "b"]], ["c", ["c"]]]


def test_the_rise_is_that_of_the_mean_over_seeds() -> None:
    found = [numbers(2.0, 2.5, 0.4), numbers(2.0, 1.7, 0.4), numbers(2.0, 1.0, 0.5), numbers(2.4, 1.0, 1.5)]
    found += [numbers(1.0, 0.9, 0.8)] * 2
    rows = choices.choose("blocks", found, {"blocks": NAMED, "threshold": 0.5})
    assert [row["block"] for row in rows] == ["a", "b", "c"]
    # of a the mean climbs from 2 to 2.1, one seed alone by .5; of b from 1 to 1
    assert [row["rise"] for row in rows] == pytest.approx([0.1, 0.0, 0.0], abs=1e-12)
    assert [row["barrier"] for row in rows] == [False] * 3
    for threshold, wanted in ((0.0999, True), (0.1001, False)):
        (row, *_) = choices.choose("blocks", found, {"blocks": NAMED, "threshold": threshold})
        assert row == {"block": "a", "patterns": ["a.*"], "rise": pytest.approx(0.1), "barrier": wanted}
    exact = choices.choose("blocks", [numbers(1.0, 1.5, 0.0)], {"blocks": NAMED[:1], "threshold": 0.5})
    assert exact[0]["barrier"] is True  # at least the threshold


def test_losses_that_are_no_numbers() -> None:
    with pytest.raises(BadInput, match=r"^Block b cannot be told to show a barrier or none: a loss along its path"):
        choices.choose("blocks", [numbers(1, 2, 0), numbers(1, math.nan, 0)], {"blocks": NAMED[:2], "threshold": 0.1})
    rows = choices.choose("blocks", [numbers(1, math.inf, 0)], {"blocks": NAMED[:1], "threshold": 0.1})
    assert rows[0]["barrier"] is True


def test_rules_take_the_patterns_of_their_group_and_fall_away_without_any() -> None:
    rows = [{"block": name, "patterns": patterns, "rise": 0.0, "barrier": name == "b"} for name, patterns in NAMED]
    rules: list[dict[str, Any]] = [
        {"blocks": ("a.*",), "factor": 0.3},
        {"blocks": "barrier", "factor": 0.1},
        {"blocks": "no barrier", "weight_decay": 0.2},
    ]
    how = Recipe.model_validate({"batch_size": 3, "optimizer": {"lr": 0.1, "by_block": rules}})
    found = choices.applied(how, rows)
    assert [rule.blocks for rule in found.optimizer.by_block] == [("a.*",), ("b.*", "b"), ("a.*", "c")]
    assert found == Recipe.model_validate(found.model_dump())
    assert [rule.blocks for rule in how.optimizer.by_block] == [("a.*",), "barrier", "no barrier"]
    alone = choices.applied(how, [{**row, "barrier": True} for row in rows])
    assert [rule.blocks for rule in alone.optimizer.by_block] == [("a.*",), ("a.*", "b.*", "b", "c")]


def test_training_by_hand_needs_names() -> None:
    rules = ({"blocks": "barrier", "factor": 0.1},)
    how = Recipe.model_validate({"batch_size": 3, "optimizer": {"lr": 0.1, "by_block": rules}})
    model = models.initialise("mlp", 4, input_shape=(2,), classes=2, hidden=(7,))
    state = isthmus.NetworkState.of(model)
    points = torch.randn(9, 2), torch.tensor([0, 1, 1] * 3)
    with pytest.raises(BadInput, match=r"^Only a study can tell which blocks show 'barrier': give by_block the names"):
        isthmus.train(state, how, points, isthmus.Noise.of(3), 0, 2, model=model)
    assert recipe().identity() == Recipe.model_validate(recipe().model_dump()).identity()


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "sets", "told"),
    [
        (branch, (), "choose.to: expected how long the base run trains that tells blocks with barrier, found none."),
        (branch, ("choose.to=0ep",), "choose.to: expected at least one step (an epoch has 5), found 0ep."),
        (to_final, ("choose.threshold=0",), "choose.threshold: expected a number above 0, found 0."),
        (to_final, ("choose.thresold=1",), 'choose.thresold: unknown field; did you mean "threshold"? Known: alphas,'),
        (
            to_final,
            ("choose.alphas=[0, 0.5]",),
            "choose.alphas: expected alphas that rise from 0 to 1, found",
        ),
        (to_final, ("choose.on=tset",), 'choose.on: expected "train", "test" or a number of them such as'),
        (
            to_final,
            ("choose.blocks=['layer1', 'layer9']",),
            "choose.blocks.1: expected a block of mlp (layer1, layer2) or a part of one, with parameters, found",
        ),
        (to_final, ("choose.blocks=['layer1', 'layer1']",), "choose.blocks: expected distinct blocks, at least one,"),
        (
            to_final,
            (listed([{"blocks": "barier", "factor": 0.1}]),),
            'recipe.optimizer.by_block.0.blocks: expected "barrier" or "no barrier" or a list, found \'barier\'.',
        ),
    ],
)
def test_what_is_wrong_with_a_choice(family: Any, sets: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadStudy) as caught:
        expand(family(listed([{"blocks": "barrier", "factor": 0.1}]), *sets))
    (problem,) = caught.value.problems
    assert problem.removeprefix("study: ").startswith(told)
    assert problem.endswith(".")
