"""Image classifiers of Hugging Face transformers: ``hf:resnet`` by the kind of its configuration, or by a file of one.

``hf:resnet`` has the defaults of that kind; ``hf:./config.json`` (anything with a ``/`` or the ending ``.json``) reads
a file as published models have beside their weights. Arguments are fields of the configuration and come before
what the file says. A model returns its logits, and its tensors have their own names.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from isthmus.adapters import Adapter, Asked
from isthmus.errors import BadInput, UnknownName, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]

# of a file: its kind is said apart; code from elsewhere is not run; numbers are in float32 whatever they were saved in
PASSED_OVER = {"model_type", "auto_map", "dtype", "torch_dtype", "quantization_config", "_name_or_path"}

STAGED = ("resnet.embedder.", "resnet.encoder.stages.")


def _file(model: str) -> Path | None:
    return Path(model).expanduser() if "/" in model or model.endswith(".json") else None


def _classes(package: ModuleType) -> dict[str, Any]:
    """The names of the classes of image classifiers by kind; several where there are variants."""
    auto = importlib.import_module(f"{package.__name__}.models.auto.modeling_auto")
    # one kind is a door to timm, whose version would have to be part of what names a result
    found = dict(auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    return {kind: names for kind, names in found.items() if kind != "timm_wrapper"}


def _build(package: ModuleType, asked: Asked) -> nn.Module:
    what = f"Model {asked.name}"
    content = {} if asked.content is None else _parsed(what, asked.content)
    kind, known = content.get("model_type", asked.model), _classes(package)
    if kind not in known:
        raise UnknownName(f"model of {package.__name__}", str(kind), known)
    default = package.AutoConfig.for_model(kind).to_dict()
    fields = {*default, "num_labels"} - PASSED_OVER
    for name in asked.further:
        if name not in fields:
            raise BadInput(f"{what} takes no argument {name!r}{nearest(name, [*fields, 'classes', 'input_shape'])}")
    arguments = asked.saying(**_translated(what, asked, default))
    content = {name: value for name, value in content.items() if name not in PASSED_OVER}
    if "num_labels" in arguments:
        content = {name: value for name, value in content.items() if name not in ("id2label", "label2id")}
    if not isinstance(known[kind], str):  # the first of the variants, unless another is asked for
        content = {"architectures": list(known[kind][:1]), **content}
    config = package.AutoConfig.for_model(kind, **{**content, **arguments})
    return _returning_logits(package.AutoModelForImageClassification.from_config(config))


def _parsed(what: str, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise BadInput(f"{what}: the file is no JSON ({error}).") from None
    if not isinstance(found, dict) or "model_type" not in found:
        raise BadInput(f"{what}: expected the configuration of a model, with a model_type, found none in the file.")
    return found


def _translated(what: str, asked: Asked, default: Mapping[str, Any]) -> dict[str, Any]:
    """``classes`` and ``input_shape`` as fields of the configuration, those that it has."""
    found: dict[str, Any] = {} if asked.classes is None else {"num_labels": asked.classes}
    if asked.input_shape is None:
        return found
    channels, height, width = asked.input_shape
    if "num_channels" in default:
        found["num_channels"] = channels
    elif channels != 3:
        raise BadInput(f"{what}: argument input_shape: this network takes 3 channels, found {channels}.")
    if "image_size" in default:
        found["image_size"] = height if height == width else [height, width]
    return found


def _returning_logits(model: nn.Module) -> nn.Module:
    """The model itself, as one of a class of its own whose ``forward`` returns one tensor.

    A module around it would put a prefix before the name of every tensor.
    """
    kind: Any = type(model)
    model.__class__ = _logits(kind)
    return model


@functools.cache
def _logits(kind: Any) -> Any:
    class Logits(kind):  # type: ignore[misc]
        """An image classifier that returns its logits."""

        def forward(self, pixels: Tensor) -> Tensor:
            """(N, channels, H, W) to (N, classes)."""
            scores: Tensor = super().forward(pixels, return_dict=True).logits
            return scores

        def __reduce__(self) -> tuple[Any, ...]:
            return _revived, (kind,), self.__getstate__()

    Logits.__name__, Logits.__qualname__ = kind.__name__, kind.__qualname__
    return Logits


def _revived(kind: Any) -> Any:
    """An empty model, for pickle and deepcopy: the class has no name under which they would find it."""
    made = _logits(kind)
    return made.__new__(made)


def _blocks(name: str, model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    from isthmus.models import blocking

    if not all(name.startswith((*STAGED, "classifier.")) for name in model.state_dict()):
        return blocking.opened(model)
    count = len(list(model.get_submodule("resnet.encoder.stages").children()))
    stages = {f"stage{index + 1}": (f"{STAGED[1]}{index}.*",) for index in range(count)}
    return {"stem": (f"{STAGED[0]}*",), **stages, "fc": ("classifier.*",)}


ADAPTER = Adapter(
    package="transformers",
    extra="hf",
    summary="Image classifiers of transformers by kind or by a file, such as hf:resnet or hf:./config.json.",
    known=_classes,
    build=_build,
    blocks=_blocks,
    file=_file,
)
