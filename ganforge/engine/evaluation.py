"""Judging what a run has learnt, by metrics over its validation samples: the figures, and all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganforge.engine.best import Best
from ganforge.engine.cast import construct, prepare
from ganforge.engine.checkpoints import checkpoints, step_of
from ganforge.engine.directions import directions
from ganforge.engine.dryrun import dry_run
from ganforge.engine.folder import machine, now, open_run_folder, versions
from ganforge.engine.trained import Trained, open_trained
from ganforge.engine.validation import Validation
from ganforge.errors import UsageError
from ganforge.parts import Direction, Sample
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Written, written
from ganforge.registry import Part, Registry, UnknownPart

FORMAT = 1

Watch = Callable[[str, int, int], None]
"""Told of the progress: what is judged, how many samples of how many."""


@dataclass(frozen=True)
class Asked:
    """Metrics that are asked for by name, for every direction."""

    metrics: Sequence[str] = ()
    features: str = "inception"
    """The op that makes features of pictures."""


def evaluate(
    run: Path,
    registry: Registry,
    asked: Asked,
    *,
    overrides: Sequence[str] = (),
    every_checkpoint: bool = False,
    device: str = "auto",
    averaged: bool = True,
    precision: str = "fp32",
    watch: Watch = lambda *_: None,
) -> dict[str, Any]:
    """Judge a run's last checkpoint and those of its best figures; or one checkpoint, if that is given.

    Args:
        run: the run's folder, or a checkpoint's.
        registry: where parts are found.
        asked: metrics beside those of the recipe.
        overrides: of the recipe, such as `data.root=elsewhere`.
        every_checkpoint: judge all that are left.
        device: as `run.device`.
        averaged: judge the moving average (EMA) where there is one.
        precision: what the networks compute in, as `run.precision`.
        watch: is told of the progress.

    Returns:
        The card: plain data, as `evaluation.json` has it.

    Raises:
        UsageError: no metric is asked for, or one that does not fit.
        EnvironmentFault: data, packages or weights are missing.
    """
    first, *others = _chosen(run, every_checkpoint)
    wanted = _Wanted(_folder(run), overrides, registry, asked)
    wanted.prepare()
    overrides = tuple(wanted.entries())
    judged: list[tuple[Trained, Validation, dict[str, float]]] = []
    digest = hashlib.sha256()
    for checkpoint in (first, *others):
        trained = open_trained(
            checkpoint, registry, overrides=overrides, device=device, averaged=averaged, precision=precision
        )
        if not trained.recipe.metrics:
            raise UsageError(
                f"{trained.recipe.name} has no metrics, and none is asked for\n"
                f"  give --metric, with one of: {', '.join(part.name for part in registry.of('metrics'))}"
            )
        prepare(trained.recipe, trained.cast)
        validation = _validation(trained)
        counter = _Counter(len(validation.samples), checkpoint.name, watch, None if judged else digest)
        judged.append((trained, validation, validation.metrics(counter)))
    return _card(run, registry, judged, digest.hexdigest())


class _Counter:
    """Counts samples as they are judged, and takes the fingerprint of what they are compared with."""

    def __init__(self, total: int, what: str, watch: Watch, digest: Any) -> None:
        self.total, self.what, self.watch, self.digest, self.done = total, what, watch, digest, 0

    def __call__(self, samples: list[Sample]) -> None:
        self.done += len(samples)
        self.watch(self.what, self.done, self.total)
        for sample in samples if self.digest else ():
            for name, field in sorted(sample.items()):
                self.digest.update(f"{name} {list(field.shape)} {field.dtype}".encode())
                self.digest.update(field.contiguous().numpy().tobytes())


def _chosen(run: Path, every_checkpoint: bool) -> list[Path]:
    """The checkpoints to judge, the last one first."""
    if not (found := checkpoints(run / "checkpoints")):
        return [run]  # a checkpoint, or what `open_trained` refuses
    if every_checkpoint:
        return found[::-1]
    best = {entry["step"] for entry in open_run_folder(run).record.get("best", {}).values()}
    return [found[-1], *(path for path in reversed(found[:-1]) if step_of(path) in best)]


def _folder(checkpoint: Path) -> Path:
    return checkpoint.resolve().parent.parent if (checkpoint / "manifest.json").is_file() else checkpoint


def _validation(trained: Trained) -> Validation:
    dataset = trained.recipe.dataset
    dataset.prepare()
    samples = dataset.validation() or dataset.train()
    return Validation(trained.program(), trained.precision, samples, ())


# Metrics that are asked for


def _find(registry: Registry, kind: str, name: str) -> Part:
    try:
        return registry.find(kind, name)
    except UnknownPart as error:
        message, cure = error.args
        raise UsageError(f"{message}\n  {cure}" if cure else message) from error


class _Wanted:
    """Metrics that are asked for, as entries of a recipe."""

    def __init__(self, folder: Path, overrides: Sequence[str], registry: Registry, asked: Asked) -> None:
        self.parts = [_find(registry, "metrics", name) for name in asked.metrics]
        self.features = _find(registry, "ops", asked.features) if any(map(_compares_features, self.parts)) else None
        self.overrides = list(overrides)
        if self.features:  # an op of that name that the recipe has keeps its options
            self.overrides.append(f"ops.{self.features.name}.type={self.features.full_name}")
        self.recipe = open_recipe(str(folder), self.overrides, registry)

    def prepare(self) -> None:
        """Tell at once what is missing, before anything is loaded."""
        makers = [construct(self.recipe.ops[self.features.name])] if self.features else []
        for maker in (*makers, *(part.factory() for part in self.parts if isinstance(part.factory, type))):
            if hasattr(maker, "prepare"):
                maker.prepare()

    def entries(self) -> Iterator[str]:
        """Overrides that add the metrics, for every direction."""
        recipe = self.recipe
        found = directions(recipe, dry_run(recipe).shapes) if self.parts else ()
        if self.parts and not found:
            raise UsageError(
                f"{recipe.name} has no signal that a discriminator judges: what to compare is not known\n"
                "  write the metrics into the recipe, or as overrides: metrics.fid='{type: fid, real: ..., fake: ...}'"
            )
        yield from self.overrides
        for part in self.parts:
            for direction in found:
                inputs = ", ".join(f"{key}: {text}" for key, text in self._inputs(part, direction).items())
                yield f"metrics.{part.name}_{direction.name}={{type: {part.full_name}, {inputs}}}"

    def _inputs(self, part: Part, direction: Direction) -> dict[str, str]:
        """What a metric compares: by the names of its inputs."""
        if self.features and _compares_features(part):
            real, fake = (f"{self.features.name}({name})" for name in (direction.target, direction.translated))
            return {"real": real, "fake": fake}
        truth = self.recipe.dataset.truths().get(direction.source or "")
        paired = {"input": direction.translated, "target": truth}
        compared = {"translated": direction.translated, "original": direction.source, "truth": truth}
        fitting = next((each for each in (paired, compared) if _roles(part) == each.keys()), None)
        if fitting is None:
            raise UsageError(
                f"'{part.name}' has the inputs {', '.join(sorted(_roles(part)))}: what they should be is not known\n"
                f"  write it into the recipe, or as an override: metrics.{part.name}='{{type: {part.full_name}, ...}}'"
            )
        if truth is None:
            raise UsageError(
                f"'{part.name}' compares with the truth, which the data of {self.recipe.name} do not have\n"
                "  ask for what compares many pictures: fid, kid, precision_recall"
            )
        return {name: text for name, text in fitting.items() if text}


def _roles(part: Part) -> set[str]:
    return {parameter.name for parameter in part.signature.inputs}


def _compares_features(part: Part) -> bool:
    return _roles(part) == {"real", "fake"}


# The card


def _card(
    run: Path, registry: Registry, judged: Sequence[tuple[Trained, Validation, Mapping[str, float]]], reference: str
) -> dict[str, Any]:
    trained, validation, _ = judged[0]
    recipe, best = trained.recipe, Best(trained.recipe)
    for each, _, figures in judged:
        best.note(figures, each.step)
    packages = {part.plugin for part in registry.parts.values()}
    return {
        "format": FORMAT,
        "run": str(run),
        "recipe": recipe.name,
        "made": now(),
        "weights": "averaged (EMA)" if trained.averaged else "raw",
        "data": {
            "type": recipe.data.part.full_name,
            "options": {name: _plain(value) for name, value in recipe.data.options.items()},
            "samples": len(validation.samples),
            "held_out": recipe.dataset.validation() is not None,
            "resizer": recipe.dataset.resizer or "the dataset's own",
            "reference_sha256": reference,
        },
        "metrics": {
            use.name: {
                "type": use.use.part.full_name,
                "options": {name: _plain(value) for name, value in use.use.options.items()},
                "inputs": {name: _texts(bound) for name, bound in use.inputs.items()},
                "better": {name: way for name in judged[0][2] if _of(name, use.name) and (way := best.way(name))},
                "remarks": list(validation.remarks[use.name]),
            }
            for use in recipe.metrics
        },
        "checkpoints": [{"step": each.step, "figures": dict(figures)} for each, _, figures in judged],
        "last": trained.step,
        "best": best.record(),
        "machine": machine(trained.precision.device),
        "versions": versions(sorted(f"ganforge-{name}" for name in packages if name != "ganforge")),
    }


def _of(figure: str, metric: str) -> bool:
    return figure.partition("/")[0] == metric


def _texts(bound: Written | Iterable[Written]) -> str:
    return ", ".join(item.text for item in written({"": bound}))  # type: ignore[dict-item]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    steps = [checkpoint["step"] for checkpoint in card["checkpoints"]]
    head = [f"step {step}" + (" (last)" if step == card["last"] else "") for step in steps]
    lines = [f"# Evaluation of {card['recipe']}", "", f"| figure | {' | '.join(head)} | best |"]
    lines.append("|---|" + "---:|" * (len(steps) + 1))
    for name in card["checkpoints"][0]["figures"]:
        values = [f"{checkpoint['figures'][name]:.4g}" for checkpoint in card["checkpoints"]]
        reached = card["best"].get(name)
        best = f"{reached['value']:.4g} at {reached['step']}" if reached else ""
        lines.append(f"| {name} | {' | '.join(values)} | {best} |")
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    lines += ["", *(f"- {line}" for line in (*facts(card), f"{versions}; {card['machine']['device']}")), ""]
    return "\n".join(lines)


def facts(card: Mapping[str, Any]) -> Iterator[str]:
    """What the figures depend on, and what one should know of them, line by line."""
    data = card["data"]
    kind = "validation samples" if data["held_out"] else "training samples, as there are no others"
    yield f"N = {data['samples']:,} {kind}, of {data['type']}"
    yield f"weights: {card['weights']}"
    yield f"resizer: {data['resizer']}"
    yield f"reference: SHA-256 {data['reference_sha256']}"
    for name, metric in card["metrics"].items():
        inputs = ", ".join(f"{key} {text}" for key, text in metric["inputs"].items())
        yield f"{name}: {metric['type']} of {inputs}"
        yield from (f"{name}: {remark}" for remark in metric["remarks"])
