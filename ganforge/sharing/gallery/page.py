"""The page's HTML: all that comes from files is escaped, and the page runs no script but its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template

from ganforge.sharing.records import Record

GENERATOR = "ganforge gallery"
SHARP_PX = 128
"""Pictures smaller than this are enlarged without blurring."""


@dataclass(frozen=True)
class Comparison:
    """One picture and what became of it; without `before`, one that was made of noise. Files relative to the page."""

    before: str | None
    after: str
    caption: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Frame:
    """A panel as it was after so many steps."""

    step: int
    file: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Section:
    """A direction: what it makes, and how that came to be."""

    name: str
    formula: str = ""
    """`fake_b = G_ab(real_a)`."""
    before: str = ""
    after: str = ""
    comparisons: Sequence[Comparison] = ()
    frames: Sequence[Frame] = ()


@dataclass(frozen=True)
class Page:
    """A whole gallery."""

    record: Record
    recipe: str
    """The recipe's text."""
    weights: str
    """Which weights made the pictures, in words."""
    sections: Sequence[Section]
    notes: Sequence[str] = field(default=())
    """What is missing, and why."""


def render(page: Page) -> str:
    """The page as HTML."""
    record = page.record
    name, number = record.recipe, record.path.resolve().name
    template = Template(files("ganforge.sharing.gallery").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        generator=GENERATOR,
        title=escape(name),
        number=escape(number),
        status=escape(record.status),
        facts="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in _facts(page)),
        figures=_figures(record),
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in page.notes),
        links="".join(f'<a href="#{_id(i)}">{_heading(s)}</a>' for i, s in enumerate(page.sections)),
        sections="".join(_section(index, section) for index, section in enumerate(page.sections)),
        diagnoses=_diagnoses(record),
        recipe=escape(page.recipe),
    )


def _facts(page: Page) -> Iterator[tuple[str, str]]:
    record = page.record
    done = f"{record.step:,}"
    yield "steps", done if record.step == record.total_steps else f"{done} of {record.total_steps:,}"
    if record.started:
        yield "started", f"{record.started:%d %B %Y}".lstrip("0")
    if record.started and record.ended:
        yield "took", _duration((record.ended - record.started).total_seconds())
    if record.images_per_second is not None:
        yield "images/s", f"{record.images_per_second:.3g}"
    if device := record.machine.get("device"):
        yield "device", "CPU" if device == "cpu" else device
    if page.weights:
        yield "made by", page.weights
    versions = (f"{name} {record.versions[name]}" for name in ("ganforge", "torch") if name in record.versions)
    if text := ", ".join(versions):
        yield "software", text


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 2:
        return f"{int(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _figures(record: Record) -> str:
    if not record.figures:
        return ""
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{v:.4g}</td></tr>" for k, v in record.figures.items())
    return f'<details class="fold" open><summary>Figures</summary><table class="figures">{rows}</table></details>'


def _diagnoses(record: Record) -> str:
    if not record.diagnoses:
        return ""
    items = "".join(
        f"<li><strong>step {escape(str(entry.get('step', '?')))}</strong> {escape(str(entry.get('message', '')))}"
        f"<br><span>{escape(str(entry.get('cure', '')))}</span></li>"
        for entry in record.diagnoses
    )
    return f'<details class="fold"><summary>Diagnoses</summary><ul class="diagnoses">{items}</ul></details>'


def _id(index: int) -> str:
    return f"direction-{index + 1}"


def _heading(section: Section) -> str:
    """`a → b` of `a2b`."""
    before, _, after = section.name.partition("2")
    return escape(f"{before} → {after}" if before and after else section.name)


def _section(index: int, section: Section) -> str:
    formula = f"<code>{escape(section.formula)}</code>" if section.formula else ""
    parts = [f'<section id="{_id(index)}"><div class="head"><h2>{_heading(section)}</h2>{formula}']
    if any(each.before for each in section.comparisons):
        parts.append(
            '<label class="all"><span>Move all</span>'
            '<input type="range" min="0" max="100" value="50" aria-label="Move all sliders"></label>'
        )
    parts.append("</div>")
    if section.comparisons:
        cards = "".join(_card(section, each) for each in section.comparisons)
        parts.append(f'<div class="cards">{cards}</div>')
    if section.frames:
        parts.append(_timeline(section))
    return "".join([*parts, "</section>"])


def _card(section: Section, each: Comparison) -> str:
    sharp = " sharp" if max(each.width_px, each.height_px) <= SHARP_PX else ""
    size = f'width="{each.width_px}" height="{each.height_px}" decoding="async" draggable="false"'
    caption = escape(each.caption)
    after = f'<img class="after" src="{escape(each.after)}" alt="{caption}: {escape(section.after)}" {size}>'
    figcaption = f"<figcaption>{caption}</figcaption>"
    if each.before is None:
        return f'<figure class="card"><div class="made{sharp}">{after}</div>{figcaption}</figure>'
    before = f'<img class="before" src="{escape(each.before)}" alt="{caption}" {size}>'
    return (
        f'<figure class="card"><div class="compare{sharp}">{after}{before}'
        f'<span class="tag left">{escape(section.before)}</span><span class="tag right">{escape(section.after)}</span>'
        '<span class="line"></span><input type="range" min="0" max="100" value="50" step="1" '
        f'aria-label="{caption}: how much of the original is shown"></div>{figcaption}</figure>'
    )


def _timeline(section: Section) -> str:
    last = len(section.frames) - 1
    shown = section.frames[last]
    data = escape(json.dumps([[frame.step, frame.file] for frame in section.frames]))
    controls = (
        '<button type="button" class="play" aria-label="Play"></button>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-label="Step of training">'
    )
    return (
        f'<div class="timeline" data-frames="{data}"><h3>How it learnt</h3>'
        f'<div class="controls">{controls if last else ""}<output>step {shown.step:,}</output></div>'
        f'<div class="panel"><img src="{escape(shown.file)}" alt="The fixed validation pictures at this step" '
        f'width="{shown.width_px}" height="{shown.height_px}"></div></div>'
    )
