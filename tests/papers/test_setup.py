"""The set-up of a row as a table: what a study says, variant by variant, in the numbers of a paper."""

from __future__ import annotations

from isthmus.papers.setup import described
from isthmus.study import from_mapping

BRANCH = {
    "name": "copies",
    "family": "branch",
    "seeds": [3, 5, 8],
    "model": {"name": "resnet20", "width": 12},
    "data": {"name": "cifar10", "examples": 7000},
    "recipe": {
        "batch_size": 96,
        "optimizer": {"name": "sgd", "lr": 0.2, "momentum": 0.8, "weight_decay": 3e-4},
        "schedule": {"milestones": ["60ep", "90ep"], "factor": 0.2},
        "augment": {"crop": 4, "flip": True},
    },
    "branch": {"at": ["3ep", "700it"], "lengths": ["2ep"], "children": 3, "buffers": "keep"},
    "merge": {"after": "4ep", "every": "2ep", "factor": 0.1, "warmup": "30it"},
    "evaluate": {"alphas": [0.0, 0.4, 1.0], "norm_stats": "recompute"},
    "variants": {
        "base": {},
        "warm": {"recipe": {"schedule": {"warmup": "100it"}}, "recipe.optimizer.lr": 0.3},
        "again": {
            "start": {
                "pretrain": {
                    "to": "9ep",
                    "until": {"accuracy": 0.75},
                    "data": {"random_labels": 4},
                    "recipe": {"augment": {}, "schedule": {"milestones": ["5ep", "7ep"]}},
                },
                "at": "top",
                "offset": -5,
                "clip": True,
            }
        },
    },
}
ONE = {
    "name": "one",
    "family": "init-to-final",
    "model": {"name": "mlp", "hidden": [20, 30]},
    "data": {"name": "spiral"},
    "recipe": {
        "batch_size": 50,
        "optimizer": {
            "name": "adam",
            "lr": 2e-3,
            "by_block": [{"blocks": "barrier", "factor": 0.1, "weight_decay": 0}],
        },
    },
    "train": {"to": "60ep", "until": {"accuracy": 0.99, "on": "test"}, "blocks": ["fc1", "fc2"]},
    "evaluate": {"alphas": 21, "on": ["test", "train:100"], "norm_stats": "interpolate"},
}


def test_a_row_a_variant() -> None:
    base, warm, again = described(from_mapping(BRANCH))
    expected = {
        "variant": "base",
        "network": "resnet20(width=12)",
        "data": "cifar10(examples=7000)",
        "batch": 96,
        "optimizer": "sgd",
        "lr": 0.2,
        "momentum": 0.8,
        "weight_decay": 3e-4,
        "schedule": "x 0.2 at 60ep 90ep",
        "augment": "crop 4 flip",
        "start": "initial weights",
        "k": "3ep 700it",
        "s": "2ep",
        "children": 3,
        "buffers": "keep",
        "merged": "at every s, then 4ep with warm-up over 30it at lr x 0.1",
        "merged_buffers": "reset",
        "looked_at": "every 2ep",
        "copies_go_on": "yes",
        "alphas": "0 0.4 1",
        "on": "test",
        "norm_stats": "recompute",
        "measured_on": "10240 in batches of 256",
        "seeds": 3,
    }
    assert {name: base[name] for name in expected} == expected
    assert (warm["lr"], warm["schedule"]) == (0.3, "warm-up over 100it, x 0.2 at 60ep 90ep")
    told = "trained 9ep, until train accuracy 0.75, data random_labels=4, recipe augment=none milestones=5ep 7ep"
    assert again["start"] == f"{told}, at top-5 or the end of the line"
    assert base["examples"] is None


def test_disjoint_parts_and_scores_are_told() -> None:
    more = {"branch": {"at": ["3ep"], "lengths": ["2ep"], "disjoint": True}, "variants": None}
    scores = {"evaluate": {"on": ["test"], "scores": {"splits": 3, "runs": 7, "at": "9ep", "examples": "train:500"}}}
    (found,) = described(from_mapping({**BRANCH, **more, **scores}))
    assert found["s"] == "2ep, on disjoint parts of the data"
    assert found["on"] == "test and 3 parts of train:500 by el2n (7 runs to 9ep)"


def test_the_trunk_alone() -> None:
    (found,) = described(
        from_mapping({**BRANCH, "branch": {"at": ["4ep"], "trunk_at_k": True}, "merge": None, "variants": None})
    )
    assert (found["k"], found["s"]) == ("4ep", "the trunk alone")
    assert "merged" not in found


def test_a_network_from_initial_to_final_weights() -> None:
    (found,) = described(from_mapping(ONE))
    assert found["variant"] == ""
    assert found["network"] == "mlp(hidden=20x30)"
    assert (found["optimizer"], found["momentum"], found["schedule"]) == ("adam", None, "constant")
    assert found["by_block"] == "barrier: lr x 0.1, weight decay 0"
    assert (found["to"], found["paths"], found["blocks"]) == (
        "60ep, until test accuracy 0.99",
        "initial->final",
        "fc1 fc2",
    )
    assert (found["alphas"], found["on"]) == (21, "test train:100")
    assert found["measured_on"] is None  # statistics that travel the path are not measured
