"""The card: figures, and all that they depend on, as plain data and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganforge.core.machine import machine, now, versions
from ganforge.inference.trained_run import Trained
from ganforge.plugins.registry import Registry
from ganforge.recipe.model import MetricUse, PartUse, written
from ganforge.runs.best import Best
from ganforge.sharing.records import Record
from ganforge.training.validation import Validation

FORMAT = 1
Card = dict[str, Any]


def make_card(
    trained: Trained, validation: Validation, registry: Registry, held_out: bool, reference_sha256: str
) -> Card:
    """What the figures of a checkpoint, which has been judged, depend on; its siblings' depend on the same."""
    recipe, record = trained.recipe, Record.read(trained.folder)
    plugins = {part.plugin for part in registry.parts.values()} - {"ganforge"}
    return {
        "format": FORMAT,
        "run": "/".join(trained.folder.resolve().parts[-2:]),  # a card may be given away: not where it lay
        "recipe": recipe.name,
        "ancestor": record.ancestor and dict(zip(("run", "step"), record.ancestor, strict=True)),
        "changes": [{key: _plain(e[key]) for key in ("step", "key", "before", "after")} for e in record.changes],
        "made": now(),
        "weights": "averaged (EMA)" if trained.averaged else "raw",
        "precision": trained.precision.name,
        "data": {
            **_described(recipe.data),
            "samples": len(validation.samples),
            "held_out": held_out,
            "resizer": recipe.dataset.resizer or "the dataset's own",
            "reference_sha256": reference_sha256,
        },
        "features": {name: _described(recipe.ops[name]) for name in _ops(trained)},
        "metrics": {use.name: _metric(use, validation) for use in recipe.metrics},
        "machine": machine(trained.precision.device),
        "versions": versions([f"ganforge-{name}" for name in sorted(plugins)]),
    }


def add_figures(card: Card, trained: Trained, figures: Sequence[tuple[int, Mapping[str, float]]], last: int) -> None:
    """What was measured, by step; `last` is the run's last checkpoint."""
    best = Best(trained.recipe)
    for step, found in figures:
        best.note(found, step)
    for name, metric in card["metrics"].items():
        own = [figure for figure in figures[0][1] if figure.partition("/")[0] == name]
        metric["better"] = best.ways_of(own)
    card["checkpoints"] = [{"step": step, "figures": dict(found)} for step, found in figures]
    card["last"], card["best"] = last, best.record()


def _metric(use: MetricUse, validation: Validation) -> Card:
    inputs = {name: ", ".join(w.text for w in written({name: bound})) for name, bound in use.inputs.items()}
    counts = dict(validation.counts[use.name])
    return {**_described(use.use), "inputs": inputs, "n": counts, "remarks": list(validation.remarks[use.name])}


def _described(use: PartUse) -> Card:
    options = {name: _plain(value) for name, value in use.options.items()}
    return {"type": use.part.full_name, "options": options, "about": use.part.summary}


def _ops(trained: Trained) -> list[str]:
    """The recipe's ops that metrics look through."""
    recipe = trained.recipe
    paths = [trained.program().path(w.expression) for use in recipe.metrics for w in written(use.inputs)]
    return [name for name in recipe.ops if any(name in path for path in paths)]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


# In words


def heads(card: Card) -> list[str]:
    """What the figures of each column belong to."""
    steps = [checkpoint["step"] for checkpoint in card["checkpoints"]]
    return [f"step {step}" + (" (last)" if step == card["last"] else "") for step in steps]


def rows(card: Card) -> Iterator[tuple[str, list[str], int | None]]:
    """A row for each figure: its name, its values, and the column of the best. An `error` stands beside its `mean`."""
    columns = [checkpoint["figures"] for checkpoint in card["checkpoints"]]
    steps = [checkpoint["step"] for checkpoint in card["checkpoints"]]
    for name in columns[0]:
        metric, _, key = name.rpartition("/")
        if key == "error" and f"{metric}/mean" in columns[0]:
            continue
        error = f"{metric}/error" if key == "mean" and f"{metric}/error" in columns[0] else None
        values = [f"{c[name]:.4g}" + (f" ± {c[error]:.2g}" if error else "") for c in columns]
        reached = card["best"].get(name)
        yield name, values, steps.index(reached["step"]) if reached else None


def markdown(card: Card) -> str:
    """The card for people."""
    lines = [f"# Evaluation of {card['recipe']}", "", f"| figure | {' | '.join(heads(card))} |"]
    lines.append("|---|" + "---:|" * len(card["checkpoints"]))
    for name, values, best in rows(card):
        several = len(values) > 1
        shown = [f"**{value}**" if several and column == best else value for column, value in enumerate(values)]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    lines += ["", *(f"- **Warning:** {line}" for line in warnings(card))]
    lines += [*(f"- {line}" for line in (*facts(card), f"{versions}; {card['machine']['device']}")), ""]
    return "\n".join(lines)


def facts(card: Card) -> Iterator[str]:
    """What the figures depend on, line by line."""
    data = card["data"]
    yield f"data: {data['samples']:,} {'validation' if data['held_out'] else 'training'} samples of {data['type']}"
    yield f"weights: {card['weights']}, computed in {card['precision']}"
    if ancestor := card.get("ancestor"):
        yield f"it went on from step {ancestor['step']} of {ancestor['run']}"
    for change in card.get("changes", ()):
        yield f"changed at step {change['step']}: {change['key']}: {change['before']} -> {change['after']}"
    yield f"resizer: {data['resizer']}"
    yield f"reference: SHA-256 {data['reference_sha256']}"
    for name, metric in card["metrics"].items():
        inputs = ", ".join(f"{key} {text} (N = {metric['n'][key]:,})" for key, text in metric["inputs"].items())
        yield f"{name}: {metric['type']} of {inputs}"
    for name, op in card["features"].items():
        yield f"{name}: {op['type']}. {op['about']}"


def warnings(card: Card) -> Iterator[str]:
    """What one should know before believing the figures."""
    if not card["data"]["held_out"]:
        yield "the data have no validation samples: training samples were taken, which the networks have seen"
    for name, metric in card["metrics"].items():
        yield from (f"{name}: {remark}" for remark in metric["remarks"])
