"""Code that changed between a run and its resume: kept in its history, told, and refused until it is accepted."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runfolder import Folder

LONGER = ("run.epochs=8", "players.generator.schedule=null", "players.judge.schedule=null")


def edit(name: str = "toy.py") -> None:
    Path(name).write_text(Path(name).read_text() + "\n# edited\n")


def test_an_edited_plugin_is_refused_then_accepted_and_both_versions_are_kept(
    trained: Folder, resume: Callable, ganforge: Callable
) -> None:
    before = trained.record["code"]["toy"]["sha256"]
    edit()
    refused = resume(trained.path, "run.epochs=8")
    assert refused.code == 2
    assert re.search(rf"code.toy: toy.py \({before[:8]}\) -> toy.py \([0-9a-f]{{8}}\)", refused.err)
    assert trained.record["code"]["toy"]["sha256"] == before
    (offer,) = re.findall(r"go on with the changes: ganforge (.+)", refused.err)
    accepted = ganforge(*shlex.split(offer))
    assert accepted.code == 0, accepted.err
    record = trained.record
    history = [(entry["step"], entry["code"]["toy"]["sha256"]) for entry in record["code_history"]]
    assert history == [(0, before), (12, record["code"]["toy"]["sha256"])]
    assert history[0][1] != history[1][1]
    assert [entry["key"] for entry in record["changes"]] == ["run.epochs", "code.toy"]
    assert "code.toy" in trained.texts("changes")[12]
    assert resume(trained.path, "run.epochs=9").code == 0  # nothing has changed since
    assert len(trained.record["code_history"]) == 2


def test_a_helper_beside_a_plugin_counts(
    ganforge: Callable, trained: Folder, resume: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the plugin adds to it
    Path("helper_of_toys.py").write_text("WANTED = 1.0\n")
    Path("toy.py").write_text(
        "import sys\nsys.path.insert(0, '.')\nfrom helper_of_toys import WANTED\n" + Path("toy.py").read_text()
    )
    assert ganforge("run", "toy.yaml", "-p", "toy.py").code == 0
    run = Path("runs/toy/0002")
    assert resume(run, "run.epochs=7").code == 0
    edit("helper_of_toys.py")
    refused = resume(run, "run.epochs=8")
    assert (refused.code, "code.toy" in refused.err) == (2, True)


def test_a_plugin_that_the_recipe_does_not_name_may_change(trained: Folder, resume: Callable) -> None:
    other = "from ganforge import hookimpl\n@hookimpl\ndef register_losses(register):\n    pass\n"
    Path("other.py").write_text(other)
    assert resume(trained.path, "-p", "other.py", "run.epochs=7").code == 0
    edit("other.py")
    assert resume(trained.path, "-p", "other.py", "run.epochs=8").code == 0


@pytest.mark.parametrize(
    ("entry", "told"), [("versions", "versions.torch: 1.0 -> "), ("code", "code.ganforge: ganforge")]
)
def test_another_torch_or_ganforge_is_told_and_noted(entry: str, told: str, trained: Folder, resume: Callable) -> None:
    record = trained.record
    if entry == "versions":
        record["versions"]["torch"] = "1.0"
    else:
        record["code"]["ganforge"]["sha256"] = "0" * 64
    (trained.path / "run.json").write_text(json.dumps(record))
    outcome = resume(trained.path, "run.epochs=8")
    assert outcome.code == 0
    assert told in outcome.err
    assert told.partition(":")[0] in [change["key"] for change in trained.record["changes"]]


def test_going_back_is_held_against_the_code_of_then(trained: Folder, resume: Callable) -> None:
    source = Path("toy.py").read_text()
    edit()
    assert resume(trained.path, "--accept-changes", *LONGER).code == 0
    refused = resume(trained.checkpoint(8))
    assert (refused.code, "code.toy" in refused.err) == (2, True)
    Path("toy.py").write_text(source)
    assert resume(trained.checkpoint(8)).code == 0
    assert resume(trained.checkpoint(16), "run.epochs=9").code == 2
