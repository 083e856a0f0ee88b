"""What nodes a study becomes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from isthmus import noise
from isthmus.errors import BadStudy
from isthmus.hashing import digest_bytes
from isthmus.nodes import Distance, Init, Merge, NormSpec, Part, PathMeasure, State, Train
from isthmus.noise import Noise
from isthmus.study import expand
from isthmus.study.requests import Expansion, Request
from small_studies import MODEL, PER_EPOCH, branch, data, to_final


def requests(found: Expansion, table: str, **labels: Any) -> list[Request]:
    return [
        request
        for request in found.requests
        if request.table == table and labels.items() <= dict(request.labels).items()
    ]


def ends(request: Request) -> tuple[State, ...]:
    return request.measure.path.ends


def trains(states: Iterable[State]) -> list[Train]:
    return [state for state in states if isinstance(state, Train)]


def test_pinned_keys_of_both_families() -> None:
    """What two small studies ask for: an accidental change of what names a result shows here.

    Update these when a study is *meant* to become other nodes (another derivation of seeds, another default that
    acts), which abandons every stored result of such studies, and say so in the changelog; never because an option
    was added whose default does what was done before.
    """
    sets = ('merge={after="2ep", every="1ep"}', "branch.children=3", "evaluate.norm_stats=interpolate")
    found = {
        "branch": expand(branch(*sets)),
        "to final": expand(to_final('train.paths=["initial->final", "final->fresh"]', "train.blocks=all")),
    }
    assert {name: len(expansion.targets) for name, expansion in found.items()} == {"branch": 36, "to final": 12}
    keys = {name: [node.key for node in expansion.targets] for name, expansion in found.items()}
    whole = {name: digest_bytes(" ".join(these).encode()) for name, these in keys.items()}
    assert {name: (these[0][:12], these[-1][:12], whole[name][:12]) for name, these in keys.items()} == PINNED


PINNED = {
    "branch": ("428e2ff9d2da", "75ad2ca1add7", "7b83be1aa3fe"),
    "to final": ("3a2bced1b72d", "f21aa2e76fc2", "7f7298567b1c"),
}


# --- branch ---------------------------------------------------------------------------------------------------------


def test_a_trunk_its_children_and_the_lines_between_them() -> None:
    found = expand(branch("seeds=[0, 4]", 'branch={at=["0ep", "7it", "2ep"], lengths=["3it", "1ep"], children=3}'))
    assert found.steps_per_epoch == PER_EPOCH
    assert found.data.describe() == data().describe()
    pairs = requests(found, "pairs")
    assert len(pairs) == len(found.requests) == 2 * 3 * 2 * 3
    for request in pairs:
        labels = request.labels
        k, s = {"0ep": 0, "7it": 7, "2ep": 10}[labels["k"]], {"3it": 3, "1ep": 5}[labels["s"]]
        assert (labels["k_steps"], labels["s_steps"], labels["split"]) == (k, s, "test")
        first, second = (int(name.removeprefix("child")) - 1 for name in labels["pair"].split("-"))
        assert first < second
        for index, child in zip((first, second), trains(ends(request)), strict=True):
            assert child.step == k + s
            assert child.noise == Noise.of(noise.derive(labels["seed"], "child", index))
            assert child.buffers == ("reset" if k else "keep")  # an initial network has none to reset
            trunk = child.root
            assert trunk.step == k
            root = trunk.root if isinstance(trunk, Train) else trunk
            assert isinstance(root, Init)
            assert (root.model, root.seed) == (MODEL, labels["seed"])
            if isinstance(trunk, Train):
                assert trunk.noise == Noise.of(noise.derive(labels["seed"], "trunk"))
        assert request.distance is not None
        assert (request.distance.a.key, request.distance.b.key) == tuple(end.key for end in ends(request))
    streams = {noise.derive(seed, "trunk") for seed in (0, 4)}
    streams |= {noise.derive(seed, "child", index) for seed in (0, 4) for index in range(3)}
    assert len(streams) == 8


def test_the_trunk_may_go_on_as_the_first_of_the_copies() -> None:
    found = expand(branch("branch.trunk_is_child=true", "branch.buffers=keep", 'branch.differ=["order"]'))
    (request,) = requests(found, "pairs", k="2ep")
    trunk, child = trains(ends(request))
    assert request.labels["pair"] == "trunk-child1"
    assert isinstance(trunk.root, Init)  # one trajectory, not a restart at k
    assert child.root.key == trunk.at(10).key
    assert (child.buffers, trunk.stop, child.stop) == ("keep", 15, 15)
    own = noise.derive(0, "child", 0)
    assert child.noise == trunk.noise.but(order=own)
    assert child.noise.dropout == trunk.noise.dropout != own


def test_noise_seeds_that_are_given_are_the_childrens_own() -> None:
    found = expand(branch("branch.noise=[21, 34]", "seeds=[0, 4]"))
    for request in requests(found, "pairs"):
        assert [child.noise for child in trains(ends(request))] == [Noise.of(21), Noise.of(34)]


def test_every_multiple_up_to_the_end_is_an_s_and_so_is_the_end() -> None:
    found = expand(branch('branch={at=["0ep", "7it", "2ep"], to="4ep", every="1.5ep"}'))
    assert [(r.labels["k"], r.labels["s"], r.labels["s_steps"]) for r in requests(found, "pairs")] == [
        ("0ep", "1.5ep", 8),  # 7.5 steps, halves up
        ("0ep", "3ep", 15),
        ("0ep", "20it", 20),
        ("7it", "1.5ep", 8),
        ("7it", "13it", 13),
        ("2ep", "1.5ep", 8),
        ("2ep", "10it", 10),
    ]
    ks = {k: [end.step for r in requests(found, "pairs", k=k) for end in ends(r)[:1]] for k in ("0ep", "7it", "2ep")}
    assert ks == {"0ep": [8, 15, 20], "7it": [15, 20], "2ep": [18, 20]}
    exactly = expand(branch('branch={at=["1ep"], to="4ep", every="1.5ep"}'))
    assert [r.labels["s_steps"] for r in requests(exactly, "pairs")] == [8, 15]


@pytest.mark.parametrize("buffers", ["reset", "keep", "average"])
def test_a_merge_and_training_on_from_it(buffers: str) -> None:
    merge = f'merge={{at=["1ep"], buffers="{buffers}", after="1.5ep", every="3it"}}'
    found = expand(branch('branch={at=["2ep"], lengths=["3it", "1ep"], children=3}', merge))
    networks = requests(found, "networks")
    assert {request.labels["s"] for request in networks} == {"1ep"}
    names = ["merge", "child1", "child2", "child3"]
    whole = [(r.labels["network"], r.labels["after_steps"]) for r in networks]
    assert whole == [(name, 0) for name in names] + [(name, after) for after in (3, 6) for name in names]
    (merged,) = ends(networks[0])
    children = [end for request in networks[1:4] for end in ends(request)]
    assert isinstance(merged, Merge)
    assert [network.key for network in merged.networks] == [child.key for child in children]
    assert (merged.coefficients, merged.buffers, merged.step) == ((1 / 3,) * 3, buffers, 15)
    for request in networks[4:]:
        (state,) = trains(ends(request))
        after = request.labels["after_steps"]
        assert state.stop == 15 + after
        if request.labels["network"] == "merge":
            assert state.root.key == merged.key
            assert state.noise == Noise.of(noise.derive(0, "merge"))
        else:
            assert state.at(15).key == children[names.index(request.labels["network"]) - 1].key
        assert request.measure.path.form == "point"
        assert request.whole.alphas == (0.0,)
        assert request.distance is None
    alone = expand(branch(merge.replace("}", ", children_go_on=false}"), 'branch.at=["2ep"]'))
    assert [r.labels["network"] for r in requests(alone, "networks") if r.labels["after_steps"]] == ["merge", "merge"]


def test_the_learning_rate_after_a_merge() -> None:
    sets = ('branch={at=["2ep"], lengths=["1ep"]}', 'recipe.schedule={milestones=["16it"], factor=0.5}')

    def rates(merge: str) -> dict[str, list[float]]:
        networks = requests(expand(branch(*sets, f'merge={{after="1ep", every="1ep", {merge}}}')), "networks")
        late = [request for request in networks if request.labels["after_steps"]]
        return {r.labels["network"]: state.rates(15).tolist() for r in late for state in trains(ends(r))}

    base = [0.1, 0.05, 0.05, 0.05, 0.05]
    plain = rates("buffers='reset'")
    assert plain == {"merge": base, "child1": base, "child2": base}
    lower = rates("factor=0.1, warmup='3it'")
    wanted = [0.1 * 0.1 / 3, 0.1 * 0.05 * 2 / 3, 0.1 * 0.05, 0.1 * 0.05, 0.1 * 0.05]
    assert lower["merge"] == pytest.approx(wanted, rel=1e-12)  # products of three in another order
    assert lower["child1"] == lower["child2"] == base
    with pytest.raises(BadStudy, match=r"merge\.warmup: expected .* over at the merge, found it until step 20 and a"):
        expand(branch(*sets, 'merge={after="1ep", every="1ep", warmup="3it"}', 'recipe.schedule={warmup="4ep"}'))
    with pytest.raises(BadStudy, match="merge: expected after and every beside warmup and factor"):
        branch(*sets, "merge={factor=0.1}")


def test_rules_by_block_become_patterns_of_parameters() -> None:
    sets = ('model={name="resnet20", width=2, input_shape=[1, 8, 8]}', 'data={name="digits"}')

    def final(rules: str) -> Train:
        (state, *_) = trains(ends(expand(to_final(*sets, f"recipe.optimizer.by_block={rules}")).requests[0]))
        return state

    named = final('[{blocks=["stage2.1", "fc"], factor=0.1}, {blocks=["stem"], weight_decay=0.5}]')
    assert [rule.blocks for rule in named.recipe.optimizer.by_block] == [("stage2.1.*", "fc.*"), ("stem.*",)]
    spelled = '[{blocks=["stage2.1.*", "fc.*"], factor=0.1}, {blocks=["stem.*"], weight_decay=0.5}]'
    assert final(spelled).key == named.key
    assert len({named.key, final("[]").key, final('[{blocks=["fc"], factor=0.1}]').key}) == 3
    told = r"recipe\.optimizer\.by_block\.0\.blocks\.1: expected a block of resnet20 .*found 'stage9'"
    with pytest.raises(BadStudy, match=told):
        final('[{blocks=["fc", "stage9"], factor=0.1}]')
    with pytest.raises(BadStudy, match=r"recipe\.optimizer\.by_block\.0\.blocks: expected .* found \[\]"):
        final("[{blocks=[], factor=0.1}]")


def test_the_trunk_at_k_is_a_network_of_its_own() -> None:
    found = expand(branch("branch.trunk_at_k=true"))
    networks = requests(found, "networks", network="trunk at k")
    assert [(request.labels["k_steps"], ends(request)[0].step, request.labels["s_steps"]) for request in networks] == [
        (0, 0, 0),
        (10, 10, 0),
    ]


def test_the_trunk_alone_is_one_training_looked_at_on_its_way() -> None:
    beside = requests(expand(branch('branch={at=["7it", "2ep"], lengths=["1ep"], trunk_at_k=true}')), "networks")
    found = expand(branch('branch={at=["7it", "2ep"], trunk_at_k=true}', 'evaluate.on=["train", "test"]'))
    assert [(r.table, r.labels["network"], r.labels["k_steps"], r.labels["split"]) for r in found.requests] == [
        ("networks", "trunk at k", k, split) for k in (7, 10) for split in ("train", "test")
    ]
    on_test = [request for request in found.requests if request.labels["split"] == "test"]
    assert [request.measure.key for request in on_test] == [request.measure.key for request in beside]
    assert len({end.trajectory for request in found.requests for end in trains(ends(request))}) == 1
    assert expand(branch('branch={at=["7it"], trunk_at_k=true}', "merge={}")).requests  # how a variant drops a merge
    with pytest.raises(BadStudy, match=r"^merge: expected copies to merge, found none, as branch has neither"):
        expand(branch('branch={at=["7it"], trunk_at_k=true}', 'merge={after="1ep", every="1ep"}'))


# --- initial to final -------------------------------------------------------------------------------------------------


def test_paths_from_initial_to_final_and_on_to_a_fresh_start() -> None:
    every = ("initial->final", "final->fresh", "fresh->final", "initial->fresh")
    found = expand(to_final(f"train.paths={list(every)}", "seeds=[0, 4]"))
    assert [(r.labels["seed"], r.labels["path"], r.labels["block"]) for r in found.requests] == [
        (seed, path, "all") for seed in (0, 4) for path in every
    ]
    for request in found.requests:
        seed = request.labels["seed"]
        for name, state in zip(request.labels["path"].split("->"), ends(request), strict=True):
            if name == "final":
                assert isinstance(state, Train)
                assert (state.stop, state.noise, state.root.key) == (
                    2 * PER_EPOCH,
                    Noise.of(noise.derive(seed, "trunk")),
                    Init(MODEL, seed).key,
                )
            else:
                assert state.key == Init(MODEL, seed if name == "initial" else noise.derive(seed, "fresh")).key
        assert isinstance(request.distance, Distance)


@pytest.mark.parametrize("rest", ["final", "other"])
def test_blocks_move_alone_on_paths_with_a_final_end(rest: str) -> None:
    paths = ["initial->final", "final->fresh", "initial->fresh"]
    found = expand(to_final(f"train.paths={paths}", "train.blocks=all", f"train.rest={rest}"))
    got = [(r.labels["path"], r.labels["block"], r.measure.path.patterns, r.measure.path.rest) for r in found.requests]
    final = {"initial->final": "b", "final->fresh": "a"}
    other = {"initial->final": "a", "final->fresh": "b"}
    still = final if rest == "final" else other
    wanted: list[tuple[Any, ...]] = []
    for path in paths:
        wanted.append((path, "all", (), "b"))
        if path in still:
            wanted += [(path, f"layer{i}", (f"layer{i}.*",), still[path]) for i in (1, 2)]
    assert got == wanted
    one = expand(to_final('train.blocks=["layer2"]'))
    assert [request.labels["block"] for request in one.requests] == ["all", "layer2"]


def test_parts_of_blocks_and_patterns_move_too() -> None:
    def moving(*sets: str) -> dict[str, tuple[str, ...]]:
        study = to_final('model={name="resnet20", width=2, input_shape=[1, 8, 8]}', 'data={name="digits"}', *sets)
        paths = [request.measure.path for request in expand(study).requests[1:]]
        names = [request.labels["block"] for request in expand(study).requests[1:]]
        return {name: path.patterns for name, path in zip(names, paths, strict=True)}

    assert moving('train.blocks=["fc", "stage2.0", "stage2.1.conv1"]') == {
        "fc": ("fc.*",),
        "stage2.0": ("stage2.0.*",),
        "stage2.1.conv1": ("stage2.1.conv1.*",),
    }
    globs = {"statistics": ("*running_*",), "rest": ("*.weight", "*.bias")}
    table = 'train.blocks={statistics=["*running_*"], rest=["*.weight", "*.bias"]}'
    assert moving(table) == globs
    for wrong, told in (
        ('train.blocks=["stage2.7"]', r"train\.blocks\.0: expected a block of resnet20 .*'stage2\.7'"),
        ('train.blocks={a=["stage9.*"]}', r"train\.blocks\.a\.0: expected a pattern that matches .*'stage9\.\*'"),
    ):
        with pytest.raises(BadStudy, match=told):
            moving(wrong)


def test_training_until_an_accuracy_is_part_of_the_final_network() -> None:
    (request,) = expand(to_final('train.until={accuracy=0.9, on="test"}')).requests
    (final,) = trains(ends(request))
    assert final.until is not None
    assert (final.until.accuracy, final.until.on) == (0.9, "test")


# --- what both share --------------------------------------------------------------------------------------------------


def test_every_part_of_the_data_is_measured_as_the_study_says() -> None:
    sets = (
        'evaluate={alphas=[0, 0.4, 1], on=["test", "train:50"], norm_stats="recompute", stats_batch=32,'
        " stats_examples=64, batch_size=33, precision='bf16'}"
    )
    found = expand(branch(sets, "recipe.loss=binary_cross_entropy", "model.outputs=1"))
    assert [request.labels["split"] for request in found.requests] == ["test", "train:50"] * 2
    first, second = (request.whole for request in found.requests[:2])
    assert (first.part, second.part) == (Part("test"), Part("train", 50))
    for measure in (first, second):
        assert measure.alphas == (0.0, 0.4, 1.0)
        assert measure.norm == NormSpec("recompute", 32, 64)
        assert (measure.batch_size, measure.precision, measure.loss) == (33, "bf16", "binary_cross_entropy")
        assert measure.data.describe() == data().describe()
    plain: PathMeasure = expand(branch("evaluate.alphas=5")).requests[0].whole
    assert plain.alphas == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_random_part_of_the_data_and_only_the_problem_that_it_has() -> None:
    whole, part = (expand(branch(*sets)).data for sets in ((), ("data.part=[2, 3]", "data.split_seed=4")))
    assert part.train == (2 * whole.train) // 3 - whole.train // 3
    assert part.test == whole.test
    for sets, told in (
        (("data.part=[3, 2]",), "data.part: Data set spiral: expected part = [i, n] with i at most n"),
        (("data.part=[2, 3]", "data.examples=150"), "data: Data set spiral: examples must be at most "),
    ):
        with pytest.raises(BadStudy) as caught:
            expand(branch(*sets, "data.split_seed=4"))
        assert [problem[: len(told)] for problem in caught.value.problems] == [told]


def test_precision_auto_is_resolved_when_nodes_are_named() -> None:
    def children(study: Any, **options: Any) -> list[Train]:
        return trains(ends(expand(study, **options).requests[0]))

    for bf16, name in ((True, "bf16"), (False, "float32")):
        auto = children(branch("recipe.precision=auto"), bf16=bf16)
        assert [child.recipe.precision for child in auto] == [name, name]
        assert [c.key for c in auto] == [c.key for c in children(branch(f"recipe.precision={name}"), bf16=not bf16)]


def test_the_name_of_a_study_and_the_spelling_of_names_do_not_name_results() -> None:
    plain = [node.key for node in expand(branch()).targets]
    same = expand(branch("name=other", "model.name=M-L_P", "data.name=Spiral", "branch.at=['0it', '10it']"))
    assert [node.key for node in same.targets] == plain
    assert [request.labels["k"] for request in same.requests] == ["0it", "10it"]
    assert not set(plain) & {node.key for node in expand(branch("seeds=[1]")).targets}
