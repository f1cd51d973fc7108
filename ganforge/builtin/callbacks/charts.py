"""The charts of TensorBoard's Custom Scalars tab: what belongs side by side in a GAN."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

from ganforge import Run

LINES = 3  # the lines of one run share one colour: more of them cannot be told apart

Groups = Mapping[str, Sequence[str]]
Layout = dict[str, dict[str, list[str | list[str]]]]


def layout(run: Run, tags: Iterable[str]) -> Layout:
    """The charts by category, as `SummaryWriter.add_custom_scalars` takes them."""
    tags = list(tags)
    scores = _of_judges("scores", tags)
    categories: dict[str, Groups] = {
        "scores: real against fake": scores,
        "accuracy: how much a judge gets right": _of_judges("accuracy", tags),
        "losses: player against player": _rivals(run, scores),
        "losses: neighbours in one domain": _neighbours(run, scores),
        **{f"losses of {player}": _alike(run, player) for player in run.recipe.players},
        **{
            f"shares of the gradient, {phase.name}": _shares(phase.name, [loss.name for loss in phase.losses])
            for phase in run.recipe.phases
        },
        "speed: throughput against waiting for data": {
            "images a second": ["speed/images_per_second"],
            "share of a step that waits for data": ["speed/data_wait_share"],
        },
    }
    return {title: _charts(groups) for title, groups in categories.items() if groups}


def _of_judges(group: str, tags: Iterable[str]) -> Groups:
    """The figures of each judge: `scores/D_b/real` and `scores/D_b/fake` of `D_b`."""
    found: dict[str, list[str]] = {}
    for tag in tags:
        first, _, rest = tag.partition("/")
        if first == group:
            found.setdefault(rest.rpartition("/")[0], []).append(tag)
    return found


def _rivals(run: Run, judges: Iterable[str]) -> Groups:
    """The losses that ask a judge, where several players have one: what one wins, the other loses."""
    losses = [(phase.train, loss) for phase in run.recipe.phases for loss in phase.losses]
    rivals = {}
    for judge in judges:
        asking = [(p, loss) for p, loss in losses if any(judge in w.expression.names() for w in loss.expressions())]
        if len({player for player, _ in asking}) > 1:
            rivals[judge] = [f"losses/{loss.name}" for _, loss in asking]
    return rivals


def _neighbours(run: Run, judges: Collection[str]) -> Groups:
    """The losses of one domain that ask no judge: `cycle_a` beside `identity_a`, as `a`."""
    found: dict[str, list[str]] = {}
    for phase in run.recipe.phases:
        for loss in phase.losses:
            stem, _, domain = loss.name.rpartition("_")
            if stem and not any(w.expression.names() & set(judges) for w in loss.expressions()):
                found.setdefault(domain, []).append(f"losses/{loss.name}")
    return {domain: losses for domain, losses in found.items() if len(losses) > 1}


def _shares(phase: str, losses: Sequence[str]) -> Groups:
    """What several losses contribute to one gradient, neighbours of one stem together."""
    groups = groupby(losses, _stem) if len(losses) > 1 else ()
    return {stem: [f"shares/{phase}/{name}" for name in group] for stem, group in groups}


def _alike(run: Run, player: str) -> Groups:
    """A player's losses, neighbours of one stem together: `cycle_a` and `cycle_b` are `cycle`."""
    names = [loss.name for phase in run.recipe.phases if phase.train == player for loss in phase.losses]
    return {stem: [f"losses/{name}" for name in group] for stem, group in groupby(names, _stem)}


def _stem(name: str) -> str:
    return name.rpartition("_")[0] or name


def _charts(groups: Groups) -> dict[str, list[str | list[str]]]:
    """Each group as a chart of few lines, or as several. To TensorBoard, tags are regular expressions."""
    charts: dict[str, list[str | list[str]]] = {}
    for title, tags in groups.items():
        parts = [tags[start : start + LINES] for start in range(0, len(tags), LINES)]
        for number, part in enumerate(parts, start=1):
            name = f"{title} ({number} of {len(parts)})" if len(parts) > 1 else title
            charts[name] = ["Multiline", [f"^{re.escape(tag)}$" for tag in part]]
    return charts
