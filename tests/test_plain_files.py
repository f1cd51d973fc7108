"""What lies beside a plain file is imported with it, hides nothing, and is told apart from what lies beside another."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganforge.errors import UsageError
from ganforge.plugins import plain_files
from ganforge.plugins.loading import load_plugins

PLUGIN = """
import random
from torch import Tensor
from ganforge import hookimpl
from helping import halved
from pieces.deep import scale

def near(input: Tensor, target: Tensor) -> Tensor:
    from lately import shifted
    return shifted(halved((input - target).abs().mean() * scale * random.choice([1.0])))

@hookimpl
def register_losses(register):
    register("near", near)
"""
HELPER = "def halved(number):\n    return number / 2\n"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    plain_files.forget()  # those of other tests
    before = list(sys.path)
    yield
    plain_files.forget()
    assert [entry for entry in sys.path if entry != "."] == before


def fill(folder: Path, file: str = "losing.py") -> Path:
    (folder / "pieces").mkdir(parents=True)
    (folder / "helping.py").write_text(HELPER)
    (folder / "lately.py").write_text("def shifted(number):\n    return number\n")
    (folder / "pieces" / "__init__.py").write_text("")
    (folder / "pieces" / "deep.py").write_text("from pieces import other\nscale = 2.0\n")
    (folder / "pieces" / "other.py").write_text("")
    for name in ("random", "yaml"):
        (folder / f"{name}.py").write_text("raise AssertionError('it hides what is installed')\n")
    (folder / file).write_text(PLUGIN)
    return folder / file


def test_a_run_with_files_beside_a_plugin(ganforge: Callable, in_tmp: Path, repository: Path) -> None:
    file = fill(in_tmp / "mine")
    recipe = repository / "recipes" / "tiny" / "cyclegan_shapes.yaml"
    outcome = ganforge("run", recipe, "-p", file, "run.steps=1", "phases.0.losses.cycle_a.type=near", "run.images=[]")
    assert outcome.code == 0, outcome.err
    run = in_tmp / "runs" / "cyclegan_shapes" / "0001"
    code = json.loads((run / "run.json").read_text())["code"]["losing"]
    assert (code["file"], code["beside"]) == ("losing.py", "helping.py lately.py pieces")
    assert ganforge("bundle", run, "-p", file, "-o", "b.zip").code == 0
    (in_tmp / "mine" / "pieces" / "other.py").write_text("# changed\n")
    told = ganforge("run", "b.zip", "-p", file, "--dry-run").err
    assert "losing.py with helping.py lately.py pieces is another than" in told
    missing = ganforge("run", "b.zip").err
    assert "the plain file losing.py with helping.py lately.py pieces; bundles carry no code" in missing


def test_they_can_be_found_for_good(tmp_path: Path) -> None:
    """By imports in functions, and by workers: a process that is spawned is told the path."""
    load_plugins([fill(tmp_path / "mine")])
    assert sys.path[-1] == str(tmp_path / "mine")


def test_what_is_edited_is_read_again(tmp_path: Path) -> None:
    file = fill(tmp_path)
    load_plugins([file])
    (tmp_path / "helping.py").write_text(HELPER.replace("/ 2", "/ 4"))
    load_plugins([file])
    assert sys.modules["helping"].halved(4) == 1


def test_the_folder_that_one_works_in_may_be_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.path.insert(0, ".")` stands in many a script; in a notebook the folder changes."""
    monkeypatch.setattr(sys, "path", [".", *sys.path])
    for folder, half in (("one", "/ 2"), ("two", "/ 4")):
        file = fill(tmp_path / folder)
        (tmp_path / folder / "helping.py").write_text(HELPER.replace("/ 2", half))
        monkeypatch.chdir(tmp_path / folder)
        load_plugins([file])
        assert sys.modules["helping"].halved(4) == {"one": 2, "two": 1}[folder]


def test_files_of_one_name_beside_two_plugins_are_not_mixed(tmp_path: Path) -> None:
    files = [fill(tmp_path / "one", "first.py"), fill(tmp_path / "two", "second.py")]
    with pytest.raises(UsageError) as refused:
        load_plugins(files)
    assert str(refused.value) == (
        f"plugin {files[1]}: second.py imports 'helping', and would get {tmp_path / 'one' / 'helping.py'}, "
        "which lies beside another plugin; give one of the two another name"
    )
    (tmp_path / "three").mkdir()
    lonely = tmp_path / "three" / "third.py"
    lonely.write_text(PLUGIN)
    with pytest.raises(UsageError, match=r"third\.py imports 'helping', and would get"):
        load_plugins([files[0], lonely])


def test_a_plugin_may_import_another(tmp_path: Path) -> None:
    file = fill(tmp_path)
    (tmp_path / "helping.py").write_text(
        HELPER + PLUGIN.replace("from helping import halved", "").replace("near", "far")
    )
    registry = load_plugins([file, tmp_path / "helping.py"]).registry
    assert registry.find("losses", "far").factory is sys.modules["helping"].far


def test_what_is_not_there_is_told_with_the_cure(ganforge: Callable, tmp_path: Path) -> None:
    file = fill(tmp_path)
    (tmp_path / "helping.py").unlink()
    outcome = ganforge("parts", "losses", "-p", file)
    assert outcome.code == 2
    assert "No module named 'helping'; write helping.py beside losing.py, or install it" in outcome.err


def test_a_name_that_is_hidden_is_noted(tmp_path: Path) -> None:
    (plugin,) = (each for each in load_plugins([fill(tmp_path)]).found if each.name == "losing")
    assert plugin.notes == ["its 'random' is not the file beside it: installed ones go first"]
