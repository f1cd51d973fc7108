"""What is in a pack of shards: the index that lies beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ganforge import EnvironmentFault

NAME = "index.json"
VERSION: Final = 1
MOST_BYTES = 64 << 20
"""The largest size of an index; a shard takes 150 bytes of it."""

Layout = Literal["unpaired", "side_by_side", "two_folders", "one_folder", "classes"]
LAYOUTS: tuple[Layout, ...] = ("unpaired", "side_by_side", "two_folders", "one_folder", "classes")
TYPES: Mapping[Layout, str] = {
    "unpaired": "unpaired_shards",
    "side_by_side": "paired_shards",
    "two_folders": "paired_shards",
    "one_folder": "image_shards",
    "classes": "class_shards",
}
"""What `data.type` reads a layout."""
HELD: Mapping[Layout, str] = {
    "unpaired": "pictures that do not correspond",
    "side_by_side": "pairs",
    "two_folders": "pairs",
    "one_folder": "single pictures",
    "classes": "pictures with a class each",
}
SPLITS: Mapping[Layout, Sequence[str]] = {
    "unpaired": ("trainA", "trainB", "valA", "valB", "testA", "testB"),
    "side_by_side": ("train", "val", "test"),
    "two_folders": ("train", "val", "test"),
    "one_folder": ("train", "val", "test"),
    "classes": ("train", "val", "test"),
}

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


class Shard(BaseModel):
    """A tar file of the pack."""

    model_config = _STRICT

    name: str
    samples: Annotated[int, Field(ge=1)]
    bytes: Annotated[int, Field(ge=512)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Index(BaseModel):
    """All the shards, by split; a split is called as the folder that it was made of."""

    model_config = _STRICT

    format: Literal["ganforge.shards"] = "ganforge.shards"
    version: Literal[1] = VERSION
    layout: Layout
    seed: int
    splits: dict[str, tuple[Shard, ...]]
    classes: tuple[str, ...] = ()
    """The names of classes in the order of their numbers, of the layout `classes`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = SPLITS[self.layout]
        required = {"trainA", "trainB"} if self.layout == "unpaired" else {"train"}
        if not required <= self.splits.keys() <= set(known):
            raise ValueError(f"its splits are {', '.join(self.splits)}, which are none of the layout {self.layout}")
        if bool(self.classes) != (self.layout == "classes"):
            raise ValueError(f"its classes are {', '.join(self.classes) or 'none'}, and its layout {self.layout}")
        for split in ("val", "test"):
            if (f"{split}A" in self.splits) != (f"{split}B" in self.splits):
                raise ValueError(f"it has {split} pictures of one domain only")
        for split, shards in self.splits.items():
            # So no name leads out of the folder, and none stands twice.
            if not shards or [shard.name for shard in shards] != [shard_name(split, n) for n in range(len(shards))]:
                raise ValueError(f"its shards of {split} are not {shard_name(split, 0)}, {shard_name(split, 1)}, ...")
        return self

    @property
    def shards(self) -> list[Shard]:
        """The shards of all splits."""
        return [shard for shards in self.splits.values() for shard in shards]

    @property
    def members(self) -> int:
        """Files of a sample in the tar: its pictures, and the number of its class."""
        return 2 if self.layout in ("two_folders", "classes") else 1

    def samples(self, split: str) -> int:
        """How many samples a split has."""
        return sum(shard.samples for shard in self.splits[split])


def shard_name(split: str, number: int) -> str:
    """The file of a shard."""
    return f"{split}-{number:06}.tar"


def read_index(text: bytes, place: str) -> Index:
    """The index that was found at a place.

    Raises:
        EnvironmentFault: it is none, or contradicts itself.
    """
    try:
        return Index.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"{f'{key}: ' if key else ''}{first['msg'].removeprefix('Value error, ')}"
        raise EnvironmentFault(
            f"{place} is no index of shards of version {VERSION}: {reason}",
            "copy the pack again, or make it anew: `ganforge data pack FOLDER -o PACK`",
        ) from error
