"""Which folders of a dataset hold what: its splits, and its domains or classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganforge import UsageError, images

SPLITS = ("train", "val", "test")
HELD_OUT = ("val", "test")
# Pictures that training does not look for.
UNREAD = re.compile(
    r"\.(avif|heic|heif|jxl|jp2|j2k|jfif|ppm|pgm|tga|exr|hdr|psd|dng|cr2|nef|arw|npy|dcm)", re.IGNORECASE
)

Kind = Literal["two_domains", "pairs", "classes", "one_folder"]


@dataclass(frozen=True)
class Folder:
    """A folder of pictures; `split` and `domain` are empty where the layout has none."""

    path: Path
    name: str
    split: str = ""
    domain: str = ""

    @property
    def held_out(self) -> bool:
        """Whether its pictures are kept from training."""
        return self.split in HELD_OUT


@dataclass(frozen=True)
class Layout:
    """The folders of a dataset. `pairs` are two pictures side by side in one file."""

    root: Path
    kind: Kind
    folders: tuple[Folder, ...]

    @property
    def squeezed(self) -> bool:
        """Whether pictures that are no squares are squeezed; the other datasets cut out their centre."""
        return self.kind in ("two_domains", "pairs")


def find_layout(root: Path) -> Layout:
    """How the pictures below a folder are laid out, as its folders' names tell.

    Raises:
        UsageError: there is no such folder, or no picture in it.
    """
    if not root.is_dir():
        missing = "is no folder" if root.exists() else "does not exist"
        raise UsageError(
            f"{root} {missing}\n  name a folder of pictures, or fetch a published one: "
            "`ganforge data ls` lists them, `ganforge data download NAME` fetches one"
        )
    for kind, folders in _readings(root):
        if any(_has_pictures(folder.path) for folder in folders):
            return Layout(root, kind, tuple(folders))
    raise UsageError(
        f"there are no pictures in {root} ({', '.join(sorted(images.SUFFIXES))})\n"
        "  it should hold trainA and trainB; or train, with pairs side by side; or a folder a class; or pictures"
    )


def unread_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder that training leaves out, because of their formats."""
    found = (path for path in folder.rglob("*") if UNREAD.fullmatch(path.suffix))
    return sorted(path for path in found if not any(n.startswith(".") for n in path.relative_to(folder).parts))


def _readings(root: Path) -> Iterator[tuple[Kind, list[Folder]]]:
    """The layouts in question, the most telling first; one that does not apply has no folders."""
    both = [Folder(root / f"{split}{domain}", f"{split}{domain}", split, domain) for split in SPLITS for domain in "AB"]
    yield "two_domains", [folder for folder in both if folder.path.is_dir()]
    splits = [Folder(root / split, split, split) for split in SPLITS if _has_pictures(root / split)]
    inner = [inside for folder in splits for inside in _subfolders(folder.path, folder.split)]
    if splits and all(_holds_pictures(folder.path) for folder in splits):
        yield "pairs", splits
    yield "classes", inner
    if _holds_pictures(root):
        yield "one_folder", [Folder(root, root.resolve().name)]
    yield "classes", list(_subfolders(root))


def _subfolders(root: Path, split: str = "") -> Iterator[Folder]:
    for path in sorted((path for path in root.glob("[!.]*") if path.is_dir()), key=images.natural_order):
        if _has_pictures(path):
            yield Folder(path, f"{split}/{path.name}" if split else path.name, split, path.name)


def _holds_pictures(folder: Path) -> bool:
    """Whether pictures lie in the folder itself."""
    return any(path.suffix.lower() in images.SUFFIXES for path in folder.glob("[!.]*"))


def _has_pictures(folder: Path) -> bool:
    """Whether pictures lie in the folder or below it."""
    return folder.is_dir() and bool(images.list_images(folder))
