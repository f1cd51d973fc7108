"""ganforge's own parts pass the checks that it offers to others; a part that is added fails until it is tried here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sharded import pack_small

from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import Registry
from ganforge.testing import check_augmentation, check_dataset, check_loss, check_op

LOSSES: dict[str, dict[str, Any]] = {"l1": {}, "l2": {}, "smooth_l1": {"beta": 0.5}}
OPS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "concat": (((4, 3, 8, 8), (4, 1, 8, 8)), {}),
    "noise": ((), {"size": 8}),
    "one_hot": ((torch.tensor([0, 2, 1, 2]),), {"classes": 3}),
    "random_labels": ((), {"classes": 3}),
    "shuffle": (((4, 3),), {}),
}
DATASETS: dict[str, dict[str, Any]] = {
    "shapes": {"size_px": 16, "count": 3, "validation": 2},
    "class_folders": {"classes": 3, "load_px": 36, "crop_px": 32},
    "class_shards": {"classes": 3, "load_px": 36, "crop_px": 32},
    "image_shards": {"load_px": 36, "crop_px": 32},
    "multi_folders": {"fields": {"ant": {"folder": "ant"}}, "load_px": 36, "crop_px": 32},
    "image_folder": {"crop_px": 32},
    "unpaired_folders": {"load_px": 36, "crop_px": 32},
    "paired_folders": {"load_px": 36, "crop_px": 32},
    "unpaired_shards": {"load_px": 36, "crop_px": 32},
    "paired_shards": {"load_px": 36, "crop_px": 32},
}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "affine": {"degrees": 30.0, "shear": 10.0},
    "blur": {},
    "colour": {},
    "cutout": {"count": 2},
    "elastic": {},
    "flip_horizontal": {},
    "flip_vertical": {},
    "gamma": {},
    "grey": {"channels": (3, 4)},
    "invert": {},
    "jpeg": {"channels": (1, 3)},
    "noise": {},
    "posterize": {},
    "rotate": {"degrees": 90.0},
    "rotate_90": {},
    "zoom": {"least": 0.7, "fill": "black"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


@pytest.mark.parametrize(
    ("kind", "tried"),
    [("losses", LOSSES), ("ops", OPS), ("datasets", DATASETS), ("augmentations", AUGMENTATIONS)],
)
def test_every_built_in_part_is_tried(kind: str, tried: dict[str, Any], registry: Registry) -> None:
    # Inception needs weights: tests/metrics tries it with some of its own.
    elsewhere = {"inception"} if kind == "ops" else set()
    assert {part.name for part in registry.of(kind) if part.plugin == "ganforge"} == set(tried) | elsewhere


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, registry: Registry) -> None:
    check_loss(registry.find("losses", name).factory, **LOSSES[name])


@pytest.mark.parametrize("name", OPS)
def test_ops(name: str, registry: Registry) -> None:
    arguments, options = OPS[name]
    check_op(registry.find("ops", name).factory, *arguments, **options)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations(name: str, registry: Registry) -> None:
    check_augmentation(registry.find("augmentations", name).factory, **AUGMENTATIONS[name])


@pytest.mark.parametrize("name", DATASETS)
def test_datasets(
    name: str, registry: Registry, picture_folders: Path, pair_folders: Path, class_folders: Path, tmp_path: Path
) -> None:
    roots = {"unpaired": picture_folders, "paired": pair_folders}
    root = roots.get(name.partition("_")[0], class_folders)
    if name.endswith("_shards"):
        layout = {"class_shards": "classes", "image_shards": "one_folder"}.get(name)
        pack_small(root / "ant" if layout == "one_folder" else root, tmp_path / "packed", layout)
        root = tmp_path / "packed"
    where = {} if name == "shapes" else {"root": str(root)}
    check_dataset(registry.find("datasets", name).factory, **DATASETS[name], **where)  # type: ignore[arg-type]
