"""Whether a run is far slower than its machine allows, and its precision is why: found in its first steps."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ganforge.api.callbacks import Diagnosis
from ganforge.ranks.device import Precision
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.layers import CLEARLY, bf16_against_fp32, heaviest
from ganforge.training.levers.peak import Peak, measure_peak
from ganforge.training.levers.trials import CALL_S
from ganforge.training.statistics import Stopwatch

FAR = 0.15
"""The share of the machine's peak below which a CPU's steps are slow: of float32 they reach a fifth and more, where
the work is not too little to tell."""
STEPS, SECONDS = 20, 5.0
"""How much is enough to judge by: so many steps, or three that took so long."""


class Pace:
    """The first steps of a run, of so many batches each."""

    def __init__(self, plan: DryRun, precision: Precision, batches: int) -> None:
        self.plan, self.precision, self.batches = plan, precision, batches
        # On a CPU the recipe's precision may be one that only other machines are fast in. On a GPU a float is one.
        self.open = precision.device.type == "cpu" and precision.name in ("bf16", "fp16")
        self.taken: list[float] = []

    def took(self, seconds: float) -> bool:
        """Note a step's seconds, without those of waiting for data; whether there are enough now to judge by."""
        if not self.open:
            return False
        self.taken.append(seconds)
        self.open = len(self.taken) < STEPS and (len(self.taken) < 3 or sum(self.taken) < SECONDS)
        return not self.open

    def look(self, seconds: float, stopwatch: Stopwatch, resume: Callable[..., str]) -> Diagnosis | None:
        """What is wrong, if a step that took so many seconds is the last that was needed to tell."""
        if not self.took(seconds):
            return None
        with stopwatch.paused():
            return self.judge(resume("--accept-changes", "run.precision=fp32"))

    def judge(self, resume: str) -> Diagnosis | None:
        """What is wrong, if something is; `resume` is the command that goes on with the run in float32."""
        step_s = min(self.taken)
        work = sum(self.plan.flops.values()) * self.batches
        computing_s = step_s - self.plan.operations * self.batches * CALL_S
        if computing_s < step_s / 2:
            return None  # most of it is calls: in another precision there would be as many
        peak: Peak = measure_peak(Precision("fp32", torch.device("cpu")))
        share = work / step_s / peak.best
        if share >= FAR:
            return None
        ratio = bf16_against_fp32(heaviest(self.plan.layers, learning=True))
        if ratio is None or ratio.median > 1 / CLEARLY:
            return None
        return Diagnosis(
            "slow_precision",
            f"steps reach {share:.1%} of what this CPU computes at best in fp32: it has no units for "
            f"{self.precision.name}, in which the layers are {1 / ratio.median:.2g} times slower",
            f"Go on in fp32: {resume}\n  New runs find it by themselves, with run.precision=auto.",
            "docs/performance.md#precision",
        )
