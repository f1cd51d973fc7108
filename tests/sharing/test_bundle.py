"""`ganforge bundle` and what is done with a bundle: trained anew, gone on with, translated with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sharing.conftest import TINY

from ganforge.sharing.bundle import unpack
from ganforge.sharing.bundle.reproduction import compare

PLUGIN = """
import torch.nn.functional as F
from torch import Tensor
from ganforge import hookimpl

def mine(input: Tensor, target: Tensor): return F.l1_loss(input, target)

@hookimpl
def register_losses(register): register("mine", mine)
"""


@pytest.fixture
def bundle(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> Path:
    assert ganforge("bundle", shapes_run, "-o", "shapes.zip").code == 0
    return Path("shapes.zip")


def head(bundle: Path) -> dict[str, Any]:
    return json.loads(zipfile.ZipFile(bundle).read("bundle.json"))


def hashes(run: Path, step: int) -> dict[str, str]:
    return json.loads((run / f"checkpoints/step_{step:07d}/manifest.json").read_text())


# Packing


def test_what_is_in_it(bundle: Path, shapes_run: Path) -> None:
    archive = zipfile.ZipFile(bundle)
    files = ("ema.safetensors", "manifest.json", "networks.safetensors", "state.json", "training.safetensors")
    weights = [f"checkpoints/step_0000004/{name}" for name in files]
    panels = [f"images/{name}/step_0000004.png" for name in ("a2b", "b2a")]
    assert archive.namelist() == ["bundle.json", *weights, "data.json", *panels, "recipe.yaml", "run.json"]
    assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert archive.read("recipe.yaml") == (shapes_run / "recipe.yaml").read_bytes()
    assert archive.read(weights[2]) == (shapes_run / weights[2]).read_bytes()
    assert "process" not in json.loads(archive.read("run.json"))
    assert json.loads(archive.read("data.json"))["paths"] == {}
    described = head(bundle)
    assert (described["recipe"], described["run"], described["state"]) == ("cyclegan_shapes", "0001", False)
    assert set(described["plugins"]) == {"ganforge", "cyclegan", "classics"}
    assert described["plugins"]["cyclegan"]["distribution"] == "ganforge-cyclegan"


def test_the_same_run_gives_the_same_bytes(bundle: Path, shapes_run: Path, ganforge: Callable) -> None:
    outcome = ganforge("bundle", shapes_run, "-o", "again.zip")
    one, other = head(bundle), head(Path("again.zip"))
    if one["plugins"] != other["plugins"]:
        pytest.skip("ganforge's own code was edited meanwhile")
    assert bundle.read_bytes() == Path("again.zip").read_bytes()
    assert "made in memory" in outcome.out


def test_a_file_that_is_there_is_kept(bundle: Path, shapes_run: Path, ganforge: Callable) -> None:
    outcome = ganforge("bundle", shapes_run, "-o", bundle)
    assert (outcome.code, "is there already" in outcome.err) == (2, True)
    assert ganforge("bundle", shapes_run, "-o", bundle, "--overwrite").code == 0


def test_the_best_or_a_named_checkpoint(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("bundle", shapes_run, "--checkpoint", "step_0000002").code == 0
    assert head(Path("cyclegan_shapes_0001.ganforge.zip"))["checkpoint"] == "step_0000002"
    for arguments, told in (
        (["--checkpoint", "step_9"], "it has step_0000002, step_0000004"),
        (["--best", "fid"], "has no best 'fid'; known: a_to_b/mean_absolute_error"),
        (["--best", "fid", "--checkpoint", "x"], "not both"),
        (["-o", "no/where.zip"], "there is no folder no"),
    ):
        outcome = ganforge("bundle", shapes_run, "-o", "x.zip", *arguments)
        assert outcome.code == 2
        assert told in outcome.err
    best = json.loads((shapes_run / "run.json").read_text())["best"]["a_to_b/times_lower"]["step"]
    assert ganforge("bundle", shapes_run, "-o", "best.zip", "--best", "a_to_b/times_lower").code == 0
    assert head(Path("best.zip"))["checkpoint"] == f"step_{best:07d}"


def test_what_is_no_run_is_no_bundle(ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("bundle", in_tmp).code == 2
    (in_tmp / "run.json").write_text("{}")
    assert "has no checkpoint yet" in ganforge("bundle", in_tmp).err


# Training it anew


def test_it_is_reproduced_exactly(bundle: Path, ganforge: Callable) -> None:
    outcome = ganforge("run", bundle)
    assert outcome.code == 0, outcome.err
    assert "reproduced exactly: every weight of step_0000004, and 6 figures, bit for bit" in outcome.out
    record = json.loads(Path("runs/cyclegan_shapes/0001/run.json").read_text())
    assert (record["reproduces"], record["reproduced"]) == ("shapes.zip", "exactly")


def test_another_seed_is_no_reproduction(bundle: Path, ganforge: Callable) -> None:
    outcome = ganforge("run", bundle, "run.seed=7", "run.steps=1")
    assert "nothing to compare with the bundle: you changed run.seed" in outcome.out
    assert "reproduced" not in json.loads(Path("runs/cyclegan_shapes/0001/run.json").read_text())


def test_figures_that_differ_are_told(bundle: Path, shapes_run: Path, ganforge: Callable) -> None:
    """As from another machine: the weights are of another step's, and one figure is larger by a hundredth."""
    other = Path("other/cyclegan_shapes/0001")
    shutil.copytree(shapes_run, other)
    record = json.loads((other / "run.json").read_text())
    record["metrics"]["a_to_b/untouched"] *= 1.01
    record["versions"]["torch"] = "2.9.1+cpu"
    (other / "run.json").write_text(json.dumps(record))
    shutil.rmtree(other / "checkpoints/step_0000004")
    (other / "checkpoints/step_0000002").rename(other / "checkpoints/step_0000004")
    assert ganforge("bundle", other, "-o", "other.zip").code == 0
    verdict = compare(unpack(Path("other.zip")), shapes_run)
    assert verdict.word == "figures within 0.99 %"
    assert next(verdict.lines()) == "the weights are not the same bits; the figures agree within 0.99 %:"
    assert "  a_to_b/untouched            0.130432 in the bundle, 0.12914 here (0.99 %)" in verdict.lines()
    outcome = ganforge("run", "other.zip", "--dry-run")
    assert "the bundle was made with torch 2.9.1+cpu, and here is" in outcome.err
    assert "pip install 'torch==2.9.1' gives the same" in outcome.err


