"""``evaluate.augmented``: networks look at pictures as cropped and flipped as those that they were trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from isthmus import Noise, datasets, evaluate_path, noise, paths
from isthmus.errors import BadStudy
from isthmus.examples import Augmenter, Examples
from isthmus.execute import Setting
from isthmus.execute.inputs import Inputs, built
from isthmus.nodes import Choose, PathMeasure
from isthmus.recipe import Augment
from isthmus.store import Store
from isthmus.study import InitToFinalStudy, expand, from_mapping, run
from isthmus.study.files import override
from isthmus.study.requests import Expansion, Request

CROP = 3
STUDY = {
    "family": "init-to-final",
    "name": "augmented",
    "model": {"name": "mlp", "input_shape": [1, 8, 8], "classes": 10, "hidden": [9]},
    "data": {"name": "digits"},
    "recipe": {"batch_size": 100, "optimizer": {"lr": 0.1}, "augment": {"crop": CROP, "flip": True}},
    "evaluate": {"alphas": 3, "on": ["test", "test:50", "train"], "augmented": True},
    "train": {"to": "10it"},
    "seeds": [3, 8],
}


def study(*sets: str) -> InitToFinalStudy:
    found = from_mapping(override(STUDY, sets))
    assert isinstance(found, InitToFinalStudy)
    return found


def by_hand(
    pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], split: str
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Each picture of a split moved within a frame of zeros and turned over, as its own draws say."""
    stream, found = Noise.of(noise.derive("evaluation", split)), []
    draws = {
        name: stream.augmentation_words(len(pictures), 0, name) >> np.uint64(32)
        for name in ("crop-y", "crop-x", "flip")
    }
    down, right = ((draws[name].astype(object) * (2 * CROP + 1)) >> 32 for name in ("crop-y", "crop-x"))
    for index, picture in enumerate(pictures[:, 0]):
        frame = np.zeros((8 + 2 * CROP, 8 + 2 * CROP), np.uint8)
        frame[CROP : CROP + 8, CROP : CROP + 8] = picture
        cut = frame[down[index] : down[index] + 8, right[index] : right[index] + 8]
        found.append(cut[:, ::-1] if draws["flip"][index] >= 2**31 else cut)
    return found


@pytest.fixture(scope="module")
def found(store: Store) -> Expansion:
    run(study(), store.root, workers=0)
    return expand(study())


def request(expansion: Expansion, seed: int, split: str) -> Request:
    (one,) = (r for r in expansion.requests if (r.labels["seed"], r.labels["split"]) == (seed, split))
    return one


def losses(store: Store, measure: PathMeasure) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return load(store.blob(store.get(measure.key)))["loss"]


@pytest.mark.parametrize("split", ["test", "train"])
def test_losses_are_those_of_pictures_moved_and_turned_over_by_hand(store: Store, found: Expansion, split: str) -> None:
    measure, whole = request(found, 3, split).whole, getattr(datasets.load("digits"), split)
    inputs = Inputs(store, Setting())
    a, b = (inputs.load(end).weights for end in measure.path.ends)
    indices = inputs.indices(measure.part, len(whole.inputs), "examples")
    chosen = np.arange(len(whole.inputs)) if indices is None else indices
    moved = np.stack(by_hand(whole.inputs, split))[chosen, None].astype(np.float32)
    ready = (moved / 255 - measure.data.mean[0]) / measure.data.std[0]
    model = built(measure.path.ends[0].model, 0)
    expected = evaluate_path(
        model, paths.line(a, b), (torch.from_numpy(ready), torch.from_numpy(whole.labels[chosen])), alphas=3
    )
    np.testing.assert_allclose(losses(store, measure), expected.per_example_loss, rtol=2e-4, atol=2e-5)  # of float32
    plain = evaluate_path(
        model,
        paths.line(a, b),
        (
            (whole.inputs[chosen].astype(np.float32) / 255 - measure.data.mean[0]).astype(np.float32)
            / np.float32(measure.data.std[0]),
            whole.labels[chosen],
        ),
        alphas=3,
    )
    assert np.abs(losses(store, measure)[1:] - plain.per_example_loss[1:]).max() > 0.05  # it does something


