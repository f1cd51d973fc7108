"""Reading `data.augment`: which augmentations there are, and which fields of a sample each of them changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ganforge.api.datasets import Dataset, is_picture
from ganforge.errors import Problem, misspelt
from ganforge.plugins.registry import RESERVED
from ganforge.recipe import model
from ganforge.recipe.nodes import Node
from ganforge.recipe.part_reader import PartReader

Groups = tuple[tuple[str, ...], ...]

EXAMPLE = "for example augment: [{type: rotate, degrees: 15}, {type: colour, brightness: 0.2}]"


def read_augmentations(
    reader: PartReader, node: Node | None, dataset: Dataset | None
) -> tuple[tuple[model.AugmentUse, ...], list[Problem]]:
    """The augmentations of a list, and warnings of what they do; faults are the reader's.

    Args:
        dataset: whose samples are changed; None, where it could not be made, of whose fields nothing is told.
    """
    if node is None or node.value is None:
        return (), []
    if not isinstance(node.value, list):
        reader.fault("'augment' should be a list", node.mark, EXAMPLE)
        return (), []
    found, warnings = [], []
    for item in node.value:
        reserved = RESERVED["augmentations"]
        entries = item.value if isinstance(item.value, dict) else {}
        own = Node({k: n for k, n in entries.items() if k in reserved}, item.mark, item.keys)
        settings = reader.settings(model.AugmentSettings, own, "an augmentation")
        use = reader.use("augmentations", item, reserved)
        if use is None or settings is None:
            continue
        groups, more = _groups(reader, use, entries.get("fields"), dataset) if dataset else ((), [])
        likely = getattr(use.part.factory, "probability", 1.0)
        found.append(model.AugmentUse(use, likely if settings.probability is None else settings.probability, groups))
        warnings += more
    return tuple(found), warnings


def groups_of(dataset: Dataset) -> Groups:
    """The fields that correspond pixel by pixel, and every other picture by itself."""
    together = tuple(tuple(group) for group in dataset.groups())
    grouped = {name for group in together for name in group}
    shapes, dtypes = dataset.shapes(), dataset.dtypes()
    alone = (name for name in shapes if name not in grouped and is_picture(name, shapes, dtypes))
    return (*together, *((name,) for name in alone))


def _groups(
    reader: PartReader, use: model.PartUse, fields: Node | None, dataset: Dataset
) -> tuple[Groups, list[Problem]]:
    """What an augmentation changes, of the fields that it is restricted to; and warnings."""
    moves = getattr(use.part.factory, "moves_pixels", False)
    groups, shapes, dtypes = groups_of(dataset), dataset.shapes(), dataset.dtypes()
    able = [name for group in groups for name in group if moves or is_picture(name, shapes, dtypes)]
    if not able:
        reader.fault(f"{use.part.name} has nothing to change: the samples hold no picture", use.mark, _shown(dataset))
        return (), []
    named = {str(item.value): item for item in reader.items(fields, "fields")} if fields else None
    for name, item in (named or {}).items():
        if name not in dataset.shapes():
            reader.problems.append(misspelt(f"the samples have no field '{name}'", name, able, item.mark))
        elif name not in able:
            what = "masks, labels and other maps are not for it"
            reader.fault(f"{use.part.name} cannot change '{name}': {what}", item.mark, f"it can: {', '.join(able)}")
    wanted = [name for name in able if named is None or name in named]
    chosen = [tuple(name for name in group if name in wanted) for group in groups]
    warnings = [
        problem
        for group, some in zip(groups, chosen, strict=True)
        if moves and fields and (problem := _torn(use, fields, group, some))
    ]
    return tuple(some for some in chosen if some), warnings


def _torn(use: model.PartUse, fields: Node, group: Sequence[str], some: Sequence[str]) -> Problem | None:
    """A warning where pixels that correspond would do so no more."""
    left = [f"'{name}'" for name in group if name not in some]
    if not some or not left:
        return None
    moved = " and ".join(f"'{name}'" for name in some)
    message = f"{use.part.name} moves {moved} and not {' and '.join(left)}: they will not correspond pixel by pixel"
    return Problem(message, fields.mark, "leave out `fields` if that is not meant, or name them too")


def _shown(dataset: Dataset) -> str:
    shapes: Mapping[str, tuple[int, ...]] = dataset.shapes()
    return f"its fields: {', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())}"
