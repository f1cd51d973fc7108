"""The fixed validation images: panels of them, and the metrics over all of them, without touching the training."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from ganforge import images
from ganforge.api.callbacks import Direction
from ganforge.api.context import BEGINNING, Progress
from ganforge.api.datasets import Sample, Samples
from ganforge.api.metrics import Metric
from ganforge.core.nested import map_tensors
from ganforge.core.randomness import derive_seed, random_state, restore_random_state, seed_all
from ganforge.errors import GanforgeError, Problem, RecipeError
from ganforge.failures.blame import blame, described, fault_of, refuse
from ganforge.failures.exhaustion import ELSEWHERE, exhausted
from ganforge.ranks.device import Precision
from ganforge.recipe.building import kind_of
from ganforge.recipe.expressions import Name
from ganforge.recipe.model import Bound, MetricUse, PartUse, place_of, written
from ganforge.rehearsal.directions import looks
from ganforge.step.batch import to_device
from ganforge.step.cast import build_metric, evaluating
from ganforge.step.program import Program
from ganforge.step.scene import Scene
from ganforge.step.values import Held
from ganforge.training.loader import checked
from ganforge.training.panels import lay_out
from ganforge.training.repeats import Repeats

BATCH = 8
REHEARSED = 2 * BATCH
"""How many samples metrics are rehearsed on."""

Values = dict[str, list[Tensor]]
"""Pictures by their text: float `[C, H, W]` on the CPU, one for each shown sample."""


class Validation:
    """Panels and metrics over validation samples.

    Args:
        samples: the validation samples; training samples where a dataset has no others.
        directions: what is translated into what: each has a panel of its own.
        averages: gives the moving averages of networks, by name: they are what is judged.
        whole: gives networks of which this rank keeps parts, as they are lent to it.
        progress: gives how far the training is, for schedules in expressions.
    """

    def __init__(
        self,
        program: Program,
        precision: Precision,
        samples: Samples,
        directions: Sequence[Direction],
        averages: Callable[[], Mapping[str, nn.Module]] = dict,
        whole: Callable[[], Mapping[str, nn.Module]] = dict,
        progress: Callable[[], Progress] = lambda: BEGINNING,
    ) -> None:
        self.program, self.precision, self.samples = program, precision, samples
        self.averages, self.whole, self.progress = averages, whole, progress
        self.cast = program.cast
        self.recipe = program.recipe
        with blame("the validation samples cannot be counted", self.recipe.data):
            self.count = len(samples)
        fields = self.recipe.dataset.validation_shapes()
        self.directions = [d for d in directions if d.target in fields and (d.source is None or d.source in fields)]
        self.looks = looks(self.recipe, self.directions)
        """Which channels of pictures panels show, by their text."""
        self.columns = self._columns()
        """The texts of each panel's columns, by the panel's name."""
        self.remarks: dict[str, tuple[str, ...]] = {}
        """What there is to know of the metrics last computed, by name."""
        self.counts: dict[str, Counter[str]] = {}
        """How many different samples each input of the metrics last computed had, by metric and input."""
        self.drawn: Values = {}
        """What the panels last showed, and the signals of the directions."""
        count = min(self.recipe.run.images_count, self.count) if self.columns else 0
        # Spread over the set: neighbours in a folder are often frames of one scene.
        self.shown = [self._sample(index * self.count // count) for index in range(count)]

    # Panels

    def _columns(self) -> dict[str, list[str]]:
        """`run.images`, or else the signals of each direction; a panel begins with what its direction translates."""
        if self.recipe.run.images is None:
            signals = {d.name: (d.source, d.translated, d.recovered, d.target) for d in self.directions}
            return {name: [text for text in dict.fromkeys(texts) if text] for name, texts in signals.items()}
        beginnings = {d.source or d.translated: d.name for d in reversed(self.directions)}
        panels: dict[str, list[str]] = {}
        name = self.directions[0].name if self.directions else "panel"
        for image in self.recipe.images:
            name = beginnings.get(image.text, name)
            panels.setdefault(name, []).append(image.text)
        return panels

    def panels(self) -> dict[str, Tensor]:
        """Labelled grids by name, uint8 `[3, H, W]`: of each shown sample what `run.images` names, side by side; what
        is made of noise as a square of samples, beside squares of the others.

        Beside a translation by averaged weights stands that by the raw ones; beside what was translated back, a map of
        where it differs from the original.
        """
        self.drawn = self._draw(averaged=True)
        raw = self._draw(averaged=False) if self.averages() else {}
        of_noise = {direction.name for direction in self.directions if direction.source is None}
        return {name: self._panel(texts, raw, name in of_noise) for name, texts in self.columns.items()}

    def _panel(self, texts: Sequence[str], raw: Values, of_noise: bool) -> Tensor:
        translated, sources = set[str](), dict[str, str]()
        for direction in self.directions:
            translated.add(direction.translated)
            if direction.source and direction.recovered:
                sources[direction.recovered] = direction.source
        columns: dict[str, list[Tensor]] = {}
        for text in texts:
            look = self.looks.get(text)
            columns[text] = [images.shown(picture, look) for picture in self.drawn[text]]
            if text in translated and raw:
                columns[f"{text} raw"] = [images.shown(picture, look) for picture in raw[text]]
            if text in sources:
                pairs = zip(self.drawn[text], self.drawn[sources[text]], strict=True)
                columns[f"{text} error"] = [images.heat_map((one - other).abs().mean(0)) for one, other in pairs]
        return lay_out(list(zip(*columns.values(), strict=True)), list(columns), one_by_one=not of_noise)

    def _draw(self, averaged: bool) -> Values:
        signals = {n: Name.of(n) for d in self.directions for n in _signals(d)}
        wanted = {image.text: image.expression for image in self.recipe.images} | signals
        values: Values = {text: [] for text in wanted}
        with self._apart(averaged):
            for sample in self.shown:
                scene = self._scene([sample])
                for text, expression in wanted.items():
                    place = partial(place_of, self.recipe, expression)
                    with blame(f"'{text}' cannot be drawn", place=place):
                        value = scene.value(expression)
                        if not isinstance(value, Tensor):
                            raise refuse(f"it is {kind_of(value)}, not a picture", None)
                        values[text].append(self.precision.widen(value)[0].float().cpu())
        return values

    def compute(self, signal: str, given: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """A signal of each shown sample, as the panels compute it, where other signals have the values given."""
        values = []
        with self._apart():
            for number, sample in enumerate(self.shown):
                scene = self._scene([sample])
                replaced = {name: pictures[number][None] for name, pictures in given.items()}
                scene.held |= {n: Held(v, frozenset()) for n, v in to_device(replaced, self.precision).items()}
                value = scene.value(Name.of(signal))
                values.append(self.precision.widen(value)[0].float().cpu())
        return values

    # Metrics

    def metrics(
        self,
        watch: Callable[[list[Sample]], None] | None = None,
        failed: Callable[[str, Exception], None] | None = None,
        limit: int | None = None,
    ) -> dict[str, float]:
        """The recipe's metrics over all validation samples, by name.

        Args:
            watch: is handed samples as they are judged.
            failed: is told of each metric that raises, by name, and then has no figure.
            limit: the number of samples that are enough.

        Raises:
            RecipeError: without `failed`: a metric cannot be computed.
        """
        judges = _Judges(self.recipe.metrics, failed)
        self.remarks = {}
        self.counts, repeats = {use.name: Counter() for use in self.recipe.metrics}, Repeats()
        total = min(self.count, limit or self.count)
        with self._apart():
            for start in range(0, total, BATCH):
                samples = [self._sample(index) for index in range(start, min(start + BATCH, total))]
                scene = self._scene(samples)
                repeats.begin(samples)
                for use, metric in judges:
                    with judges.judging(use, its_own=False):
                        inputs = {name: self._value(scene, bound) for name, bound in use.inputs.items()}
                    with judges.judging(use):
                        new = {name: repeats.new(self._fields(bound, samples[0])) for name, bound in use.inputs.items()}
                        self.counts[use.name].update({name: len(rows) for name, rows in new.items()})
                        metric.update(**_picked(inputs, new) if metric.compares_sets else inputs)  # type: ignore[attr-defined]  # its parameters are its own
                if watch:
                    watch(samples)
        figures: dict[str, float] = {}
        for use, metric in judges:
            with judges.judging(use):
                self.remarks[use.name] = _texts(metric.remarks(), use.use)
                result = metric.compute()
                figures |= _prefixed(use.name, result) if isinstance(result, Mapping) else {use.name: float(result)}
        return figures

    def rehearse_metrics(self) -> None:
        """Compute the metrics of a few samples; of all, before it is said that one cannot be computed.

        Raises:
            RecipeError: one cannot.
        """
        try:
            self.metrics(limit=REHEARSED)
        except RecipeError:
            if self.count <= REHEARSED:
                raise
            self.metrics()  # it may need more samples than a rehearsal has

    # Values

    def _sample(self, index: int) -> Sample:
        with blame(f"validation sample {index} cannot be made", self.recipe.data):
            return checked(self.samples.sample(index, random.Random(index)), self.recipe.data)

    def _scene(self, samples: list[Sample]) -> Scene:
        with blame("validation samples cannot be put together", self.recipe.data):
            batch = to_device(default_collate(samples), self.precision)
        return Scene(self.program, batch, (), self.progress(), self.cast)

    def _fields(self, bound: Bound, sample: Sample) -> frozenset[str]:
        """The fields of a sample that a value depends on."""
        items = bound if isinstance(bound, tuple) else (bound,)
        return frozenset(sample) & frozenset[str]().union(*(self.program.path(item.expression) for item in items))

    def _value(self, scene: Scene, bound: Bound) -> Any:
        if isinstance(bound, tuple):
            return [self._value(scene, item) for item in bound]
        return map_tensors(self.precision.widen, scene.value(bound.expression))

    @contextmanager
    def _apart(self, averaged: bool = True) -> Iterator[None]:
        """What is drawn or measured must not change what is trained: modes, random generators, replay buffers."""
        cast = self.program.cast
        before = random_state()
        ops = cast.copied_ops(name for name in cast.rngs if self._uses(name))
        networks = {**cast.networks, **self.whole(), **(self.averages() if averaged else {})}
        seed_all(derive_seed(self.recipe.run.seed, "validation"))  # the same noise in every panel
        self.cast = replace(cast, networks=nn.ModuleDict(networks), ops=ops)
        try:
            with evaluating(self.cast.networks), torch.no_grad():
                yield
        finally:
            self.cast = cast
            restore_random_state(before)

    def _uses(self, op: str) -> bool:
        signals = (self.recipe.signals.get(name) for d in self.directions for name in _signals(d))
        texts = [*self.recipe.images, *filter(None, signals)]
        for metric in self.recipe.metrics:
            texts += written(metric.inputs)
        return any(op in self.program.path(item.expression) for item in texts)


class _Judges:
    """The metrics at work, without those that have failed."""

    def __init__(self, uses: Sequence[MetricUse], failed: Callable[[str, Exception], None] | None) -> None:
        self.failed = failed
        self.held: dict[str, tuple[MetricUse, Metric]] = {}
        for use in uses:
            with self.judging(use):
                self.held[use.name] = use, build_metric(use)

    def __iter__(self) -> Iterator[tuple[MetricUse, Metric]]:
        return iter(list(self.held.values()))

    @contextmanager
    def judging(self, use: MetricUse, its_own: bool = True) -> Iterator[None]:
        """What is raised within is the metric's; `its_own`: it is raised by its own code."""
        try:
            with blame("", use.use):
                yield
        except Exception as error:
            if self.failed is not None:
                self.held.pop(use.name, None)
                self.failed(use.name, error)
            elif isinstance(error, GanforgeError) or not its_own:
                raise
            else:
                out = exhausted(error, ELSEWHERE)
                message = f"the metric '{use.name}' cannot be computed: {out.message if out else described(error)}"
                cure = f"give it other validation samples, or leave it out: metrics.{use.name}=null"
                fault = fault_of(error)
                lines = replace(fault, mark=None).lines if fault.own else []
                told = [out.cure if out else cure]
                raise RecipeError([Problem(message, use.use.mark, "\n".join([*told, *lines]))]) from error


def _signals(direction: Direction) -> list[str]:
    names = direction.source, direction.translated, direction.recovered, direction.target
    return [name for name in names if name]


def _picked(inputs: Mapping[str, Any], rows: Mapping[str, list[int]]) -> dict[str, Any]:
    """The samples that these rows pick of each input."""
    return {name: map_tensors(itemgetter(rows[name]), value) for name, value in inputs.items()}


def _texts(remarks: Any, use: PartUse) -> tuple[str, ...]:
    """What a metric remarks on."""
    if isinstance(remarks, str) or not all(isinstance(remark, str) for remark in remarks):
        raise refuse("remarks() gives something else than texts", use)
    return tuple(remarks)


def _prefixed(name: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}/{key}": float(value) for key, value in figures.items()}
