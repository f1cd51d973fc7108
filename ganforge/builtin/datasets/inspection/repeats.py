"""Findings about pictures that are there more than once."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from ganforge.builtin.datasets.inspection.copies import alike_across, alike_within, distinct, grouped
from ganforge.builtin.datasets.inspection.picture import Picture
from ganforge.builtin.datasets.inspection.report import Case, Examined, Finding, Summary, Track, about, counted

_pixels, _bytes = attrgetter("pixels"), attrgetter("sha256")


def findings(data: Examined, track: Track) -> Iterator[Finding]:
    """Copies across splits, across domains and within folders; then what only looks alike."""
    folders = {id(picture): s.folder for s in data.summaries for picture in s.readable}
    groups = [group for group in grouped(data.readable, _pixels) if len(group) > 1]

    def case(kept: Picture, *others: Picture) -> Case:
        same = all(other.sha256 == kept.sha256 for other in others)
        return data.case(kept, *others, detail="" if same else "same pixels, other bytes")

    leaks = []
    for group in groups:
        trained = [picture for picture in group if not folders[id(picture)].held_out]
        held_out = [picture for picture in group if folders[id(picture)].held_out]
        leaks += [case(picture, *trained) for picture in held_out if trained]
    text = "in training as well: no test of what was learnt"
    yield from about("error", "leak", leaks, "held-out picture", text, "take them out of training")
    both = [case(*group) for group in groups if len({folders[id(picture)].domain for picture in group}) > 1]
    text = "in more than one domain: contradictory examples"
    yield from about("warning", "in_two_domains", both, "picture", text, "keep each where it belongs")
    yield from _copies(data)
    yield from _alike(data, track)


def _copies(data: Examined) -> Iterator[Finding]:
    copies: list[Case] = []
    encoded: list[Case] = []
    for summary in data.summaries:
        copies += [data.case(*group) for group in grouped(summary.readable, _bytes) if len(group) > 1]
        different = distinct(summary.readable, _bytes)
        encoded += [data.case(*group) for group in grouped(different, _pixels) if len(group) > 1]
    for kind, cases, text in (
        ("copies", copies, "byte-identical to others of their folder: training sees those more often"),
        ("same_pixels", encoded, "with the pixels of others of their folder, in other bytes"),
    ):
        if cases:
            count = sum(len(case.files) - 1 for case in cases)
            text = f"{counted(count, 'file')} {text}"
            yield Finding("warning", kind, text, "keep one of each", count, tuple(cases))


def _alike(data: Examined, track: Track) -> Iterator[Finding]:
    def unique(summaries: list[Summary]) -> list[Picture]:
        return distinct((picture for s in summaries for picture in s.readable), _pixels)

    trained = unique([s for s in data.summaries if not s.folder.held_out])
    seen = {picture.pixels for picture in trained}
    held_out = [p for p in unique([s for s in data.summaries if s.folder.held_out]) if p.pixels not in seen]
    across = [data.case(*pair) for pair in alike_across(held_out, trained, track)]
    text = "looking like training pictures: perhaps a leak"
    cure = "look at them; take copies and frames of one film out of training"
    yield from about("warning", "leak_alike", across, "held-out picture", text, cure, sign=" ~ ")
    within = [data.case(*pair) for s in data.summaries for pair in alike_within(unique([s]), track)]
    yield from about("note", "alike", within, "picture", "looking like others of their folder", "", sign=" ~ ")
