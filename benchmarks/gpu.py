"""All that a GPU can show of ganforge's speed, in one command of less than ten minutes.

    python benchmarks/gpu.py --out report --data datasets/horse2zebra

Checks first that the levers are right on this GPU, then measures steps and inference, then trains the real recipe for
some minutes. `report/report.md` has it all, with the panels beside it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import click

HERE = Path(__file__).parent


class Report:
    """A Markdown file that grows while the clock runs."""

    def __init__(self, folder: Path, minutes: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.deadline = folder / "report.md", time.monotonic() + 60 * minutes
        self.path.write_text("# ganforge on a GPU\n", encoding="utf-8")

    def left_s(self) -> float:
        return self.deadline - time.monotonic()

    def run(self, title: str, *command: str, limit_s: float = 600) -> None:
        """Run a command, show what it prints, and keep it; one that fails or takes too long is no end of the rest."""
        print(f"== {title}: {' '.join(command)}", flush=True)
        try:
            limit = max(1.0, min(self.left_s(), limit_s))
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit, check=False
            )
            text, code = done.stdout, f"exit code {done.returncode}"
        except FileNotFoundError as missing:
            text, code = str(missing), "not found"
        except subprocess.TimeoutExpired as late:
            text, code = (late.stdout or b"").decode() if isinstance(late.stdout, bytes) else "", "stopped: out of time"
        print(text, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n## {title}\n`{' '.join(command)}`: {code}\n```\n{text.strip()}\n```\n")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("report"))
@click.option("--data", type=click.Path(path_type=Path), help="horse2zebra's folder; without it nothing is trained.")
@click.option("--minutes", default=9.0, help="For all of it.")
def main(out: Path, data: Path | None, minutes: float) -> None:
    """Write the report: what is measured has limits of its own, the rest of the time is the training's."""
    report = Report(out, minutes)
    python = sys.executable
    tests, some = str(HERE.parent / "tests/engine/test_cuda.py"), "cyclegan or wgan_gp or r1_ring or everything"
    measuring: list[tuple[str, float, list[str]]] = [
        ("The GPU", 10, ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,memory.total", "--format=csv"]),
        ("Levers on this GPU", 80, [python, "-m", "pytest", "-q", "--maxfail=5", tests, "-k", some]),
        ("A step, 256 x 256, batch 1", 130, [python, str(HERE / "step.py"), "--repeats", "10", "--each"]),
        ("A step, 256 x 256, batch 8", 60, [python, str(HERE / "step.py"), "--repeats", "5", "--batch", "8"]),
        ("Inference", 40, [python, str(HERE / "inference.py")]),
    ]
    for title, limit_s, command in measuring:
        report.run(title, *command, limit_s=limit_s)
    if data is None:
        return
    runs = out / "runs"
    seconds = max(30, int(report.left_s() - 45))
    train = ["ganforge", "run", "cyclegan_horse2zebra", f"data.root={data}", "data.cache=device", "data.workers=0"]
    train += ["run.images_every=500", "run.log_every=100", "run.checkpoint_every=100000", "--out", str(runs)]
    report.run("The real horse2zebra", "timeout", "-s", "INT", str(seconds), python, "-m", *train)
    for panel in sorted(runs.glob("*/*/images/*.png"))[-3:]:
        shutil.copy(panel, out)
    report.run("bench", python, "-m", "ganforge", "bench", "cyclegan_horse2zebra", f"data.root={data}", "--steps", "50")


if __name__ == "__main__":
    main()