def test_a_dry_run_of_a_bundle(bundle: Path, ganforge: Callable) -> None:
    outcome = ganforge("run", bundle, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert not Path("runs").exists()


def test_without_its_state_nobody_goes_on(bundle: Path, ganforge: Callable) -> None:
    outcome = ganforge("run", bundle, "--resume")
    assert outcome.code == 2
    assert "has no training state to go on from" in outcome.err


def test_a_full_bundle_goes_on_as_its_run_does(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("bundle", shapes_run, "--full", "-o", "full.zip").code == 0
    longer = ("--resume", "run.steps=5", "run.epochs=null")
    assert ganforge("run", "full.zip", *longer).code == 0
    shutil.copytree(shapes_run, "copied/cyclegan_shapes/0001")
    assert ganforge("run", "copied/cyclegan_shapes/0001", *longer).code == 0
    theirs, ours = (hashes(Path(out, "cyclegan_shapes/0001"), 5) for out in ("runs", "copied"))
    assert {**theirs, "state.json": ""} == {**ours, "state.json": ""}


# What it needs


def test_a_plugin_that_is_not_installed(bundle: Path, ganforge: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_PLUGINS", "classics")
    for arguments in (["run", bundle], ["translate", bundle, TINY, "-o", "out"]):
        outcome = ganforge(*arguments)
        assert outcome.code == 2
    outcome = ganforge("run", bundle)
    assert outcome.err == (
        "error: shapes.zip needs plugins that are not here:\n  cyclegan: pip install 'ganforge-cyclegan==0.1.0'\n"
    )
    assert not Path("runs").exists()


def test_plain_files_are_named_and_not_carried(ganforge: Callable, in_tmp: Path) -> None:
    Path("my_losses.py").write_text(PLUGIN)
    mine = ("-p", "my_losses.py")
    recipe = TINY / "cyclegan_shapes.yaml"
    assert ganforge("run", recipe, *mine, "phases.0.losses.cycle_a.type=mine", "run.steps=1").code == 0
    assert ganforge("bundle", "runs/cyclegan_shapes/0001", "-o", "a.zip", *mine).code == 0
    assert head(Path("a.zip"))["plugins"]["my_losses"]["file"] == "my_losses.py"
    assert not any(name.endswith(".py") for name in zipfile.ZipFile("a.zip").namelist())
    outcome = ganforge("run", "a.zip")
    assert outcome.code == 2
    assert (
        "my_losses: the plain file my_losses.py; bundles carry no code: ask for it, and give it with -p" in outcome.err
    )
    Path("my_losses.py").write_text(PLUGIN + "# changed\n")
    outcome = ganforge("run", "a.zip", *mine, "--dry-run")
    assert outcome.code == 0
    assert "my_losses.py is another than the my_losses.py that the bundle was made with" in outcome.err


def test_data_are_listed_and_compared(
    folders_run: Path, picture_folders: Path, ganforge: Callable, in_tmp: Path
) -> None:
    outcome = ganforge("bundle", folders_run, "-o", "a.zip")
    assert "14 files of data.root: names and hashes, no pictures" in outcome.out
    files = json.loads(zipfile.ZipFile("a.zip").read("data.json"))["paths"]["root"]["files"]
    assert files[0][:2] == ["testA/0.jpg", (picture_folders / "testA/0.jpg").stat().st_size]
    assert not any(name.endswith(".jpg") for name in zipfile.ZipFile("a.zip").namelist())
    shutil.copytree(picture_folders, "mine")
    shutil.copy("mine/trainA/0.jpg", "mine/trainA/1.jpg")
    Path("mine/trainB/0.jpg").unlink()
    outcome = ganforge("run", "a.zip", "data.root=mine", "--dry-run")
    assert "data.root: of 14 files below mine, 1 missing (trainB/0.jpg), 1 different (trainA/1.jpg)" in outcome.err
    assert "data.root" not in ganforge("run", "a.zip", "--dry-run").err
    assert ganforge("run", "a.zip", "data.root=nowhere").code == 3
    assert not Path("runs").exists()


def test_without_the_list_of_data(folders_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    assert "data      left out" in ganforge("bundle", folders_run, "-o", "a.zip", "--no-data").out
    assert json.loads(zipfile.ZipFile("a.zip").read("data.json"))["paths"]["root"]["files"] is None


def test_changed_code_is_told(bundle: Path, ganforge: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganforge.sharing.bundle import code

    real = code._hash_of_package
    monkeypatch.setattr(code, "_hash_of_package", lambda m: "0" * 64 if "cyclegan" in m.__name__ else real(m))
    err = ganforge("run", bundle, "--dry-run").err
    assert "the code of ganforge-cyclegan 0.1.0 here is not that of the same version which made the bundle" in err


# Using it as it is


def test_it_translates_as_its_run_does(
    bundle: Path, shapes_run: Path, picture_folders: Path, ganforge: Callable
) -> None:
    pictures = picture_folders / "testA"
    assert ganforge("translate", bundle, pictures, "-o", "one").code == 0
    assert ganforge("translate", shapes_run, pictures, "-o", "other").code == 0
    names = sorted(path.name for path in Path("one").glob("*.png"))
    assert names
    assert all(Path("one", name).read_bytes() == Path("other", name).read_bytes() for name in names)


def test_it_is_unpacked_for_as_long_as_the_process_lives(bundle: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom ganforge.sharing.bundle import unpack\n"
        f"folder = unpack(Path({str(bundle)!r})).folder\n"
        f"assert folder == unpack(Path({str(bundle)!r})).folder\n"
        "assert (folder / 'run.json').is_file()\nassert 'torch' not in sys.modules\nprint(folder)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    assert folder.parts[-2:] == ("cyclegan_shapes", "0001")
    assert not folder.parent.parent.exists()
