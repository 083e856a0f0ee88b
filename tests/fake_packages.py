"""torchvision, timm and transformers as far as the adapters call them, written into a folder to be imported from.

Their networks are tiny, and named and laid out as the real ones are. Nothing here is ever installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

VERSION = "9.8.7"

NETS = '''
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        return torch.relu(self.bn1(self.conv1(x)) + self.downsample(x))

class ResNet(nn.Module):
    def __init__(self, num_classes=1000, in_chans=3):
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        for index, planes in enumerate((4, 5, 6, 7)):
            inputs = 4 if index == 0 else planes - 1
            setattr(self, f"layer{index + 1}", nn.Sequential(Block(inputs, planes, 1), Block(planes, planes, 2)))
        self.fc = nn.Linear(7, num_classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))

class VGG(nn.Module):
    def __init__(self, norm, num_classes=1000, dropout=0.5):
        super().__init__()
        layers, channels = [], 3
        for outputs in (4, 6):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1)] + [nn.BatchNorm2d(outputs)] * norm
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        first = (nn.Linear(24, 9), nn.ReLU(), nn.Dropout(dropout))
        second = (nn.Linear(9, 8), nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Sequential(*first, *second, nn.Linear(8, num_classes))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ln = nn.LayerNorm(width)
        self.mlp = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.mlp(self.ln(x)))

class ViT(nn.Module):
    """The layout of the classes of that name in torchvision and timm, without attention."""
    def __init__(self, names, size, channels, classes, patch=4, width=6, depth=3):
        super().__init__()
        height, width_ = size
        self.names = token, patches, inner, place, layers, norm, head = names
        tokens = (height // patch) * (width_ // patch)
        setattr(self, token, nn.Parameter(torch.randn(1, 1, width)))
        setattr(self, patches, nn.Conv2d(channels, width, patch, patch))
        encoder = self
        if inner:
            encoder = self.encoder = nn.Module()
        setattr(encoder, place, nn.Parameter(torch.randn(1, tokens + 1, width)))
        setattr(encoder, layers, nn.Sequential(*(Layer(width) for _ in range(depth))))
        setattr(encoder, norm, nn.LayerNorm(width))
        setattr(self, head, nn.Linear(width, classes))

    def forward(self, x):
        token, patches, inner, place, layers, norm, head = self.names
        encoder = self.encoder if inner else self
        x = getattr(self, patches)(x).flatten(2).transpose(1, 2)
        x = torch.cat([getattr(self, token).expand(len(x), -1, -1), x], 1)
        x = x + getattr(encoder, place)  # fails on pictures of another size
        return getattr(self, head)(getattr(encoder, norm)(getattr(encoder, layers)(x)).mean(1))
'''

TORCHVISION = {
    "torchvision/__init__.py": "from torchvision import models\n",
    "torchvision/models/__init__.py": """
        from torch import nn
        from torchvision.models import nets, zoo
        from torchvision.models.segmentation import nets as more

        MODELS = {f.__name__: f for f in (zoo.resnet18, zoo.vgg11, zoo.vgg11_bn, zoo.vit_b_16, zoo.googlenet, more.fcn)}

        def list_models(module=None):
            own = [n for n, f in MODELS.items() if module is None or f.__module__.rpartition(".")[0] == module.__name__]
            return sorted(own)

        def get_model_builder(name):
            return MODELS[name.lower()]

        def get_model(name, **config):
            return get_model_builder(name)(**config)
        """,
    "torchvision/models/zoo.py": """
        from torchvision.models.nets import VGG, ResNet, ViT

        def resnet18(*, weights=None, progress=True, **kwargs):
            assert weights is None
            return ResNet(**kwargs)

        def vgg11(*, weights=None, progress=True, **kwargs):
            return VGG(False, **kwargs)

        def vgg11_bn(*, weights=None, progress=True, **kwargs):
            return VGG(True, **kwargs)

        def vit_b_16(*, weights=None, progress=True, image_size=224, num_classes=1000):
            names = ("class_token", "conv_proj", True, "pos_embedding", "layers", "ln", "heads")
            return ViT(names, (image_size, image_size), 3, num_classes)

        def googlenet(*, weights=None, progress=True, aux_logits=True, init_weights=None, num_classes=1000):
            made = ResNet(num_classes)
            made.told = (aux_logits, init_weights)
            return made
        """,
    "torchvision/models/nets.py": NETS,
    "torchvision/models/segmentation/__init__.py": "",
    "torchvision/models/segmentation/nets.py": "def fcn(*, weights=None, weights_backbone='ImageNet'): ...\n",
}

TIMM = {
    "timm/__init__.py": """
        from types import SimpleNamespace
        from timm.nets import ResNet, ViT

        def resnet18(**kwargs):
            return ResNet(**kwargs)

        def vit_tiny(img_size=224, in_chans=3, num_classes=1000, depth=3):
            names = ("cls_token", "patch_embed", False, "pos_embed", "blocks", "norm", "head")
            size = img_size if isinstance(img_size, tuple) else (img_size, img_size)
            return ViT(names, size, in_chans, num_classes, depth=depth)

        def list_models():
            return ["resnet18", "vit_tiny"]

        def get_pretrained_cfg(name):
            return SimpleNamespace(fixed_input_size=name == "vit_tiny")

        def create_model(name, pretrained=False, **kwargs):
            assert not pretrained
            return {"resnet18": resnet18, "vit_tiny": vit_tiny}[name](**kwargs)
        """,
    "timm/nets.py": NETS,
}

TRANSFORMERS = {
    "transformers/__init__.py": """
        from transformers.configs import CONFIG_MAPPING, AutoConfig
        from transformers.nets import AutoModelForImageClassification
        """,
    "transformers/models/__init__.py": "",
    "transformers/models/auto/__init__.py": "",
    "transformers/models/auto/modeling_auto.py": """
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES = {
            "resnet": "ResNetForImageClassification",
            "vit": ("ViTForImageClassification", "ViTForImageClassificationWithTeacher"),
            "timm_wrapper": "TimmWrapperForImageClassification",
        }
        """,
    "transformers/configs.py": """
        class Config:
            '''Takes anything, as the real ones did for years.'''
            own = {}

            def __init__(self, num_labels=None, id2label=None, **more):
                if num_labels is not None and id2label is not None and len(id2label) != num_labels:
                    raise ValueError("num_labels and id2label disagree")
                if "torch_dtype" in more:  # the field's old name
                    more["dtype"] = more.pop("torch_dtype")
                self.id2label = id2label or {i: f"LABEL_{i}" for i in range(num_labels or 2)}
                for name, value in {**self.own, "dtype": None, "architectures": None, **more}.items():
                    setattr(self, name, value)

            @property
            def num_labels(self):
                return len(self.id2label)

            def to_dict(self):
                return dict(vars(self), model_type=self.model_type)

        class ResNetConfig(Config):
            model_type = "resnet"
            own = {"num_channels": 3, "embedding_size": 4, "hidden_sizes": [4, 5, 6, 7], "depths": [1, 2, 1, 1]}

        class ViTConfig(Config):
            model_type = "vit"
            own = {"num_channels": 3, "image_size": 224, "hidden_size": 6, "num_hidden_layers": 3, "patch_size": 4}

        class BertConfig(Config):
            model_type = "bert"

        CONFIG_MAPPING = {kind.model_type: kind for kind in (ResNetConfig, ViTConfig, BertConfig)}

        class AutoConfig:
            @classmethod
            def for_model(cls, model_type, **kwargs):
                return CONFIG_MAPPING[model_type](**kwargs)
        """,
    "transformers/nets.py": """
        from types import SimpleNamespace
        import torch
        from torch import nn

        def tree(**children):
            made = nn.Module()
            for name, child in children.items():
                setattr(made, name, child)
            return made

        class Conv(nn.Module):
            def __init__(self, inputs, outputs, side, stride):
                super().__init__()
                self.convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
                self.normalization = nn.BatchNorm2d(outputs)

            def forward(self, x):
                return self.normalization(self.convolution(x))

        class Unit(nn.Module):
            def __init__(self, inputs, outputs, stride):
                super().__init__()
                same = inputs == outputs and stride == 1
                self.shortcut = nn.Identity() if same else Conv(inputs, outputs, 1, stride)
                self.layer = nn.Sequential(Conv(inputs, outputs, 3, stride), nn.ReLU(), Conv(outputs, outputs, 3, 1))

            def forward(self, x):
                return torch.relu(self.layer(x) + self.shortcut(x))

        class Classifier(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.config = config

            def forward(self, pixel_values=None, labels=None, return_dict=None):
                logits = self.logits(pixel_values)
                return SimpleNamespace(loss=None, logits=logits) if return_dict else (logits,)

        class ResNetForImageClassification(Classifier):
            def __init__(self, config):
                super().__init__(config)
                widths, stages = [config.embedding_size, *config.hidden_sizes], []
                for index, depth in enumerate(config.depths):
                    inputs, outputs = widths[index : index + 2]
                    units = [Unit(inputs, outputs, 2 if index else 1)]
                    units += [Unit(outputs, outputs, 1) for _ in range(depth - 1)]
                    stages.append(tree(layers=nn.Sequential(*units)))
                embedder = tree(embedder=Conv(config.num_channels, config.embedding_size, 7, 2))
                self.resnet = tree(embedder=embedder, encoder=tree(stages=nn.ModuleList(stages)))
                self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1], config.num_labels))

            def logits(self, x):
                x = torch.relu(self.resnet.embedder.embedder(x))
                for stage in self.resnet.encoder.stages:
                    x = stage.layers(x)
                return self.classifier(x.mean((2, 3)))

        class ViTForImageClassification(Classifier):
            def __init__(self, config):
                super().__init__(config)
                width, size = config.hidden_size, config.image_size
                height, across = (size, size) if isinstance(size, int) else size
                patches = nn.Conv2d(config.num_channels, width, config.patch_size, config.patch_size)
                embeddings = tree(patch_embeddings=patches)
                count = (height // config.patch_size) * (across // config.patch_size)
                embeddings.position_embeddings = nn.Parameter(torch.randn(1, count, width))
                layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
                                       for _ in range(config.num_hidden_layers))
                self.vit = tree(embeddings=embeddings, encoder=tree(layer=layers), layernorm=nn.LayerNorm(width))
                self.classifier = nn.Linear(width, config.num_labels)

            def logits(self, x):
                x = self.vit.embeddings.patch_embeddings(x).flatten(2).transpose(1, 2)
                x = x + self.vit.embeddings.position_embeddings
                for layer in self.vit.encoder.layer:
                    x = x + torch.tanh(layer(x))
                return self.classifier(self.vit.layernorm(x).mean(1))

        class ViTForImageClassificationWithTeacher(ViTForImageClassification): ...

        class AutoModelForImageClassification:
            @classmethod
            def from_config(cls, config):
                kind = ResNetForImageClassification
                if config.model_type == "vit":  # of the variants the one that the configuration names
                    kind = next(globals()[name] for name in config.architectures if name in globals())
                return kind(config) if config.dtype is None else kind(config).to(getattr(torch, config.dtype))
        """,
}

PACKAGES = {"torchvision": TORCHVISION, "timm": TIMM, "transformers": TRANSFORMERS}


def write(folder: Path, *names: str, version: str | None = VERSION) -> Path:
    """The folder, with these packages in it, installed as releases of this version (None: as a checkout)."""
    for name in names or tuple(PACKAGES):
        for file, content in PACKAGES[name].items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(dedent(content), encoding="utf-8")
        if version is not None:
            about = folder / f"{name}-{version}.dist-info" / "METADATA"
            about.parent.mkdir(exist_ok=True)
            about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return folder


def forget_imports() -> None:
    """Take the packages out of what is imported, the real ones too."""
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


def at_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a fixture yields from: the packages written and importable, and forgotten after."""
    forget_imports()
    monkeypatch.syspath_prepend(str(write(folder)))
    yield folder
    forget_imports()
