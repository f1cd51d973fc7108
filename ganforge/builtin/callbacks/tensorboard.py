"""TensorBoard: all that a run measures and draws, as event files in its folder."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torch import Tensor

from ganforge import Callback, Diagnosis, Run
from ganforge.builtin.callbacks.charts import layout

if TYPE_CHECKING:  # it takes a fifth of a second to import, and most commands write no events
    from torch.utils.tensorboard import SummaryWriter

_EVENT_FILE = re.compile(r"(events\.out\.tfevents)\.(\d+)\.(.+)")
_END = ".end"


class TensorBoard(Callback):
    """Scalars, panels, metrics, the recipe, the machine and the hyperparameters, for `ganforge board`.

    A resumed run hides what was written of steps after its checkpoint, and says what it does otherwise. Where the disk
    is full, a warning says so and the training goes on.

    Args:
        flush_s: how long values may wait in memory until they are written, in seconds.
    """

    def __init__(self, flush_s: Annotated[float, Field(gt=0)] = 10.0) -> None:
        self.flush_s = flush_s
        self._writer: SummaryWriter | None = None
        self._has_charts = False

    def run_started(self, run: Run) -> None:
        self._has_charts = False
        self._try(lambda: self._open(run))

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        def write(writer: SummaryWriter) -> None:
            if not self._has_charts:  # which scores there are, no recipe says: the losses' parts do
                writer.add_custom_scalars(layout(run, scalars))
                self._has_charts = True
            for tag, value in scalars.items():
                writer.add_scalar(tag, value, run.step)

        self._write(write)

    def distributions_read(self, run: Run, distributions: Mapping[str, Tensor]) -> None:
        def write(writer: SummaryWriter) -> None:
            for tag, values in distributions.items():
                finite = values[values.isfinite()]
                if finite.numel():  # verdicts may be NaN, and a histogram has no place for them
                    writer.add_histogram(tag, finite, run.step)

        self._write(write)

    def images_drawn(self, run: Run, panels: Mapping[str, Tensor]) -> None:
        def write(writer: SummaryWriter) -> None:
            for name, panel in panels.items():
                writer.add_image(f"images/{name}", panel, run.step)

        self._write(write)

    def diagnosed(self, run: Run, diagnosis: Diagnosis) -> None:
        text = f"**{diagnosis.message}**\n\n{diagnosis.cure}\n\n{diagnosis.link}"
        self._write(lambda writer: writer.add_text(f"diagnoses/{diagnosis.name}", text, run.step))

    def metrics_computed(self, run: Run, figures: Mapping[str, float]) -> None:
        def write(writer: SummaryWriter) -> None:
            for name, value in figures.items():
                writer.add_scalar(_metric_tag(name), value, run.step)

        self._write(write)

    def run_ended(self, run: Run, status: str) -> None:
        self._write(lambda writer: writer.close())
        self._write(lambda _: self._end(run, status))
        self._writer = None

    def _open(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for path in run.folder.glob(f"events.out.tfevents.*{_END}"):
            path.write_bytes(b"")  # deleted, it would stop a TensorBoard that is open from following the folder
        sort_before_now(run.folder)
        begins = run.resumed_at is None or not any(run.folder.glob("events.out.tfevents.*"))
        # The first start counts as none to TensorBoard, so every process marks its own: only then is the second seen.
        first_step = run.step if begins else run.step + 1
        self._writer = SummaryWriter(run.folder, purge_step=first_step, max_queue=100, flush_secs=self.flush_s)
        if begins:
            _introduce(self._writer, run)
        if run.changes:
            changed = {change.key: (change.before, change.after) for change in run.changes}
            self._writer.add_text("changes", _table((f"from step {run.step} on", "before", "after"), changed), run.step)

    def _end(self, run: Run, status: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        from ganforge.builtin.callbacks.hyperparameters import columns, hyperparameters, session_end

        # TensorBoard believes the first end that it finds, so it has a file of its own, which a resumed run empties.
        with SummaryWriter(run.folder, filename_suffix=_END) as writer:
            tags = [_metric_tag(name) for name in run.figures]
            writer.file_writer.add_summary(columns(hyperparameters(run), tags))
            writer.file_writer.add_summary(session_end(status))

    def _write(self, write: Callable[[SummaryWriter], None]) -> None:
        if (writer := self._writer) is not None:
            self._try(lambda: write(writer))

    def _try(self, write: Callable[[], None]) -> None:
        """Write, or warn and write no more: what shows the training must not stop it."""
        try:
            write()
        except OSError as error:
            self._writer = None
            warnings.warn(
                f"TensorBoard shows no more of this run, which goes on: {error}\n"
                "  make room or mend the disk; a resumed run writes again",
                stacklevel=4,
            )


def sort_before_now(folder: Path) -> None:
    """Give event files of a clock that was ahead, or of this second, earlier names.

    TensorBoard reads a folder's event files in the order of the seconds in their names.
    """
    earliest = int(time.time())
    for path in sorted(folder.glob("events.out.tfevents.*"), reverse=True):
        if match := _EVENT_FILE.fullmatch(path.name):
            prefix, seconds, rest = match.groups()
            earliest = min(int(seconds), earliest - 1)
            path.rename(path.with_name(f"{prefix}.{earliest:010d}.{rest}"))


def _metric_tag(name: str) -> str:
    return f"metrics/{name}"


def _introduce(writer: SummaryWriter, run: Run) -> None:
    """What the run is: it is written once, by the process that begins it."""
    from ganforge.builtin.callbacks.hyperparameters import hyperparameters, session_start

    recipe = (run.folder / "recipe.yaml").read_text(encoding="utf-8")
    networks = {
        name: (f"`{use.part.full_name}`", run.recipe.owner(name) or "nobody", f"{run.plan.parameters[name]:,}")
        for name, use in run.recipe.networks.items()
    }
    machine = {name: (value,) for key in ("machine", "versions") for name, value in run.record[key].items()}
    writer.add_text("recipe", f"```yaml\n{recipe}```", run.step)
    writer.add_text("machine", _table(("", "value"), machine), run.step)
    writer.add_text("networks", _table(("network", "part", "trained by", "parameters"), networks), run.step)
    writer.file_writer.add_summary(session_start(hyperparameters(run)))  # type: ignore[attr-defined]


def _table(head: tuple[str, ...], rows: Mapping[str, tuple[Any, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *((name, *values) for name, values in rows.items())]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
