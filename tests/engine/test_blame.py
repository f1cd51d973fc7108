"""What a plugin does is told with the plugin, the part, the step, and the line in the plugin's own file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from misbehaving import ODD, outcome
from PIL import Image

from ganforge.failures.blame import blame, fault_of
from ganforge.failures.fault import PartFailed
from ganforge.failures.words import said, words

PLUGIN = str(ODD / "odd.py")
LINE = rf"\n  raised at {re.escape(PLUGIN)}:\d+ in \w+"


@pytest.fixture(scope="module")
def trained(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with a run of sound parts, and a picture."""

    def fill(folder: Path) -> None:
        code, told = outcome("run", ODD / "odd.yaml", "--out", folder / "runs", "run.steps=2")
        assert code == 0, told
        Image.new("RGB", (8, 8)).save(folder / "picture.png")

    return once("odd", fill)


def odd(place: str, action: str, at: int | None = None) -> dict[str, Any]:
    return {"place": place, "action": action, "at": at}


def check(told: str, first: str, part: str) -> None:
    """An error that names all there is to name."""
    error = told[told.index("error: ") :]
    assert re.match(f"error: {first}", error), told
    assert re.search(LINE, error), told
    assert f"{part} is of the plugin 'odd' ({PLUGIN})" in error
    assert "mend it there" in error
    assert "Traceback" not in told
    assert "should have been told better" not in told


