"""Any folder of pictures: ``train/CLASS/*`` and ``test/CLASS/*`` or ``val/CLASS/*``, as torchvision has them.

Classes are the folders in ``train``, sorted by name. Pictures lie directly in them, in any of the formats BMP, GIF
(the first frame), JPEG, PNG, PPM, TIFF and WebP with 8 bits a channel; other and hidden files do not count.
"""

from __future__ import annotations

from pathlib import Path

from isthmus.datasets import DataSet, Entry
from isthmus.datasets.files import missing
from isthmus.datasets.pictures import Labelled, Mode, constants, folders, pictures, splits
from isthmus.datasets.resizing import Size, height_and_width
from isthmus.errors import BadData

__all__ = ["ENTRY", "load"]

PARTS = ("test", "val")
WHERE = (
    "your pictures as train/CLASS/* and test/CLASS/* or val/CLASS/*"
    " (https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html)"
)


def load(
    root: Path | None = None,
    *,
    path: str = "images",
    size: Size | None = None,
    mode: Mode = "RGB",
) -> DataSet:
    """The pictures under ``root/path`` (an absolute path stands for itself), as three channels or one (``mode="L"``).

    ``size``, one number or (height, width), resizes pictures that have another, as in
    :mod:`isthmus.datasets.resizing`, while they are decoded. It is needed where they differ. The constants are those
    of the training split in that size.
    """
    place = Path(path).expanduser()
    base = place if root is None else root / place
    if not base.is_dir() or (root is None and not place.is_absolute()):
        raise missing("folder", Path() if place.is_absolute() else root, [str(place)], WHERE, published=False)
    if not (base / "train").is_dir():
        raise missing("folder", base, ["train"], WHERE, published=False)
    part = next((part for part in PARTS if (base / part).is_dir()), None)
    if part is None:
        raise missing("folder", base, PARTS, WHERE, published=False)
    classes = folders(base, "train")
    for name in folders(base, part):
        if name not in classes:
            raise BadData(f"{base / part / name}: expected only classes that are in {base / 'train'}, found {name!r}.")
    wanted = None if size is None else height_and_width(size)
    train, test = splits(base, _listed(base, "train", classes), _listed(base, part, classes), size=wanted, mode=mode)
    return DataSet("folder", train, test, len(classes), *constants(train.inputs), tuple(classes))


def _listed(base: Path, part: str, classes: list[str]) -> Labelled:
    found: Labelled = []
    for label, name in enumerate(classes):
        files = pictures(base, f"{part}/{name}") if (base / part / name).is_dir() else []
        if not files and part == "train":
            raise BadData(f"{base / part / name}: expected pictures of this class, found none.")
        found += ((file, label) for file in files)
    return found


ENTRY = Entry(load, "Any folder of pictures, a folder a class.", needs_files=True, where=f"Files: {WHERE}.")
