"""`ganforge gallery`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import plugins_with_warnings, warn
from ganforge.commands._options import FOLDER, PATH, plugin_option
from ganforge.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from ganforge.inference.before_after import Exhibit
    from ganforge.plugins.registry import Registry
    from ganforge.sharing.gallery import Comparison, Frame, Section

LONGEST_PX = 1024
"""The longest side that a picture has on the page."""
PANEL_PX = 1600
LOSSLESS_PX = 128
"""Pictures up to this size are kept exactly: a few bytes more, and no speck is lost."""


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.option("-o", "--output", type=FOLDER, help="The folder of the page.  [default: RUN/gallery]")
@click.option(
    "--pictures",
    multiple=True,
    type=PATH,
    help="Pictures, or folders of them, to show instead of the dataset's; may be given several times.",
)
@click.option("-n", "count", default=12, show_default=True, type=click.IntRange(1, 200), help="How many pictures.")
@click.option("--panels", default=60, show_default=True, type=click.IntRange(1, 2000), help="Steps on the timeline.")
@click.option("--device", default="auto", show_default=True)
@plugin_option
def command(
    run: Path,
    output: Path | None,
    pictures: tuple[Path, ...],
    count: int,
    panels: int,
    device: str,
    files: tuple[Path, ...],
) -> None:
    """Show RUN, a run's folder or a bundle, as a web page: before and after, and how it learnt.

    The folder opens from the disk and from any web server; it needs nothing else. An older gallery is replaced.

    \b
    Examples:
      ganforge gallery runs/cyclegan_shapes/0001
      ganforge gallery runs/cyclegan_horse2zebra/0003 -n 24 -o public
      ganforge gallery horses.ganforge.zip --pictures my_horses/ -o page
    """
    from ganforge.sharing.bundle.unpacking import is_bundle
    from ganforge.sharing.gallery import Page, finished, frames, render
    from ganforge.sharing.locate import run_in
    from ganforge.sharing.records import Record

    if is_bundle(run):
        output = output or Path(f"{run.name.partition('.')[0]}_gallery")
    plugins = plugins_with_warnings(files)
    folder = run_in(run, plugins.registry)
    record = Record.read(folder)
    output = output or run / "gallery"
    with finished(output) as page:
        exhibits, weights, notes = _exhibits(folder, plugins.registry, pictures, count, device)
        for note in notes:
            click.echo(note)
        sections = _sections(page, exhibits, frames(folder, panels))
        if not sections:
            raise UsageError(f"{run} has neither panels nor pictures to show; give some with --pictures")
        text = (folder / "recipe.yaml").read_text(encoding="utf-8")
        (page / "index.html").write_text(render(Page(record, text, weights, sections, notes)), encoding="utf-8")
    click.echo(f"{output / 'index.html'}")


def _exhibits(
    run: Path, registry: Registry, pictures: Sequence[Path], count: int, device: str
) -> tuple[list[Exhibit], str, list[str]]:
    """What the run makes of pictures, which weights do, and what is missing."""
    from ganforge import images
    from ganforge.inference.before_after import from_dataset, from_pictures
    from ganforge.inference.trained_run import NoCheckpoint, open_trained
    from ganforge.inference.translate import Translator

    show = ("run.images=null", f"run.images_count={count}")
    try:
        trained = open_trained(run, registry, overrides=show, device=device)
    except NoCheckpoint:  # such a run still has its panels
        if pictures:
            raise
        return [], "", ["no checkpoint yet: only the panels are shown"]
    if pictures:
        if gone := [str(given) for given in pictures if not given.exists()]:
            raise UsageError(f"there is no {', '.join(gone)}")
        paths = [path for given in pictures for path in (images.list_images(given) if given.is_dir() else [given])]
        if not paths:
            raise UsageError(f"there are no pictures in {', '.join(map(str, pictures))}")
        if len(paths) > count:
            click.echo(f"the first {count} of {len(paths)} pictures; -n {len(paths)} shows all")

        def translator(direction: str) -> Translator:
            return Translator.open(run, registry, direction=direction, device=device, tell=click.echo)

        exhibits = from_pictures(trained, paths[:count], translator, warn)
        return exhibits, trained.weights, []
    if "download" in trained.recipe.data.options:  # to show a run is no reason to fetch gigabytes
        trained = open_trained(run, registry, overrides=(*show, "data.download=null"), device=device)
    try:
        return from_dataset(trained), trained.weights, []
    except EnvironmentFault as fault:
        told = f"The dataset is not on this machine, so only the panels are shown: {fault.message}"
        return [], trained.weights, [told]


def _sections(page: Path, exhibits: Sequence[Exhibit], panels: dict[str, list[tuple[int, Path]]]) -> list[Section]:
    """Write the pictures; say what is where."""
    from ganforge.sharing.gallery import Section

    sections = []
    by_name = {exhibit.direction.name: exhibit for exhibit in exhibits}
    for number, name in enumerate(dict.fromkeys([*by_name, *panels])):
        frames = [_frame(page, f"{number}_{step:07d}", step, path) for step, path in panels.get(name, [])]
        exhibit = by_name.get(name)
        if exhibit is None:
            sections.append(Section(name, frames=frames))
            continue
        made = exhibit.direction
        pairs = [_comparison(page, f"{number}_{index:03d}", exhibit, index) for index in range(len(exhibit.after))]
        formula = f"{made.translated} = {exhibit.text}"
        sections.append(Section(name, formula, made.source or "", made.translated, pairs, frames))
    return sections


def _comparison(page: Path, stem: str, exhibit: Exhibit, index: int) -> Comparison:
    from ganforge import images
    from ganforge.sharing.gallery import Comparison

    before = exhibit.before[index] if exhibit.before else None
    after = images.to_pillow(exhibit.after[index])
    file, width, height = _save(page, f"pictures/{stem}_after.webp", after, LONGEST_PX)
    first = None
    if before is not None:
        first, *_ = _save(page, f"pictures/{stem}_before.webp", images.to_pillow(before), LONGEST_PX)
    return Comparison(first, file, exhibit.captions[index], width, height)


def _frame(page: Path, stem: str, step: int, path: Path) -> Frame:
    from PIL import Image

    from ganforge.sharing.gallery import Frame

    try:
        with Image.open(path, formats=("PNG",)) as panel:
            return Frame(step, *_save(page, f"panels/{stem}.webp", panel.convert("RGB"), PANEL_PX))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise EnvironmentFault(f"cannot read the panel {path}: {error}", "delete it, and try again") from error


def _save(page: Path, name: str, picture: Any, longest_px: int) -> tuple[str, int, int]:
    """Write a picture, and give its file's name, its width and its height."""
    picture.thumbnail((longest_px, longest_px))
    target = page / name
    target.parent.mkdir(exist_ok=True)
    picture.save(target, "WEBP", lossless=max(picture.size) <= LOSSLESS_PX, quality=90)
    return name, *picture.size
