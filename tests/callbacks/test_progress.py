import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganforge import Diagnosis
from ganforge.builtin.callbacks import Progress
from ganforge.builtin.callbacks.progress import figure_rows, introduction
from ganforge.step.levers import Levers

SCALARS = {
    "losses/adversarial": 0.25,
    "losses/cycle_a": 1.5,
    "scores/D_b/real": 0.9,
    "speed/images_per_second": 12.345,
    "memory/reserved_GiB": 3.06,
}
FIGURES = {"a_to_b/mean_absolute_error": 0.021, "a_to_b/untouched": 0.083, "a_to_b/times_lower": 3.952, "fid": 41.27}


@pytest.fixture
def run(tmp_path):
    """What Progress may read of a run."""
    return SimpleNamespace(
        recipe=SimpleNamespace(
            name="horses", run=SimpleNamespace(precision="bf16"), dataset=SimpleNamespace(remarks=tuple)
        ),
        failures={},
        folder=tmp_path,
        record={"machine": {"device": "NVIDIA H200"}},
        choice=SimpleNamespace(why="this GPU has units for it", trials=["compiled: 1.30 times as fast, taken"]),
        levers=Levers(merged=frozenset({"G_ab", "D_b"}), graphs=True),
        plan=SimpleNamespace(
            parameters={"G_ab": 11_378_179, "D_b": 2_764_737, "tiny": 84},
            forwards={"generators": Counter(G_ab=3, D_b=1), "discriminators": Counter(D_b=2)},
        ),
        step=0,
        total_steps=4000,
        steps_per_epoch=1000,
        images_per_step=2,
        division="2",
        resumed_at=None,
        figures={},
        diagnoses={},
    )


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def test_the_beginning_says_what_will_run(run):
    assert list(introduction(run)) == [
        f"horses  {run.folder}",
        "  device                   NVIDIA H200, bf16: this GPU has units for it",
        "  levers                   merged D_b G_ab, CUDA graphs",
        "  tried                    compiled: 1.30 times as fast, taken",
        "  parameters               G_ab 11.4 M, D_b 2.76 M, tiny 84",
        "  step of generators       forwards G_ab 3, D_b 1",
        "  step of discriminators   forwards D_b 2",
        "  length                   4000 steps of 2 images, 4 epochs",
    ]
    run.resumed_at = 1500
    assert list(introduction(run))[-1] == "  resumed at               step 1500"


