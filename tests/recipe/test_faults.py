"""Every mistake that a recipe can hold, and the whole message that its author is shown.

`faults/*.yaml` are recipes with one mistake each (`sound.yaml` has none), `faults/*.txt` what `ganforge check` says of
them on standard error. A first line `# arguments: ...` holds further arguments of the command. After a change,
`GANFORGE_GOLDEN=write pytest tests/recipe/test_faults.py` writes the messages anew: read them as their reader would.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import forked
import pytest

from ganforge.cli import main

FOLDER = Path(__file__).parent / "faults"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "sound")


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name recipes by relative paths, and list only the parts of these plugins."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("GANFORGE_PLUGINS", "classics,cyclegan")


def arguments(name: str) -> list[str]:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    mark = "# arguments: "
    return ["check", f"{name}.yaml", *(shlex.split(first.removeprefix(mark)) if first.startswith(mark) else [])]


def exit_code(name: str) -> int:
    return 0 if name.startswith("warning_") else 2


@pytest.mark.parametrize("name", NAMES)
def test_the_message_is_the_golden_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments(name))
    said = capsys.readouterr().err
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("GANFORGE_GOLDEN") == "write":
        golden.write_text(said)
    assert "Traceback" not in said
    assert ended.value.code == exit_code(name)
    assert said == golden.read_text()


@pytest.mark.parametrize("name", ["several_faults", "shape_of_channels"])
def test_the_command_says_the_same(name: str) -> None:
    done = forked.run([sys.executable, "-m", "ganforge", *arguments(name)])
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (FOLDER / f"{name}.txt").read_text()


def test_the_recipe_that_all_start_from_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments("sound"))
    assert ended.value.code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", NAMES)
def test_no_message_speaks_python(name: str) -> None:
    jargon = ("NoneType", "positional argument", "TypedDict", "pydantic", "torch.Size", "FakeTensor", "object has no")
    said = (FOLDER / f"{name}.txt").read_text()
    assert not [word for word in jargon if word in said]
    assert max(map(len, said.splitlines())) <= 180


def test_every_golden_has_its_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(NAMES)
