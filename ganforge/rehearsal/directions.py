"""The directions of a recipe, which are what it makes of what: read off its expressions, not asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ganforge.api.callbacks import Direction
from ganforge.api.datasets import is_picture
from ganforge.images.storage import Storage
from ganforge.recipe.expressions import Attribute, Call, Expression
from ganforge.recipe.model import Recipe
from ganforge.recipe.name_checks import dependencies


def directions(recipe: Recipe, shapes: Mapping[str, Any]) -> tuple[Direction, ...]:
    """A signal for each judge and source, in the order of the batch fields that are translated.

    Args:
        shapes: of its signals and batch fields, as a dry run finds them.
    """
    return _Reader(recipe, shapes).directions()


class _Reader:
    def __init__(self, recipe: Recipe, shapes: Mapping[str, Any]) -> None:
        self.recipe = recipe
        self.fields = picture_fields(recipe)
        seen = picture_channels(recipe)
        self.pictures = [name for name in recipe.signals if is_image(shapes.get(name), seen)]
        self.judgements = list(self._judgements())

    def directions(self) -> tuple[Direction, ...]:
        found: dict[tuple[str | None, str], Direction] = {}
        # Those that a judge is shown under their name go before others that the same networks make.
        shown = set[str]().union(*(arguments for _, arguments in self.judgements))
        for signal in sorted(self.pictures, key=lambda name: name not in shown):
            if direction := self._direction(signal):
                found.setdefault((direction.source, direction.judge), direction)
        order = [None, *self.fields]
        return tuple(sorted(found.values(), key=lambda d: order.index(d.source)))

    def _direction(self, signal: str) -> Direction | None:
        made = self.recipe.signals[signal].expression
        maker, sources = self._maker(made), self._sources(made)
        if maker is None:
            return None
        for judge, arguments in self.judgements:
            fits = maker in arguments and judge != maker and set(self.fields) & arguments == sources
            if fits and (target := self._target(judge, sources)):
                source = next((field for field in self.fields if field in sources), None)
                back = source and self._recovered(signal, source)
                return Direction(_name(source, target, signal), source, signal, target, judge, back)
        return None

    def _judgements(self) -> Iterator[tuple[str, set[str]]]:
        """Each call of a network in a loss, with all that its arguments depend on."""
        for phase in self.recipe.phases:
            for loss in phase.losses:
                for written in loss.expressions():
                    yield from self._calls(written.expression)

    def _calls(self, expression: Expression) -> Iterator[tuple[str, set[str]]]:
        for piece in expression.walk():
            if isinstance(piece, Call) and piece.name in self.recipe.networks:
                arguments = [*piece.arguments, *(value for _, value in piece.keywords)]
                yield piece.name, set[str]().union(*(dependencies(self.recipe, each) for each in arguments))
            elif piece.text in self.recipe.signals:
                yield from self._calls(self.recipe.signals[piece.text].expression)

    def _maker(self, expression: Expression) -> str | None:
        """The network that the expression's value is a result of, or a part of a result."""
        if isinstance(expression, Attribute):
            return self._maker(expression.value)
        if expression.text in self.recipe.signals:
            return self._maker(self.recipe.signals[expression.text].expression)
        return expression.name if isinstance(expression, Call) and expression.name in self.recipe.networks else None

    def _sources(self, expression: Expression) -> set[str]:
        return dependencies(self.recipe, expression) & set(self.fields)

    def _target(self, judge: str, sources: set[str]) -> str | None:
        """The field that the judge is shown as real: what it sees of no network, and not beside the fake as well."""
        for name, arguments in self.judgements:
            shown = arguments & set(self.fields)
            if name == judge and shown and not arguments & self.recipe.networks.keys():
                return next((field for field in self.fields if field in (shown - sources or shown)), None)
        return None

    def _recovered(self, signal: str, source: str) -> str | None:
        """The picture, made of the translation, that a loss compares with what was translated."""
        for phase in self.recipe.phases:
            for loss in phase.losses:
                texts = [written.text for written in loss.expressions()]
                for text in texts:
                    made = self.recipe.signals[text].expression if text in self.pictures else None
                    if source in texts and made and signal in dependencies(self.recipe, made):
                        return text
        return None


def _name(source: str | None, target: str, signal: str) -> str:
    """The name of a direction: `a2b` from `real_a` to `real_b`."""
    if source is None or source == target:
        return signal
    (stem, _, a), (other, _, b) = source.rpartition("_"), target.rpartition("_")
    return f"{a}2{b}" if stem == other else f"{source}2{target}"


def picture_fields(recipe: Recipe) -> list[str]:
    """The batch fields that are pictures: `[C, H, W]`, and no other type is said of them."""
    shapes, dtypes = recipe.dataset.shapes(), recipe.dataset.dtypes()
    return [name for name in shapes if is_picture(name, shapes, dtypes)]


def picture_channels(recipe: Recipe) -> frozenset[int]:
    """How many channels pictures have in this recipe: grey, colours, and those of its data."""
    shapes = recipe.dataset.shapes()
    return frozenset({1, 3} | {shapes[name][0] for name in picture_fields(recipe)})


def is_image(shape: object, channels: Collection[int]) -> bool:
    """Whether this is the shape of a batch of pictures with one of these numbers of channels: `[N, C, H, W]`."""
    return isinstance(shape, list) and len(shape) == 4 and shape[1] in channels


def looks(recipe: Recipe, found: Iterable[Direction]) -> dict[str, tuple[int, ...]]:
    """Which channels of fields and signals are shown, as `run.show` says; a translation is shown as its target."""
    show = dict(recipe.run.show)
    for signal, like in _ends(found):
        if like in show:
            show.setdefault(signal, show[like])
    return show


def storage_of(recipe: Recipe, field: str) -> Storage:
    """How the pictures of a field are stored."""
    dataset = recipe.dataset
    return dataset.storage().get(field) or Storage(dataset.shapes()[field][0])


def result_storage(recipe: Recipe, shapes: Mapping[str, Any], signal: str, source: str | None) -> Storage:
    """How pictures of a signal are stored: as the field that they should look like, or else as what they are made of,
    where that has as many channels."""
    shape = shapes.get(signal)
    like = [field for name, field in _ends(directions(recipe, shapes)) if name == signal]
    candidates = [storage_of(recipe, field) for field in (*like, source) if field]
    if not isinstance(shape, list):
        return candidates[0]
    return next((each for each in candidates if each.channels == shape[1]), Storage(shape[1]))


def _ends(found: Iterable[Direction]) -> Iterator[tuple[str, str]]:
    """The signals of directions, and the fields that they should look like."""
    for each in found:
        yield each.translated, each.target
        if each.source and each.recovered:
            yield each.recovered, each.source
