"""Whether a run can go on under a recipe: what may change of itself, what when that is accepted, and what never."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganforge.errors import GanforgeError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.ranks.division import Division
from ganforge.recipe.merge import flat, override
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import Node, read
from ganforge.recipe.reading import read_recipe
from ganforge.recipe.yaml_writing import inline
from ganforge.runs.run_folder import RunFolder
from ganforge.step.levers import TABLE
from ganforge.training.levers.settling import AUTO, with_precision

LENGTH = ("run.epochs", "run.steps")
FREE = (
    *LENGTH,
    *("run.images", "run.images_count", "run.images_every", "run.show", "run.log_every", "run.metrics_every"),
    *("run.checkpoint_every", "run.keep_last", "run.keep_every", "run.on_bad_loss", "run.strict", "run.device"),
    *(f"run.{lever.key}" for lever in TABLE),
    *("run.timeout_s", "run.lanes"),  # lanes the engine compares itself
    *("data.workers", "data.on_bad_file", "data.cache", "data.cache_dir", "data.cache_gib", "data.root"),
    *("data.download", "metrics", "callbacks", "requires"),
)
"""Settings that leave the mathematics of a step alone."""
ACCEPTED = (
    "run.precision",
    "run.accumulate",
    "run.global_batch",
    "run.batch_per_device",
    "run.deterministic",
    "run.sync_batch_norm",
    "data.batch_size",
    "schedules",
)
"""What changes the steps to come, and leaves what a checkpoint holds loadable; with more of players, phases and data
in `_acceptable`."""
ABSENT = "absent"
ACCEPT = "--accept-changes"


@dataclass(frozen=True)
class Change:
    """Something that is not as it was when the run last went on."""

    key: str
    """The dotted name of an override, or what it is: `code.my_losses`, `samples`."""
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


def resume_command(run: Path, record: Mapping[str, Any], *more: str) -> str:
    """The command that goes on with a run.

    Args:
        run: its folder, or a checkpoint's.
        record: of the run, or what becomes it: the process that trains it knows its plugins that are plain files.
        more: options and overrides, as on the command line.
    """
    code = record.get("code", {}).values()
    files = record.get("process", {}).get("plugins") or [entry["file"] for entry in code if "file" in entry]
    words = ["ganforge", "run", str(run), "--resume", *(word for file in files for word in ("-p", file)), *more]
    return shlex.join(words)


def as_begun(recipe: Recipe, folder: RunFolder) -> Recipe:
    """The recipe, with the precision that was settled when the run began, where it leaves that to the machine."""
    if recipe.run.precision != AUTO or not folder.recipe.is_file():
        return recipe
    return with_precision(recipe, _precision(begun_recipe(folder)))


def begun_recipe(folder: RunFolder, written: Path | None = None) -> Node:
    """The recipe that a run last went on under: its own, or the one given, with the precision that it meant."""
    node = read(written or folder.recipe)
    earlier = "levers" in folder.record and "settled" not in folder.record
    # Where nothing was said, an earlier ganforge took fp32.
    return override(node, "run.precision=fp32") if earlier and _precision(node) == AUTO else node


def _precision(recipe: Node) -> str:
    return str(flat(recipe.plain()).get("run.precision", AUTO))


def check_unchanged(
    recipe: Recipe,
    folder: RunFolder,
    registry: Registry | None = None,
    *,
    others: Sequence[Change] = (),
    written: Path | None = None,
    given: Path | None = None,
) -> None:
    """Compare a recipe with the one that the run last went on under.

    Args:
        recipe: what the run should go on under.
        folder: the run's. What it `accepts` may differ.
        registry: reads the earlier recipe; without it no change of the data's options can be accepted.
        others: changes beside the recipe, such as of code.
        written: the earlier recipe, if it is not the folder's.
        given: what was asked to go on, if it is not the folder.

    Raises:
        UsageError: they differ in what a resumed run cannot change, or in what nobody accepted; with the differences
            and the ways out.
    """
    before = begun_recipe(folder, written)
    if recipe.run.precision == AUTO:
        recipe = with_precision(recipe, _precision(before))
    found = changes(before.plain(), recipe.node.plain())
    differing = [Change(key, *values) for key, values in found.items()]
    known = None
    with suppress(GanforgeError):  # it may be readable no more: a plugin may have changed meanwhile
        known = read_recipe(before, registry, recipe.name) if registry else None
    never = [change for change in differing if not _acceptable(change.key, recipe, known)]
    if never or (not folder.accepts and (differing or others)):
        raise UsageError(_refusal(folder, before, given or folder.path, recipe, [*differing, *others], never))


def _refusal(
    folder: RunFolder,
    before: Node,
    given: Path,
    recipe: Recipe,
    differing: Sequence[Change],
    never: Sequence[Change],
) -> str:
    of_code = [change for change in differing if change.key.startswith("code.")]
    what = "another recipe" if len(of_code) < len(differing) else "other code"
    lines = [
        f"{given if given.is_file() else folder.path} was started with {what}:",
        *(f"  {change}" for change in differing),
    ]
    if never and len(never) < len(differing):
        keys = ", ".join(change.key for change in never)
        lines.append(f"  what a checkpoint holds does not fit another {keys}; the rest can change, with {ACCEPT}")
    elif not never:
        overrides = [*_overrides(recipe, recipe_changes(before, recipe.node))]  # its length, too
        lines.append(f"  go on with the changes: {resume_command(given, folder.record, ACCEPT, *overrides)}")
    if of_code:
        lines.append("  or bring the code back, or the version, that the run was started with")
    if what == "another recipe":
        lines.append(f"  go on with its own recipe: {resume_command(given, folder.record)}")
    return "\n".join([*lines, "  or start a new run: leave out --resume"])


def _overrides(recipe: Recipe, differing: Sequence[Change]) -> Iterator[str]:
    """What changes a run's recipe into this one, as on the command line."""
    done = set()
    for change in differing:
        # Where another kind of value stands now, the whole of it is set.
        key = _unit(change.key) if ABSENT in (change.before, change.after) else change.key
        if key not in done and not key.startswith("code."):
            done.add(key)
            node = _at(recipe.node, key)
            yield f"{key}={inline(node) if node else 'null'}"