@pytest.mark.parametrize(("threads", "ranks", "told"), [(1, 1, True), (7, 1, True), (8, 1, False), (1, 8, False)])
def test_cores_that_have_nothing_to_do_are_told(threads, ranks, told, run, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    run.record = {"machine": {"device": "cpu", "threads": threads, "ranks": ranks}}
    line = (
        f"  threads                  {threads} of 16 cores compute; OMP_NUM_THREADS=16 in front of the command lets all"
    )
    assert (line in introduction(run)) is told


def test_without_a_terminal_each_reading_is_one_line(run, capsys, monkeypatch):
    clock = iter((0.0, 10.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = Progress()
    progress.run_started(run)
    capsys.readouterr()
    run.step = 1600
    progress.step_ended(run)
    progress.statistics_read(run, SCALARS)
    progress.checkpoint_saved(run, "somewhere")
    line = "step 1600/4000  epoch 1.6/4  ETA 0:00:15  12.3 images/s  3.1 GiB  adversarial 0.25  cycle_a 1.5\n"
    assert capsys.readouterr().out == line


def test_the_first_step_tells_nothing_of_the_others(run, capsys):
    progress = Progress()
    progress.run_started(run)
    run.step = 1
    progress.statistics_read(run, SCALARS)
    assert "step 1/4000  epoch 0.001/4  12.3 images/s" in capsys.readouterr().out
    run.step = 2
    progress.statistics_read(run, SCALARS)
    assert "  ETA " in capsys.readouterr().out


def test_a_resumed_run_tells_its_eta_from_its_own_steps(run, capsys, monkeypatch):
    clock = iter((0.0, 10.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    run.step = run.resumed_at = 3000
    progress = Progress()
    progress.run_started(run)
    run.step = 3500
    progress.statistics_read(run, SCALARS)
    assert "ETA 0:00:10 " in capsys.readouterr().out


def test_figures_read_as_words():
    assert figure_rows(FIGURES) == [
        ["a_to_b", "mean absolute error 0.021", "untouched 0.083", "3.95 times lower"],
        ["fid", "41.3"],
    ]
    assert figure_rows({"a_to_b/times_lower": 0.8}) == [["a_to_b", "1.25 times higher"]]
    assert figure_rows({"bands/mean_red": 0.5}) == [["bands", "mean red 0.5"]]


def test_metrics_on_the_way_are_told_and_the_last_ones_once(run, capsys):
    progress = Progress()
    run.step, run.figures = 1000, FIGURES
    progress.metrics_computed(run, FIGURES)
    assert capsys.readouterr().out.splitlines() == [
        "step 1000",
        "  a_to_b   mean absolute error 0.021   untouched 0.083   3.95 times lower",
        "  fid      41.3",
    ]
    run.step = run.total_steps
    progress.metrics_computed(run, FIGURES)
    assert capsys.readouterr().out == ""


def test_the_end_says_what_was_reached_and_where_it_lies(run, capsys):
    (run.folder / "images").mkdir()
    run.step, run.figures = 4000, FIGURES
    Progress().run_ended(run, "finished")
    assert capsys.readouterr().out.splitlines() == [
        "finished at step 4000 of 4000",
        "  a_to_b   mean absolute error 0.021   untouched 0.083   3.95 times lower",
        "  fid      41.3",
        f"  panels        {run.folder / 'images'}",
        f"  TensorBoard   ganforge board {run.folder}",
    ]


def test_the_end_says_which_figures_were_better_before(run, capsys):
    run.step, run.figures = 4000, FIGURES
    run.record["best"] = {"fid": {"step": 3000, "value": 38.21}, "a_to_b/times_lower": {"step": 4000, "value": 3.952}}
    Progress().run_ended(run, "finished")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "was better" in line]
    assert line == "  was better    fid 38.2 at step 3000, which is kept"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_an_early_end_says_how_to_go_on(run, capsys, status):
    run.step, run.record["checkpoint"] = 12, "step_0000012"
    Progress().run_ended(run, status)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{status} at step 12 of 4000"
    assert lines[-1] == f"  to go on      ganforge run {run.folder} --resume"
    assert "saved" not in lines[-2]


def test_an_early_end_says_what_is_lost(run, capsys):
    run.step = 12
    Progress().run_ended(run, "interrupted")
    assert capsys.readouterr().out.splitlines()[-1] == "  saved         nothing yet"
    run.record |= {"checkpoint": "step_0000010", "code": {"ganforge": {"version": "1"}, "mine": {"file": "mine.py"}}}
    Progress().run_ended(run, "interrupted")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "  saved         step 10; what came after it is lost",
        f"  to go on      ganforge run {run.folder} --resume -p mine.py",
    ]


ILL = Diagnosis("mode_collapse", "all pictures are [one]", "Raise the batch size.", "docs/doctor.md#mode-collapse")
TOLD = [
    "warning: step 900: all pictures are [one]",
    "  Raise the batch size.",
    "  docs/doctor.md#mode-collapse",
]


def test_a_diagnosis_is_told_with_its_cure_and_again_at_the_end(run, capsys):
    run.step, run.diagnoses = 900, {ILL.name: ILL}
    Progress().diagnosed(run, ILL)
    assert capsys.readouterr().out.splitlines() == TOLD
    Progress().run_ended(run, "finished")
    assert "  warned of     mode collapse   docs/doctor.md#mode-collapse\n" in capsys.readouterr().out


def test_a_diagnosis_stands_above_the_bar(run, capsys, terminal):
    progress = Progress(refresh_s=60)
    progress.run_started(run)
    run.step = 900
    progress.diagnosed(run, ILL)
    progress.run_ended(run, "finished")
    output = capsys.readouterr().out
    assert "\x1b[1;33mwarning: \x1b[0m" in output
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", output).splitlines()
    assert [line.rstrip() for line in lines if "warning" in line or "mode-collapse" in line or "Raise" in line] == TOLD


def test_names_in_brackets_are_no_markup(run, capsys):
    run.folder = Path("runs/[bold]:smile:/0001")
    progress = Progress()
    progress.run_started(run)
    assert "runs/[bold]:smile:/0001\n" in capsys.readouterr().out


def test_a_terminal_has_a_bar_that_many_steps_do_not_flood(run, capsys, terminal):
    progress = Progress(refresh_s=60)
    progress.run_started(run)
    for step in range(1, run.total_steps + 1):
        run.step = step
        progress.step_ended(run)
        if step % 50 == 0:
            progress.statistics_read(run, SCALARS)
    progress.run_ended(run, "finished")
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert "4000/4000" in output
    assert "epoch 4.0/4" in output
    assert "12.3 images/s" in output
    assert "3.1 GiB  adversarial 0.25  cycle_a 1.5" in output
    assert len(output) < 5000
    assert output.rstrip().splitlines()[-1].startswith("  TensorBoard")
