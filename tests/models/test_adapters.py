"""Models of other packages, by stand-ins: how they are built, divided, named, and what is said when they cannot be."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import fake_packages
from isthmus import adapters, models, origins
from isthmus.errors import BadInput, UnknownName

CONFIG = {
    "model_type": "resnet",
    "depths": [1, 1, 2, 1],
    "hidden_sizes": [4, 5, 3, 6],
    "id2label": {"0": "cat", "1": "dog", "2": "eel"},
    "torch_dtype": "float16",
    "auto_map": {"AutoModelForImageClassification": "somewhere--their.Code"},
}


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    yield from fake_packages.at_hand(tmp_path / "site", monkeypatch)


def built(name: str, **arguments: Any) -> Any:
    return models.initialise(name, 7, **arguments)


# --- names and arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("resnet18", "ours"),
        ("torchvision:resnet18", "package"),
        ("hf:./config.json", "package"),
        ("torchvision.models:resnet18", "user"),
        ("nets:resnet18", "user"),
    ],
)
def test_a_prefix_without_a_dot_names_a_package(name: str, whose: str) -> None:
    assert origins.of(name) == whose
    assert adapters.is_adapter(name) == (whose == "package")


def test_every_file_of_the_folder_is_a_prefix() -> None:
    files = {path.stem for path in Path(adapters.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(adapters.names()) == files == {"torchvision", "timm", "hf"}


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_classes_and_input_shape_are_said_in_the_packages_own_words() -> None:
    assert shapes(built("torchvision:resnet18", classes=5, input_shape=(3, 40, 24)))["fc.weight"] == (5, 7)
    assert shapes(built("torchvision:vit_b_16", input_shape=(3, 12, 12)))["encoder.pos_embedding"] == (1, 10, 6)
    timm = shapes(built("timm:vit_tiny", classes=5, input_shape=(2, 8, 12), depth=1))
    assert (timm["patch_embed.weight"], timm["pos_embed"], timm["head.weight"]) == ((6, 2, 4, 4), (1, 7, 6), (5, 6))
    assert shapes(built("timm:resnet18", input_shape=(2, 9, 13)))["conv1.weight"] == (4, 2, 7, 7)  # takes no img_size
    hf = shapes(built("hf:vit", classes=5, input_shape=(2, 8, 12), hidden_size=9))
    assert hf["vit.embeddings.patch_embeddings.weight"] == (9, 2, 4, 4)
    assert hf["vit.embeddings.position_embeddings"] == (1, 6, 9)
    assert shapes(built("hf:vit", input_shape=(1, 12, 12)))["vit.embeddings.position_embeddings"] == (1, 9, 6)
    assert shapes(built("hf:resnet", classes=5, input_shape=(2, 8, 12)))["classifier.1.weight"] == (5, 7)


def test_what_returns_more_than_scores_or_warns_is_told_not_to() -> None:
    assert built("torchvision:googlenet").told == (False, True)
    assert built("torchvision:googlenet", aux_logits=True).told == (True, True)


def test_a_configuration_of_a_file_comes_after_the_arguments() -> None:
    model = built("hf:./config.json", classes=4, hidden_sizes=[4, 5, 6, 8])
    assert shapes(model)["classifier.1.weight"] == (4, 8)
    assert "resnet.encoder.stages.2.layers.1.layer.0.convolution.weight" in shapes(model)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32, torch.int64}
    assert not hasattr(model.config, "auto_map")  # names code from elsewhere
    assert shapes(built("hf:config.json"))["classifier.1.weight"] == (3, 6)


def test_of_variants_the_first_is_built_unless_the_file_names_another(tmp_path: Path) -> None:
    assert type(built("hf:vit")).__name__ == "ViTForImageClassification"
    named = {"model_type": "vit", "architectures": ["ViTForImageClassificationWithTeacher"]}
    (tmp_path / "teacher.json").write_text(json.dumps(named), encoding="utf-8")
    assert type(built("hf:teacher.json")).__name__ == "ViTForImageClassificationWithTeacher"


def test_a_wrapped_model_returns_logits_and_keeps_its_names_and_survives_copies() -> None:
    from transformers import nets  # type: ignore[import-not-found]

    model = built("hf:resnet", classes=5)
    assert isinstance(model, nets.ResNetForImageClassification)
    assert all(name.startswith(("resnet.", "classifier.")) for name in model.state_dict())
    x = torch.randn(3, 3, 16, 20, generator=torch.Generator().manual_seed(2))
    plain = nets.ResNetForImageClassification(model.config)
    plain.load_state_dict(model.state_dict())
    expected = plain(x, return_dict=True).logits
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(one(x), expected)
        assert type(one) is type(model)
    assert not isinstance(plain(x), torch.Tensor)  # the package's own class is as it was


# --- blocks -----------------------------------------------------------------------------------------------------------


def layers(place: str) -> list[str]:
    return [f"{place}.{index}" for index in range(3)]


STAGES = ["stem", "stage1", "stage2", "stage3", "stage4", "fc"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision:resnet18", STAGES),
        ("timm:resnet18", STAGES),
        ("hf:resnet", STAGES),
        ("torchvision:vgg11", ["conv1", "conv2", "fc1", "fc2", "fc3"]),
        ("torchvision:vgg11_bn", ["conv1", "conv2", "fc1", "fc2", "fc3"]),
        (
            "torchvision:vit_b_16",
            ["class_token", "conv_proj", "encoder.pos_embedding", *layers("encoder.layers"), "encoder.ln", "heads"],
        ),
        (
            "timm:vit_tiny",
            ["cls_token", "pos_embed", "patch_embed", *layers("blocks"), "norm", "head"],
        ),
        ("hf:vit", ["vit.embeddings", *layers("vit.encoder.layer"), "vit.layernorm", "classifier"]),
    ],
)
def test_blocks(name: str, expected: list[str]) -> None:
    assert list(models.blocks(name, built(name))) == expected


def test_a_convolution_and_its_normalisation_are_one_block() -> None:
    blocks = models.blocks("torchvision:vgg11_bn", built("torchvision:vgg11_bn"))
    assert blocks["conv2"] == ("features.4.*", "features.5.*")
    assert blocks["fc2"] == ("classifier.3.*",)


# --- what names a result ----------------------------------------------------------------------------------------------


def test_the_source_changes_with_the_version_and_the_package_is_not_imported(packages: Path) -> None:
    first = {name: origins.source(f"{name}:resnet18") for name in ("torchvision", "timm", "hf")}
    assert len(set(first.values())) == 3
    fake_packages.write(packages, "timm", version="9.8.8")
    (packages / "timm-9.8.7.dist-info" / "METADATA").unlink()
    (packages / "timm-9.8.7.dist-info").rmdir()
    assert origins.source("timm:resnet18") != first["timm"]
    assert origins.source("torchvision:vit_b_16") == first["torchvision"]  # a release stands for all of its code
    assert not set(fake_packages.PACKAGES) & set(sys.modules)


def test_a_checkout_is_named_by_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = origins.source("timm:resnet18")
    # found before the release, whose metadata is still there and not about these files
    monkeypatch.syspath_prepend(str(fake_packages.write(tmp_path / "checkout", "timm", version=None)))
    first = origins.source("timm:resnet18")
    assert first != released
    assert origins.source("timm:resnet18") == first
    with (tmp_path / "checkout" / "timm" / "nets.py").open("a") as file:
        file.write("# changed\n")
    assert origins.source("timm:resnet18") != first


def test_a_file_is_part_of_the_source_but_not_of_the_code(tmp_path: Path) -> None:
    name = "hf:./config.json"
    before, code = origins.source(name), origins.code(name)
    assert (code, origins.source("hf:resnet")) == (origins.source("hf:resnet"), code)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "depths": [2, 1, 1, 1]}), encoding="utf-8")
    assert origins.source(name) not in (before, code)
    assert origins.code(name) == code


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        (
            "torchvision:resnet81",
            {},
            "no model of torchvision named 'resnet81'; did you mean \"resnet18\"? Known: goog",
        ),
        ("torchvision:fcn", {}, "There is no model of torchvision named 'fcn'"),
        (
            "timm:vit_tyni",
            {},
            "There is no model of timm named 'vit_tyni'; did you mean \"vit_tiny\"? Known: resnet18,",
        ),
        (
            "hf:rsenet",
            {},
            "There is no model of transformers named 'rsenet'; did you mean \"resnet\"? Known: resnet, vit.",
        ),
        ("hf:bert", {}, "There is no model of transformers named 'bert'"),
        ("hf:timm_wrapper", {}, "There is no model of transformers named 'timm_wrapper'"),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "the argument weights is about trained weights"),
        ("timm:resnet18", {"pretrained": True}, "the argument pretrained is about trained weights"),
        ("timm:resnet18", {"classes": 3, "num_classes": 4}, "the argument num_classes says again what classes or"),
        ("hf:vit", {"input_shape": (1, 8, 8), "image_size": 8}, "the argument image_size says again what classes or"),
        ("torchvision:resnet18", {"depth": 3}, "torchvision takes no argument 'depth' for it; leave it out, or see"),
        ("hf:vit", {"hiden_size": 8}, "takes no argument 'hiden_size'; did you mean \"hidden_size\"? Known: architect"),
        ("hf:resnet", {"hidden_sizes": [4]}, "transformers refuses these arguments with ValueError: not enough values"),
        ("torchvision:vit_b_16", {"image_size": "big"}, "torchvision refuses these arguments with TypeError: "),
        ("torchvision:resnet18", {"input_shape": (1, 8, 8)}, "torchvision's networks take 3 channels, found 1; timm's"),
        ("torchvision:vit_b_16", {"input_shape": (3, 8, 12)}, "this network takes square pictures, found 8x12."),
        ("hf:none.json", {}, "the file none.json cannot be read (No such file or directory); names of a hub are not"),
        ("hf:them/their-resnet", {}, "the file them/their-resnet cannot be read (No such file or directory); names of"),
        ("hf:./site", {}, "the file site cannot be read (Is a directory)"),
        ("hf:broken.json", {}, "the file is no JSON (Expecting"),
        ("hf:list.json", {}, "expected the configuration of a model, with a model_type, found none in the file."),
        ("hf:text.json", {}, "There is no model of transformers named 'bert'"),
    ],
)
def test_what_goes_wrong_is_one_sentence(tmp_path: Path, name: str, arguments: dict[str, Any], told: str) -> None:
    for file, text in {"broken": "{", "list": "[3]", "text": '{"model_type": "bert"}'}.items():
        (tmp_path / f"{file}.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        built(name, **arguments)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value) or isinstance(caught.value, UnknownName)


def test_a_package_that_is_not_there(packages: Path) -> None:
    for file in packages.glob("timm*/**/*.*"):
        if file.is_file():
            file.unlink()
    (packages / "timm").rename(packages / "gone")
    name, wanted = "timm:resnet18", "timm, which is not installed: pip install 'isthmus[vision]'."
    for ask in (built, origins.source, models.describe):
        with pytest.raises(BadInput) as caught:
            ask(name)
        assert str(caught.value) == f"Model {name} needs the package {wanted}"
    assert adapters.overview("timm").endswith("timm is not installed: pip install 'isthmus[vision]'.")


def test_a_package_that_does_not_import(packages: Path) -> None:
    (packages / "torchvision" / "models" / "nets.py").write_text("raise RuntimeError('no operator nms\\nat')")
    with pytest.raises(BadInput) as caught:
        built("torchvision:resnet18")
    assert str(caught.value) == (
        "Model torchvision:resnet18: torchvision 9.8.7 is installed but does not import (RuntimeError: no operator"
        " nms); install a build of it that fits this torch, with pip install 'isthmus[vision]'."
    )
    (packages / "transformers" / "models" / "auto" / "modeling_auto.py").write_text(
        "try:\n    import no_such_module_at_all\nexcept ImportError as error:\n    raise OSError('failed') from error"
    )
    with pytest.raises(BadInput, match=r"^Model hf:resnet: transformers 9.8.7 is installed .* import \(ModuleNotFound"):
        built("hf:resnet")
    with (packages / "timm" / "__init__.py").open("a") as file:
        file.write("\ndef create_model(name, **arguments):\n    import timm.something_new\n")
    with pytest.raises(
        BadInput, match=r"^Model timm:resnet18: timm 9.8.7 is installed but does not import \(ModuleNotFo"
    ):
        built("timm:resnet18")


# --- what is told -----------------------------------------------------------------------------------------------------


def test_what_is_told_of_a_model_and_of_an_adapter() -> None:
    assert models.describe("torchvision:vgg11_bn") == (
        "vgg11_bn of torchvision 9.8.7. Arguments: classes, input_shape, and those that its package gives it. Its"
        " tensors have the names and shapes of vgg11(norm='batch', head='imagenet', classes=1000, input_shape=(3, 224,"
        " 224))."
    )
    assert models.describe("timm:vit_tiny").endswith("those that its package gives it.")
    assert adapters.overview("hf").endswith("hf:./config.json. transformers 9.8.7 is installed.")
    with pytest.raises(UnknownName, match=r"did you mean \"resnet18\""):
        models.describe("timm:resnet19")
