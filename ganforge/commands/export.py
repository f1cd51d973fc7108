"""`ganforge export`."""

from __future__ import annotations

from pathlib import Path

import click

from ganforge.commands._common import plugins_with_warnings
from ganforge.commands._options import PATH, plugin_option


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.option(
    "-f",
    "--format",
    "kind",
    required=True,
    type=click.Choice(["onnx", "torch", "hub"]),
    help="onnx: for onnxruntime and others. torch: torch.export. hub: safetensors and config for the Hugging Face hub.",
)
@click.option("-o", "--output", required=True, type=PATH, help="The file; for the hub, the folder.")
@click.option("--direction", metavar="NAME", help="Which way, such as a2b.  [default: the recipe's first]")
@click.option("--signal", metavar="NAME", help="Which signal instead, such as rec_a.")
@click.option("--raw", is_flag=True, help="Export the raw weights though the run has averaged ones (EMA).")
@click.option(
    "--pictures",
    metavar="FOLDER",
    type=PATH,
    help="Compare on pictures of this folder.  [default: the recipe's data, if it is here]",
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@plugin_option
def command(
    run: Path,
    kind: str,
    output: Path,
    direction: str | None,
    signal: str | None,
    raw: bool,
    pictures: Path | None,
    overwrite: bool,
    files: tuple[Path, ...],
) -> None:
    """Export a network of RUN, a run's folder or one of its checkpoints.

    The file is read back and compared with the run on real pictures, at three sizes and two batch sizes; it is kept if
    no value differs by 1e-4 or more.

    \b
    Examples:
      ganforge export runs/cyclegan_horse2zebra/0001 --format onnx -o horse2zebra.onnx
      ganforge export runs/cyclegan_horse2zebra/0001 --format torch -o zebra2horse.pt2 --direction b2a
      ganforge export runs/cyclegan_horse2zebra/0001 --format hub -o horse2zebra --pictures horses/
    """
    from ganforge.inference.export import export, table
    from ganforge.sharing.locate import run_in

    registry = plugins_with_warnings(files).registry
    done = export(
        run_in(run, registry),
        output,
        registry,
        kind=kind,
        direction=direction,
        signal=signal,
        averaged=not raw,
        pictures=pictures,
        overwrite=overwrite,
    )
    click.echo(f"{done.signal}, {done.weights}")
    if done.sizes:
        click.echo(f"pictures {done.sizes}")
    click.echo(f"largest differences to the run, on {done.verdict.origin}:")
    click.echo(table(done.verdict.rows))
    click.echo(f"written to {done.path}")