@pytest.mark.parametrize(
    ("place", "action", "at", "first", "part"),
    [
        ("loss.call", "AssertionError", 3, r"step \d: the loss 'far' of player 'g' .*: AssertionError: \w", "odd.far"),
        ("loss.call", "SystemExit", 3, r"step \d: the loss 'far' .*: SystemExit: 0\n", "odd.far"),
        ("loss class.forward", "Strange", 3, r"step 1: the loss 'near' .*: Strange: \(its own words", "odd.near"),
        ("network.forward", "Outside", 12, r"step \d: .*'G\(real\)' cannot be computed: Outside: by design", "odd.net"),
        ("network.forward", "torch", 12, r"step \d: .*'G\(real\)' cannot be computed: RuntimeError: ", "odd.net"),
        ("op.call", "recursion", 4, r"step \d: .*'shade\(fake\)' cannot be computed: RecursionError", "odd.shade"),
        ("op class.__call__", "StopIteration", 4, r"step \d: .*'grain\(real\)' .*: StopIteration\n", "odd.grain"),
        ("optimizer.step", "ExceptionGroup", 14, r"step \d: the optimizer of player 'g' .*ValueError: one", "odd.walk"),
        ("samples.sample", "Stubborn", 7, r"step \d: .*Stubborn", "odd.pictures"),
    ],
)
def test_what_a_part_raises_in_training_ends_with_4(
    place: str, action: str, at: int, first: str, part: str, tmp_path: Path
) -> None:
    code, told = outcome("run", ODD / "odd.yaml", "--out", tmp_path, "metrics=null", odd=odd(place, action, at))
    assert code == 4, told
    check(told, first, part)
    assert f"the whole traceback is in {tmp_path}" in told
    record = json.loads((tmp_path / "odd" / "0001" / "run.json").read_text())
    assert record["status"] == "failed"
    assert "odd.py" in record["traceback"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("action", ["SystemExit", "Stubborn", "GeneratorExit", "sparse", "a function"])
def test_what_a_dataset_does_is_the_same_from_a_worker(action: str, workers: int, tmp_path: Path) -> None:
    """Raised in a worker, it would end without a word, or come wrapped in a traceback; some would never come."""
    code, told = outcome(
        *("run", ODD / "odd.yaml", "--out", tmp_path, f"data.workers={workers}", "run.images=[]", "metrics=null"),
        odd=odd("samples.sample", action, 4),
    )
    assert "Traceback" not in told
    if not action[0].isupper():  # found by holding samples against what the dataset says, or where they are collated
        assert code in (2, 4), told
        assert f"{ODD / 'odd.yaml'}:2:14" in told
        return
    assert code == 4, told
    assert re.search(r"error: step \d: the samples \d, \d of epoch 0 cannot be made: \w", told), told
    assert f"odd.pictures is of the plugin 'odd' ({PLUGIN}), used at {ODD / 'odd.yaml'}:2:14" in told
    assert re.search(LINE, told)


@pytest.mark.parametrize(
    ("command", "place", "action", "first", "part"),
    [
        (
            "check",
            "network.__init__",
            "KeyError",
            r"\S+odd.yaml:\d+:\d+: net: KeyError: 'absent'\n .*\n +\^",
            "odd.net",
        ),
        ("check", "op.call", "ZeroDivisionError", r"\S+:\d+:\d+: 'shade\(fake\)' cannot .*: ZeroDiv", "odd.shade"),
        ("check", "loss.call", "SystemExit", r"\S+:\d+:\d+: the loss 'far' cannot .*: SystemExit: 0", "odd.far"),
        ("check", "network.parameters", "Outside", r"while checking: the network 'G' .*Outside", "odd.net"),
        ("check", "dataset.shapes", "OSError", r"\S+:2:14: pictures: .*OSError: by design", "odd.pictures"),
        ("show", "network.forward", "AssertionError", r"\S+:\d+:\d+: 'G\(real\)' cannot .*: Assertion", "odd.net"),
        ("run", "schedule.call", "GeneratorExit", r"\S+:\d+:\d+: slope: GeneratorExit", "odd.slope"),
        ("run", "dataset.train", "ExceptionGroup", r"before the first step: train\(\) of .*two", "odd.pictures"),
        ("run", "callback.__init__", "SystemExit", r"\S+:\d+:\d+: watch: SystemExit: 0", "odd.watch"),
        ("run", "op class.prepare", "RuntimeError", r"before the first step: 'grain' .*: by design", "odd.grain"),
        ("resume", "op class.load_state_dict", "TypeError", r".*TypeError: by design", "odd.grain"),
        ("evaluate", "metric.call", "ValueError", r".*the metric 'mean' cannot be computed: .*by design", "odd.apart"),
        ("bench", "dataset.prepare", "Outside", r".*prepare\(\) of the dataset .*: Outside: by design", "odd.pictures"),
    ],
)
def test_what_is_found_before_the_first_step_ends_with_2(
    command: str, place: str, action: str, first: str, part: str, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if command in ("resume", "evaluate"):
        shutil.copytree(trained / "runs" / "odd" / "0001", run)
    arguments: dict[str, tuple[Any, ...]] = {
        "run": ("run", ODD / "odd.yaml", "--out", tmp_path),
        "resume": ("run", run, "--resume", "run.steps=4"),
        "evaluate": ("evaluate", run),
        "show": ("show", ODD / "odd.yaml", "--graph"),
    }
    code, told = outcome(*arguments.get(command, (command, ODD / "odd.yaml")), odd=odd(place, action))
    assert code == 2, told
    check(told, first, part)


def test_a_part_that_gives_what_it_should_not_is_told_where_it_is_defined() -> None:
    code, told = outcome("check", ODD / "odd.yaml", odd=odd("dataset.shapes", "generator"))
    assert code == 2
    assert f"{ODD / 'odd.yaml'}:2:14: pictures: shapes() gives a generator, not Mapping" in told
    assert re.search(rf"\n  defined at {re.escape(PLUGIN)}:\d+\n  odd.pictures is of the plugin 'odd'", told)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("nan", "gives nan, not a finite number"), ("none", "gives nothing, not"), ("true", "gives a value of type bool")],
)
def test_a_schedule_gives_a_finite_number(value: str, shown: str) -> None:
    """Of NaN as a learning rate it was said, steps later, that weights are NaN."""
    code, told = outcome("run", ODD / "odd.yaml", odd=odd("schedule.call", value))
    assert code == 2, told
    assert shown in told
    assert re.search(r"odd\.yaml:16:22: slope ", told)


def test_the_line_is_the_plugins_own_and_that_of_what_it_calls() -> None:
    code, told = outcome("run", ODD / "odd.yaml", "run.images=[]", odd=odd("loss.call", "UnicodeDecodeError", 3))
    assert code == 4
    assert re.search(LINE, told)


def test_errors_of_any_kind_can_be_told() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert said(Odd()) == "Odd: (its own words cannot be read: ValueError)"
    assert said(AssertionError()) == "AssertionError"
    assert said(RuntimeError("bad\nException raised from here at c10.cpp:3\nframe #0")) == "RuntimeError: bad"
    assert words(ValueError("\n".join("abcdefghij"))) == "a\nb\nc\nd\ne\nf"
    assert said(ExceptionGroup("two", [ValueError("a"), KeyError("b")])).endswith("ValueError: a; KeyError: 'b'")


def test_errors_that_end_loops_become_others_and_all_keep_what_was_done() -> None:
    with pytest.raises(PartFailed) as raised, blame("outer"), blame("inner"):
        next(iter(()))
    assert fault_of(raised.value).headline == "outer: inner: StopIteration"
    with pytest.raises(KeyboardInterrupt), blame("nobody's fault"):
        raise KeyboardInterrupt
