"""A trained signal as a file for others: written, read back, and compared with the run before it counts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.inference.export.exportable import prepare
from ganforge.inference.export.formats import Format, need
from ganforge.inference.export.gate import TOLERANCE, Comparison, Row, compare
from ganforge.inference.export.hub import Hub
from ganforge.inference.export.onnx import Onnx
from ganforge.inference.export.pictures import find_pictures
from ganforge.inference.export.program import TorchProgram
from ganforge.inference.export.silence import quiet
from ganforge.inference.trained_run import open_trained
from ganforge.plugins.registry import Registry

FORMATS: dict[str, Format] = {"onnx": Onnx(), "torch": TorchProgram(), "hub": Hub()}


@dataclass(frozen=True)
class Exported:
    """A file that has passed the gate."""

    path: Path
    signal: str
    """`fake_b = G_ab(real_a)`."""
    weights: str
    sizes: str
    verdict: Comparison


def export(
    run: Path,
    out: Path,
    registry: Registry,
    *,
    kind: str,
    direction: str | None = None,
    signal: str | None = None,
    averaged: bool = True,
    pictures: Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a signal of a run's newest checkpoint, or of a given one, as a file.

    Args:
        run: the run's folder, or a checkpoint's.
        out: the file, or for the hub the folder. It appears when it has passed, in one go.
        kind: `onnx`, `torch` or `hub`.
        direction: which way, such as `a2b`; by default the recipe's first.
        averaged: use the moving average (EMA) where there is one.
        pictures: a folder of pictures to compare on; by default the recipe's data, if it is here.
        overwrite: replace what is there.

    Raises:
        UsageError: `out` is there already, or does not fit; or the signal does not.
        EnvironmentFault: a package is missing, the file cannot be written, or it does not make the same pictures.
    """
    form = _form(kind, out, overwrite)
    trained = open_trained(run, registry, device="cpu", averaged=averaged, precision="fp32")
    exportable = prepare(trained, direction, signal)
    form.check(exportable)
    album = find_pictures(trained.recipe, field, pictures) if (field := exportable.graph.field) else None
    with _put_in_place(out) as beside:
        with quiet():
            exportable = form.write(exportable, beside)
            verdict = compare(exportable, form.open(exportable, beside), album)
        if not verdict.passed:
            raise EnvironmentFault(
                f"the file's pictures differ from the run's by up to {verdict.difference:.1e}, "
                f"and {TOLERANCE:.0e} is allowed; nothing was written\n{table(verdict.rows)}"
            )
    sizes = str(exportable.sizes) if exportable.sizes else ""
    return Exported(out, f"{exportable.graph.signal} = {exportable.graph.text}", trained.weights, sizes, verdict)


def table(rows: list[Row]) -> str:
    """The comparisons, a line each."""
    width = max(len(row.inputs) for row in rows)
    return "\n".join(f"  {row.inputs:<{width}}   {row.difference:.1e}" for row in rows)


def _form(kind: str, out: Path, overwrite: bool) -> Format:
    """The format, if `out` can be a file of it and its packages are here."""
    form = FORMATS[kind]
    if form.suffix and out.suffix != form.suffix:
        raise UsageError(f"a file of the format {kind} should end in {form.suffix}: -o {out.with_suffix(form.suffix)}")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already; --overwrite replaces it")
    foreign = out.is_dir() and any(out.iterdir()) and not (out / "model.safetensors").is_file()
    if out.exists() and (out.is_dir() != (not form.suffix) or foreign):
        raise UsageError(f"{out} is something else than an export of the format {kind}; give another name")
    need(form.modules)
    return form


@contextmanager
def _put_in_place(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to; what is written takes its place when all went well, and is removed otherwise."""
    beside = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        _remove(beside)
        out.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        _replace(out, beside)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        _remove(beside)


def _replace(out: Path, new: Path) -> None:
    """Put a file or folder in another's place, which is never half there."""
    if not out.is_dir():
        new.replace(out)
        return
    old = out.rename(out.with_name(f".{out.name}.old"))  # a folder cannot replace one that has files
    new.rename(out)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