def test_a_part_shows_the_same_pictures_as_the_whole_and_to_every_network(store: Store, found: Expansion) -> None:
    inputs = Inputs(store, Setting())
    few, all_ = (request(found, 3, split).whole for split in ("test:50", "test"))
    picked = inputs.indices(few.part, 360, "examples")
    np.testing.assert_allclose(losses(store, few), losses(store, all_)[:, picked], rtol=1e-5, atol=1e-6)
    other = request(found, 8, "test").whole
    shown = [inputs.examples(m.data, m.part, m.path.ends[0].model).inputs for m in (all_, other)]
    assert torch.equal(*shown)


def test_networks_are_trained_and_named_as_without_it(found: Expansion) -> None:
    plain = expand(study("evaluate.augmented=false"))
    for seed in (3, 8):
        with_, without = (request(one, seed, "test").measure for one in (found, plain))
        assert [end.key for end in with_.path.ends] == [end.key for end in without.path.ends]
        assert with_.key != without.key
        assert "augment" not in without.part.describe()
        assert with_.part.describe()["augment"] == {"crop": CROP, "flip": True}
        assert (with_.label, without.label) == ("line on test, augmented, 3 points", "line on test, 3 points")


def test_the_top_of_a_barrier_is_looked_for_on_the_same_pictures() -> None:
    start = ['start.pretrain={to="10it"}', 'start.at="top"', 'evaluate.on=["test"]']
    found, plain = (expand(study(*start, *more)) for more in ([], ["evaluate.augmented=false"]))
    assert not {node.key for node in found.targets} & {node.key for node in plain.targets}


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["recipe.augment={}"], "found none"),
        (["recipe.augment={crop=2, brightness=0.1}"], "found brightness"),
    ],
)
def test_what_cannot_be_shown_is_refused(sets: list[str], sentence: str) -> None:
    expected = "evaluate.augmented: expected a recipe whose augment crops or flips and no more, "
    with pytest.raises(BadStudy, match=expected + sentence):
        expand(study(*sets))


def test_a_pretraining_is_shown_its_own_crops_and_flips_and_no_brightness() -> None:
    def top(*sets: str) -> PathMeasure:
        start = ['start.pretrain={to="10it"}', 'start.at="top"', 'evaluate.on=["test"]']
        (source, _) = expand(study(*start, *sets)).sources
        at = source[1].at
        assert isinstance(at, Choose)
        assert isinstance(at.source, PathMeasure)
        return at.source

    assert top("start.pretrain.recipe={augment={crop=1}}").part.describe()["augment"] == {"crop": 1, "flip": True}
    off = top("start.pretrain.recipe={augment={crop=0, flip=false}}")
    assert off.key == top("start.pretrain.recipe={augment={crop=0, flip=false}}", "evaluate.augmented=false").key
    with pytest.raises(BadStudy, match=r"start.pretrain.recipe.augment: evaluate.augmented shows .* not brightness"):
        top("start.pretrain.recipe={augment={crop=1, flip=false, brightness=0.2}}")


def test_tables_and_labels_say_so(store: Store, found: Expansion) -> None:
    tables = run(study(), store.root, workers=0)
    assert set(tables["paths"]["augmented"]) == {True}
    plain = run(study("evaluate.augmented=false"), store.root, workers=0)
    assert "augmented" not in plain["paths"].columns
    both = run(study('variants={moved={}, "as they are"={evaluate={augmented=false}}}'), store.root, workers=0)
    for name, seen, one in (("moved", True, tables), ("as they are", None, plain)):
        of = both["paths"].where(variant=name)
        assert set(of["augmented"]) == {seen}
        assert of["chord"] == one["paths"]["chord"]


def test_pictures_in_colour_are_those_of_training() -> None:
    """Bit for bit the batch that training's augmenter gives, over several cuts of a set."""
    inputs = torch.from_numpy(noise.words(2500 * 3 * 5 * 4, "colour").astype(np.uint8).reshape(2500, 3, 5, 4))
    augmenter = Augmenter(Augment(crop=2, flip=True), Noise.of(5), 3000, 0, torch.device("cpu"))
    places = torch.from_numpy(noise.order(3000, "places")[:2500])
    examples = Examples(inputs, torch.zeros(2500, dtype=torch.long), (0.4,) * 3, (0.2,) * 3, pixels=True)
    moved = examples.augmented(augmenter, places)
    assert moved.inputs.dtype == torch.uint8
    assert torch.equal(moved.inputs, augmenter(inputs, places))
    assert torch.equal(examples.inputs, inputs)
