"""Differences between domains that are not what the model should learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean, median, pvariance

from ganforge.builtin.datasets.inspection.picture import Picture
from ganforge.builtin.datasets.inspection.report import Examined, Finding, Gap

LARGE = 0.8  # Cohen's 'large'
_SURE = 3  # standard errors
_LEAST_SPREAD = 0.01  # of pictures that hardly differ, so that a gap stays a readable number
_RATIO = 1.5
_SHARE = 0.25

MEASURES: dict[str, Callable[[Picture], float]] = {
    "brightness": lambda picture: picture.brightness,
    "red": lambda picture: picture.mean_rgb[0] - picture.brightness,
    "blue": lambda picture: picture.mean_rgb[2] - picture.brightness,
}

Domains = Mapping[str, Sequence[Picture]]


def measure(data: Examined) -> tuple[Gap, ...]:
    """The gaps in brightness and tint between the domains' training pictures; none where there is one domain."""
    domains = _domains(data)
    coloured = not any(picture.stored for picture in data.readable)  # else red may be any channel
    kinds = [kind for kind in MEASURES if coloured or kind == "brightness"]
    return tuple(_gap(kind, domains) for kind in kinds) if len(domains) > 1 else ()


def findings(data: Examined, gaps: Sequence[Gap]) -> Iterator[Finding]:
    """Gaps that are large, and differences in sharpness, compression and colour at all."""
    for gap in gaps:
        if gap.spreads >= max(LARGE, _SURE * gap.error):
            yield _of_brightness(gap) if gap.kind == "brightness" else _of_tint(gap)
    domains = _domains(data)
    if len(domains) > 1:
        yield from _sizes(domains)
        yield from _shares(
            domains,
            "format_gap",
            lambda picture: picture.format in ("JPEG", "MPO"),
            "JPEGs",
            "the blocks of the compression tell them apart, which is learnt too",
            "store both in one format, from equally good pictures",
        )
        yield from _shares(
            domains,
            "colour_gap",
            lambda picture: picture.colourless and not picture.stored,
            "without colour",
            "losing and inventing colour will be a part of what is learnt",
            "nothing if that is the task; otherwise train both with one channel",
        )


def _domains(data: Examined) -> dict[str, list[Picture]]:
    domains: dict[str, list[Picture]] = {}
    for summary in data.summaries:
        if summary.folder.domain and not summary.folder.held_out and summary.readable:
            domains.setdefault(summary.folder.domain, []).extend(summary.readable)
    return domains


def _gap(kind: str, domains: Domains) -> Gap:
    values = {name: [MEASURES[kind](picture) for picture in pictures] for name, pictures in domains.items()}
    means = {name: fmean(measured) for name, measured in values.items()}
    low, high = _extremes(means)
    spread = fmean((pvariance(values[low]), pvariance(values[high]))) ** 0.5
    spreads = (means[high] - means[low]) / max(spread, _LEAST_SPREAD)
    error = (1 / len(values[low]) + 1 / len(values[high])) ** 0.5
    return Gap(kind, low, high, means[low], means[high], spreads, error)


def _extremes(values: Mapping[str, float]) -> tuple[str, str]:
    return min(values, key=values.__getitem__), max(values, key=values.__getitem__)


def _of_brightness(gap: Gap) -> Finding:
    return Finding(
        "warning",
        "brightness_gap",
        f"{gap.high} is brighter than {gap.low}: {gap.high_mean:.2f} against {gap.low_mean:.2f} of 1, "
        f"{gap.spreads:.1f} times their spread; a model may brighten, darken or invert instead of translating",
        "match the exposures, unless brightness is what should change; an identity loss holds it back",
    )


def _of_tint(gap: Gap) -> Finding:
    return Finding(
        "warning",
        f"{gap.kind}_gap",
        f"{gap.high} is more {gap.kind} than {gap.low}, by {gap.spreads:.1f} times their spread; a model learns a tint "
        "first, and instance normalization, which erases a picture's own, makes it one for all",
        "balance the colours, unless the tint is what should change; an identity loss holds it back",
    )


def _sizes(domains: Domains) -> Iterator[Finding]:
    sides = {name: median(picture.shorter_px for picture in pictures) for name, pictures in domains.items()}
    low, high = _extremes(sides)
    if sides[high] >= _RATIO * sides[low]:
        yield Finding(
            "warning",
            "size_gap",
            f"{high} has larger pictures than {low}: shorter sides of {sides[high]:g} and {sides[low]:g} px; "
            "resized to one size they differ in sharpness, which is learnt too",
            "bring both to one size from equally sharp pictures",
        )


def _shares(
    domains: Domains, kind: str, applies: Callable[[Picture], bool], what: str, harm: str, cure: str
) -> Iterator[Finding]:
    """Whether pictures of which something is true are much more frequent in one domain."""
    shares = {name: fmean(map(applies, pictures)) for name, pictures in domains.items()}
    low, high = _extremes(shares)
    if shares[high] - shares[low] >= _SHARE:
        text = f"{shares[high]:.0%} of {high} are {what} and {shares[low]:.0%} of {low}: {harm}"
        yield Finding("warning", kind, text, cure)
