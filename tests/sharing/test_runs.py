"""`ganforge runs`: what is listed, what is compared, and what is known of a run that nobody ended."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sharing.conftest import written_run

from ganforge.sharing.process import is_gone, this_process


@pytest.fixture
def runs(in_tmp: Path) -> Path:
    """Three runs of two recipes; the last one failed early."""
    done = {"status": "finished", "step": 12500, "total_steps": 12500, "images_per_second": 81.23}
    times = [f"2026-11-0{day}T10:00:00+00:00" for day in (1, 2, 3)]
    written_run(
        in_tmp / "runs/horses/0001",
        "networks: {G: {blocks: 6}}\nrun: {steps: 4, images: [a, b]}\n",
        **done,
        started=times[0],
        metrics={"fid_b": 61.5, "psnr": 20.0, "oddness": 1.0},
        better={"fid_b": "lower", "psnr": "higher"},
        versions={"torch": "2.15.0"},
    )
    written_run(
        in_tmp / "runs/horses/0002",
        "networks: {G: {blocks: 9}}\nrun: {steps: 4, images: [a]}\n",
        **done,
        started=times[1],
        metrics={"fid_b": 48.25, "psnr": 19.0, "oddness": 2.0},
        versions={"torch": "2.16.0"},
        diagnoses=[{"step": 7, "name": "collapse", "message": "m"}],
    )
    written_run(in_tmp / "runs/maps/0001", status="failed", step=950, total_steps=30000, started=times[2])
    return in_tmp / "runs"


def test_the_newest_comes_first_with_its_figures(runs: Path, ganforge: Callable) -> None:
    outcome = ganforge("runs")
    assert outcome.code == 0, outcome.err
    head, *lines = [line.rstrip() for line in outcome.out.splitlines()]
    assert head.split() == ["run", "status", "step", "age", "img/s", "figures"]
    assert re.fullmatch(r"maps/0001 +failed +950/30k +3% +\d+ d", lines[0])
    assert re.fullmatch(
        r"horses/0002 +finished +12.5k +\d+ d +81.2 +1 diagnosis, 48.25 fid_b, 19 psnr, 2 odd.*", lines[1]
    )
    assert lines[2].startswith("horses/0001")


def test_a_table_fits_a_terminal_of_80_columns(runs: Path, ganforge: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in ganforge("runs").out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert "950/30k" in lines[1]
    assert lines[2].rstrip().endswith("…")


def test_json_has_it_all(runs: Path, ganforge: Callable) -> None:
    entries = json.loads(ganforge("runs", "runs/horses", "--json").out)
    assert [entry["name"] for entry in entries] == ["horses/0002", "horses/0001"]
    assert entries[0]["figures"] == {"fid_b": 48.25, "psnr": 19.0, "oddness": 2.0}


def test_no_torch_is_imported(runs: Path) -> None:
    program = (
        "import sys\nfrom ganforge.cli import main\n"
        "try:\n    main(['runs', '--compare', 'runs/horses'])\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "print([name for name in sys.modules if name in ('torch', 'numpy', 'pydantic')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_two_runs_are_compared_and_the_best_is_marked(runs: Path, ganforge: Callable) -> None:
    outcome = ganforge("runs", "runs/horses/0002", "runs/horses/0001")
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["recipe", "0002", "0001"] in rows  # in the order given
    assert ["networks.G.blocks", "9", "6"] in rows
    assert ["run.images", '["a"]', '["a",', '"b"]'] in rows
    assert not any(row[:1] == ["run.steps"] for row in rows)
    assert ["torch", "2.16.0", "2.15.0"] in rows
    assert ["fid_b", "48.25", "*", "61.5"] in rows
    assert ["psnr", "19", "20", "*"] in rows
    assert ["oddness", "2", "1"] in rows  # of which nobody knows what is better


def test_what_a_run_kept_as_best_tells_which_way_is_better(in_tmp: Path, ganforge: Callable) -> None:
    for number, value in (("0001", 1.0), ("0002", 2.0)):
        best = {"oddness": {"step": 3, "value": 5.0}}
        written_run(in_tmp / "runs/x" / number, metrics={"oddness": value}, best=best)
    rows = [line.split() for line in ganforge("runs", "--compare").out.splitlines()]
    assert ["oddness", "1", "2", "*"] in rows


def test_compared_as_json(runs: Path, ganforge: Callable) -> None:
    found = json.loads(ganforge("runs", "--compare", "runs/horses", "--json").out)
    assert found["recipe"] == {"networks.G.blocks": [6, 9], "run.images": [["a", "b"], ["a"]]}
    assert found["figures"]["fid_b"] == [61.5, 48.25]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["--compare", "runs/maps"], "to compare takes two runs or more, and here is 1"),
    ],
)
def test_what_cannot_be_listed(runs: Path, ganforge: Callable, arguments: list[str], told: str) -> None:
    outcome = ganforge("runs", *arguments)
    assert outcome.code == 2
    assert told in outcome.err


def test_without_any_runs(in_tmp: Path, ganforge: Callable) -> None:
    assert ganforge("runs").code == 2
    (in_tmp / "runs").mkdir()
    assert ganforge("runs").out == "no runs yet\n"


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "null"])
def test_a_damaged_record_is_a_warning(runs: Path, ganforge: Callable, text: str) -> None:
    (runs / "maps/0001/run.json").write_text(text)
    outcome = ganforge("runs")
    assert outcome.code == 0
    assert "maps/0001 is no run's folder" in outcome.err
    assert len(outcome.out.splitlines()) == 3


def test_records_may_hold_anything(in_tmp: Path, ganforge: Callable) -> None:
    odd: list[dict[str, Any]] = [
        {"status": ["\x1b[31m"], "step": "4", "metrics": [1], "diagnoses": {"a": 1}, "best": {"fid": 3}},
        {"status": "\x1b[31mred", "started": 5, "metrics": {"a\x1b": float("nan"), "b": "c"}, "total_steps": 1e999},
        {"process": {"pid": 10**30, "host": 3}, "status": "running", "machine": 4, "started": "2026-11-01"},
    ]
    for number, entries in enumerate(odd):
        written_run(in_tmp / f"runs/x/{number}", **entries)
    for arguments in (["runs"], ["runs", "--json"], ["runs", "--compare"]):
        outcome = ganforge(*arguments)
        assert outcome.code == 0, outcome.err
        assert "\x1b" not in outcome.out


# Who is still there


def test_a_run_whose_process_is_gone_was_killed(in_tmp: Path, ganforge: Callable) -> None:
    program = "import json; from ganforge.sharing.process import this_process; print(json.dumps(this_process()))"
    ended = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    written_run(in_tmp / "runs/x/0001", status="running", process=ended)
    written_run(in_tmp / "runs/x/0002", status="running", process=this_process())
    written_run(in_tmp / "runs/x/0003", status="running", process={**ended, "host": "elsewhere"})
    written_run(in_tmp / "runs/x/0004", status="running")
    written_run(in_tmp / "runs/x/0005", status="finished", process=ended)
    status = {entry["name"][-1]: entry["status"] for entry in json.loads(ganforge("runs", "--json").out)}
    assert status == {"1": "killed", "2": "running", "3": "running", "4": "running", "5": "finished"}


def test_a_number_that_was_given_to_another_process_is_not_the_run() -> None:
    process = this_process()
    if process["began"] is None:
        pytest.skip("this system has no /proc")
    assert not is_gone(process)
    assert is_gone({**process, "began": "another boot 17"})


def test_a_trained_run_says_what_trained_it(shapes_run: Path) -> None:
    record = json.loads((shapes_run / "run.json").read_text())
    assert record["process"] == {**this_process(), "plugins": []}
    assert set(record["code"]) == {"ganforge", "cyclegan", "classics"}
