"""`ganforge translate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands.common import plugin_option, plugins_with_warnings
from ganforge.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from ganforge.engine.translation import Translator


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the results.",
)
@click.option(
    "--signal", help="Which signal to compute, such as fake_b.  [default: the first with one network and one picture]"
)
@click.option(
    "--size",
    type=click.IntRange(1),
    help="Resize pictures to so many pixels first, both ways; by default they keep their size.",
)
@click.option("--raw", is_flag=True, help="Use the raw weights though the run has averaged ones (EMA).")
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="What the networks compute in; bf16 is faster where the hardware has it.",
)
@click.option("--compile", "compiled", is_flag=True, help="Generate code first: pays for many pictures of one size.")
@plugin_option
def command(
    run: Path,
    inputs: tuple[Path, ...],
    output: Path,
    signal: str | None,
    size: int | None,
    raw: bool,
    device: str,
    precision: str,
    compiled: bool,
    files: tuple[Path, ...],
) -> None:
    """Translate pictures with RUN, a run's folder or one of its checkpoints. INPUTS are pictures and folders of them.

    \b
    Examples:
      ganforge translate runs/cyclegan_horse2zebra/0001 horses/ -o zebras
      ganforge translate runs/cyclegan_horse2zebra/0001 zebra.jpg -o horses --signal fake_a
      ganforge translate runs/x/0001/checkpoints/step_0100000 photo.png -o out --size 512
      ganforge translate runs/x/0001 horses/ -o zebras --precision bf16 --compile
    """
    from ganforge.engine.translation import Translator

    plugins = plugins_with_warnings(files)
    translator = Translator.open(
        run,
        plugins.registry,
        signal=signal,
        device=device,
        averaged=not raw,
        precision=precision,
        compiled=compiled,
    )
    click.echo(f"{translator.signal} = {translator.text}, {translator.weights}")
    pictures = _pictures(inputs, output)
    failed = _translate_all(translator, pictures, size)
    click.echo(f"{len(pictures) - len(failed)} of {len(pictures)} pictures are in {output}")
    if failed:
        raise EnvironmentFault("some pictures could not be translated:\n" + "\n".join(f"  {line}" for line in failed))


def _pictures(inputs: tuple[Path, ...], output: Path) -> list[tuple[Path, Path]]:
    """Every picture and where its translation goes: names and subfolders are kept."""
    from ganforge.images import list_images

    pictures: list[tuple[Path, Path]] = []
    for given in inputs:
        if given.is_dir():
            found = list_images(given)
            if not found:
                raise UsageError(f"there are no pictures in {given}")
            pictures += [(path, output / path.relative_to(given).with_suffix(".png")) for path in found]
        elif given.is_file():
            pictures.append((given, output / given.with_suffix(".png").name))
        else:
            raise UsageError(f"there is no picture or folder {given}")
    seen: dict[Path, Path] = {}
    for source, target in pictures:
        if target in seen:
            raise UsageError(f"{seen[target]} and {source} would both become {target}; translate them into two folders")
        seen[target] = source
    return pictures


def _translate_all(translator: Translator, pictures: list[tuple[Path, Path]], size: int | None) -> list[str]:
    from rich.console import Console
    from rich.progress import track

    from ganforge import images

    failed = []
    console = Console(stderr=True)
    for source, target in track(
        pictures, "translating", console=console, transient=True, disable=not console.is_terminal
    ):
        try:
            picture = images.read_image(source, translator.channels)
            translated = translator(picture, size)
            target.parent.mkdir(parents=True, exist_ok=True)
            images.write_image(target, translated)
        except EnvironmentFault as error:
            failed.append(str(error))
    return failed