def _unit(key: str) -> str:
    """What must be set as a whole: of a schedule's option the schedule."""
    names = key.split(".")
    if names[:2] == ["data", "augment"]:
        return "data.augment"
    for last in ("schedule", "weight", "decay"):
        if last in names:
            return ".".join(names[: names.index(last) + 1])
    return ".".join(names[:2]) if names[0] == "schedules" else key


def _at(node: Node, key: str) -> Node | None:
    for name in key.split("."):
        match node.value:
            case dict() as entries if name in entries:
                node = entries[name]
            case list() as items if name.isdigit() and int(name) < len(items):
                node = items[int(name)]
            case _:
                return None
    return node


def _acceptable(key: str, recipe: Recipe, before: Recipe | None) -> bool:
    """Whether a checkpoint can be loaded though this has changed, and the change takes effect."""
    if _under(key, ACCEPTED):
        return True
    match key.split("."):
        case ["players", name, "optimizer", option, *_]:
            return name in recipe.players and option != "type"
        case ["players", name, "schedule" | "clip_norm" | "clip_weights", *_]:
            return name in recipe.players
        case ["players", name, "ema", "decay", *_]:
            average = before is None or (name in before.players and before.players[name].settings.ema is not None)
            return name in recipe.players and average
        case ["phases", number, "every"]:
            return number.isdigit()
        case ["phases", number, "losses", name, option, *_]:
            return _of_a_loss(recipe, number, name, option) and (
                before is None or _of_a_loss(before, number, name, option)
            )
        case ["data", option, *_]:
            return option != "type" and before is not None and _alike(before, recipe)
    return False


def _of_a_loss(recipe: Recipe, number: str, name: str, option: str) -> bool:
    """Whether a key is of a loss that is there, and is its weight or an option: its inputs are wired."""
    phase = recipe.phases[int(number)] if number.isdigit() and int(number) < len(recipe.phases) else None
    loss = next((loss for loss in phase.losses if loss.name == name), None) if phase else None
    if loss is None:
        return False
    return option != "type" and option not in {parameter.name for parameter in loss.use.part.signature.inputs}


def _alike(before: Recipe, now: Recipe) -> bool:
    """Whether two recipes' samples have the same fields and shapes."""
    kinds = [(d.shapes(), d.validation_shapes(), d.dtypes()) for d in (before.dataset, now.dataset)]
    return before.data.part.full_name == now.data.part.full_name and kinds[0] == kinds[1]


def check_samples(folder: RunFolder, samples: int, division: Division) -> list[Change]:
    """Compare the data, and the samples of a step, with what the run last went on with; what differs and is accepted.

    Raises:
        UsageError: they differ, and nobody accepted it.
    """
    found = []
    if (before := folder.record.get("samples", samples)) != samples:
        found.append(Change("samples", before, samples))
        if not folder.accepts:
            raise UsageError(
                f"{folder.path} was started with {before} training samples, now there are {samples}: every later batch "
                "would differ",
                "bring the data back, or start a new run: leave out --resume\n"
                "a broken file is not taken out: put a good one in its place, or bring it back and go on without\n"
                "it: data.on_bad_file=skip\n"
                f"or go on with these: {resume_command(folder.path, folder.record, ACCEPT)}",
            )
    before = folder.record.get("global_batch", division.global_batch)
    if before != division.global_batch and not folder.accepts:
        raise UsageError(
            f"{folder.path} was started with {before} samples a step, now there are {division}: every later step would "
            f"differ",
            f"set run.global_batch={before}, or start a new run: leave out --resume\n"
            f"or go on with larger or smaller steps: {resume_command(folder.path, folder.record, ACCEPT)}",
        )
    return found


def recipe_changes(before: Node, now: Node) -> list[Change]:
    """All that a resumed run does otherwise, its length too."""
    found = _differing(before.plain(), now.plain())
    return [Change(key, *pair) for key, pair in found.items() if not _under(key, FREE) or key in LENGTH]


def changes(before: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    """Where two recipes, as plain data, differ in what decides over the training: `(before, now)` by dotted names."""
    return {key: pair for key, pair in _differing(before, now).items() if not _under(key, FREE)}


def _differing(before: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    old, new = flat(_plain(before)), flat(_plain(now))
    differing = (key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))
    return {key: (old.get(key, ABSENT), new.get(key, ABSENT)) for key in differing}


def _plain(recipe: Any) -> Any:
    """With parts that are only named as mappings: `adam` is `{type: adam}`."""
    if not isinstance(recipe, dict):
        return recipe
    data, players = recipe.get("data"), recipe.get("players")
    if isinstance(data, dict) and "augment" in data:
        recipe = recipe | {"data": data | {"augment": _part(data["augment"])}}
    if not isinstance(players, dict):
        return recipe
    written = {
        name: {k: _part(v) if k in ("optimizer", "schedule") else v for k, v in player.items()}
        if isinstance(player, dict)
        else player
        for name, player in players.items()
    }
    return recipe | {"players": written}


def _part(value: Any) -> Any:
    if isinstance(value, list):
        return [_part(item) for item in value]
    return {"type": value} if isinstance(value, str) else value


def _under(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
