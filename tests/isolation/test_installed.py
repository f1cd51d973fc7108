"""Plugins that misbehave, as distributions that are really installed: each costs only itself.

They are built and installed beside three sound ones, and the command runs in processes of its own. After a change,
`GANFORGE_GOLDEN=write pytest tests/isolation` writes `plugins.txt` anew: read it as its reader would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import pytest

from ganforge import __version__
from ganforge.plugins.guard import SETTINGS

pytestmark = pytest.mark.skipif(shutil.which("uv") is None, reason="installing distributions needs uv on the PATH")

PROJECT = """\
[project]
name = "ganforge-{distribution}"
version = "1.2"
{project}
[project.entry-points.ganforge]
{plugin} = "ganforge_{module}"

[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
only-include = ["ganforge_{distribution}.py"]
"""

LOSSES = '''\
from torch import Tensor
from ganforge import hookimpl


def charbonnier(input: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    """A smooth absolute difference."""
    return ((input - target) ** 2 + epsilon**2).sqrt().mean()


@hookimpl
def register_losses(register):
    register("charbonnier", charbonnier)
'''

NETWORK = '''

from torch import nn


class Painter(nn.Sequential):
    """Its dropout draws from torch's global generator."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__(nn.Conv2d(3, channels, 3, 1, 1), nn.Dropout(0.5), nn.Conv2d(channels, 3, 3, 1, 1), nn.Tanh())


@hookimpl
def register_networks(register):
    register("painter", Painter)
'''

RECIPE = """\
data: {type: shapes, size_px: 16, count: 4, validation: 2, batch_size: 2}
networks:
  G: {type: painter}
signals:
  fake: G(real_a)
players:
  generator: {networks: [G], optimizer: {type: adam, lr: 2e-4}}
phases:
  - train: generator
    losses:
      near: {type: smooth.charbonnier, input: fake, target: real_b}
      same: {type: l1, input: fake, target: real_a}
run: {steps: 3, images: [real_a, fake]}
"""


@dataclass(frozen=True)
class Case:
    """What is installed, and what is said of it."""

    text: str = LOSSES
    reason: str = ""
    note: str = ""
    project: str = ""
    """Further lines of `[project]`."""
    plugin: str = ""
    """The entry point's name, where it is not the distribution's."""
    module: str = ""
    """The entry point's module, where it is not the distribution's."""


TWINS = "ganforge-castor 1.2 and ganforge-pollux 1.2 both call their plugin 'twin'; uninstall one of them"

BROKEN = {
    "raises": Case(
        "import a_module_that_is_nowhere", "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"
    ),
    "exits": Case("import sys\nsys.exit(3)", "it ends Python when it is imported (SystemExit: 3)"),
    "unparsable": Case("def broken(:\n", "SyntaxError: invalid syntax (ganforge_unparsable.py, line 1)"),
    "misspelt": Case(
        LOSSES.replace("register_losses", "register_loses"),
        "there is no hook 'register_loses'; did you mean 'register_losses'?",
    ),
    "unfitting": Case(
        LOSSES.replace("register_losses(register)", "register_losses(registry, strict)"),
        "the hook 'register_losses' takes (register), not (registry, strict): write def register_losses(register)",
    ),
    "untyped": Case(
        LOSSES.replace("epsilon: float", "epsilon"),
        "parameter 'epsilon' of 'charbonnier' (ganforge_untyped.py:5) has no type annotation; "
        "write one: it tells the engine how to check or bind it, "
        "`epsilon: Tensor` by an expression, `epsilon: float = 1.0` as an option",
    ),
    "reserved": Case(
        LOSSES.replace("epsilon", "weight"),
        "'charbonnier' has a parameter 'weight': recipes use that name themselves; rename it",
    ),
    "unnameable": Case(
        LOSSES.replace('register("charbonnier"', 'register("smooth.charbonnier"'),
        "it registers the loss 'smooth.charbonnier', which is no name that a recipe could call",
    ),
    "castor": Case(reason=TWINS, plugin="twin"),
    "pollux": Case(reason=TWINS, plugin="twin"),
    "impostor": Case(reason="another plugin is called 'ganforge'; give this one a name of its own", plugin="ganforge"),
    "newer": Case(
        "raise AssertionError('it must not be imported')",
        f"it wants ganforge>=99, and this is {__version__}: pip install --upgrade 'ganforge>=99'",
        project='dependencies = ["ganforge>=99"]',
    ),
    "moved": Case(
        reason="its entry point names the module 'ganforge_elsewhere', which is not installed", module="elsewhere"
    ),
    "hookless": Case(
        "x = 1", "it implements no hook: mark functions such as register_losses with @ganforge.hookimpl"
    ),
}  # fmt: skip

# What a script of this field may do in its first lines; nothing of it may reach a run.
RESTLESS = """
import os, random, warnings
import numpy, torch
numpy.random.seed(1)
random.seed(1)
torch.manual_seed(1)
torch.rand(1)
torch.use_deterministic_algorithms(True)
torch.backends.cudnn.benchmark = True
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.set_num_threads(torch.get_num_threads() + 1)
torch.set_float32_matmul_precision("medium")
os.environ["CUDA_VISIBLE_DEVICES"] = "7"
warnings.simplefilter("error")
"""

SOUND = {
    "smooth": Case(
        LOSSES + NETWORK,
        # No requirements of this ganforge on this Python.
        project='dependencies = ["ganforge>=0.1", "GANforge>=99; python_version < \'3\'"]\n'
        "[project.optional-dependencies]\nlater = ['ganforge>=99']",
    ),
    "rival": Case(LOSSES + '    register("l1", lambda: 1 / 0)\n'),
    "chatty": Case("print('hello from a plugin')\n" + LOSSES),
    "slow": Case("import time\ntime.sleep(2.1)\n" + LOSSES, note="every command waits for it: loading it took "),
    "restless": Case(
        RESTLESS + LOSSES,
        note=f"when it was loaded it changed {', '.join(SETTINGS)}: put back, for that would change runs",
    ),
    "lacking": Case(
        note="it wants ganforge-nowhere>=2, which is not installed: pip install 'ganforge-nowhere>=2'",
        project='dependencies = ["ganforge_nowhere>=2"]',
    ),
}

CASES = BROKEN | SOUND
QUICK = [name for name in CASES if name != "slow"]


def plugin_of(distribution: str) -> str:
    return CASES[distribution].plugin or distribution


def run(folder: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process that sees what is installed in this folder too."""
    outside = {k: v for k, v in os.environ.items() if k not in ("GANFORGE_PLUGINS", "CUDA_VISIBLE_DEVICES")}
    seen = outside | {"PYTHONPATH": str(folder)} | environment
    return forked.run([sys.executable, "-m", "ganforge", *arguments], env=seen, cwd=cwd)


@pytest.fixture(scope="session")
def installed(once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the distributions, built and installed."""
    return once("installed", lambda target: install(tmp_path_factory.mktemp("sources"), target))


def install(sources: Path, target: Path) -> None:
    for name, case in CASES.items():
        (sources / name).mkdir()
        project = PROJECT.format(
            distribution=name, plugin=plugin_of(name), module=case.module or name, project=case.project
        )
        (sources / name / "pyproject.toml").write_text(project)
        (sources / name / f"ganforge_{name}.py").write_text(case.text)
    command = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", target]
    done = subprocess.run(
        [*command, *(f"./{name}" for name in CASES)], cwd=sources, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def listing(installed: Path, once: Callable[..., Path]) -> subprocess.CompletedProcess[str]:
    """What `ganforge plugins --json` says where all of them are installed."""
    return told(once("listing", lambda folder: tell(folder, run(installed, "plugins", "--json", cwd=folder))))


@pytest.fixture(scope="session")
def training(installed: Path, once: Callable[..., Path]) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A small run where all of them are installed, and its folder."""

    def train(folder: Path) -> None:
        (folder / "tiny.yaml").write_text(RECIPE)
        done = run(installed, "run", "tiny.yaml", cwd=folder, GANFORGE_PLUGINS=",".join(map(plugin_of, QUICK)))
        tell(folder, done)

    folder = once("training", train)
    return folder / "runs" / "tiny" / "0001", told(folder)


def tell(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    """Write down how a command ended, for all processes of the tests."""
    (folder / "ended.json").write_text(json.dumps([done.args, done.returncode, done.stdout, done.stderr]))


def told(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(*json.loads((folder / "ended.json").read_text()))


@pytest.fixture
def here(installed: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process sees them too; the current folder, with the recipe."""
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("GANFORGE_PLUGINS", ",".join(map(plugin_of, QUICK)))
    (in_tmp / "tiny.yaml").write_text(RECIPE)
    return in_tmp


def entry(listing: subprocess.CompletedProcess[str], name: str) -> dict[str, Any]:
    (found,) = [each for each in json.loads(listing.stdout) if each["distribution"] == f"ganforge-{name}"]
    return found


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_listed_with_its_reason(name: str, listing: subprocess.CompletedProcess[str]) -> None:
    assert listing.returncode == 0
    found = entry(listing, name)
    traceback = found.pop("traceback")
    assert found == {
        "name": plugin_of(name),
        "distribution": f"ganforge-{name}",
        "version": "1.2",
        "state": "broken",
        "reason": BROKEN[name].reason,
        "hooks": [],
        "parts": {},
        "notes": [],
    }
    # Where it is the plugin's code that failed, or a part of it that is none; elsewhere the reason says all.
    placed = ("raises", "exits", "unparsable", "untyped", "reserved")
    assert (f"ganforge_{name}.py" in traceback) == (name in placed)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_one_is_listed_with_what_it_brings(name: str, listing: subprocess.CompletedProcess[str]) -> None:
    found = entry(listing, name)
    assert (found["name"], found["version"], found["state"]) == (name, "1.2", "loaded")
    assert (found["reason"], found["traceback"]) == ("", "")
    losses = ["charbonnier", "l1"] if name == "rival" else ["charbonnier"]
    networks = {"networks": ["painter"]} if name == "smooth" else {}
    assert found["parts"] == {"losses": losses, **networks}
    assert found["hooks"] == ["register_losses", *(["register_networks"] if networks else [])]
    # On a busy machine any of them may be slow to load.
    notes = [note for note in found["notes"] if name == "slow" or not note.startswith(SOUND["slow"].note[:30])]
    assert len(notes) == bool(SOUND[name].note)
    assert all(note.startswith(SOUND[name].note) for note in notes)
    if name == "slow":
        assert float(notes[0].removeprefix(SOUND[name].note).split()[0].rstrip("s")) >= 2.1


def test_what_a_plugin_prints_does_not_spoil_the_json(listing: subprocess.CompletedProcess[str]) -> None:
    json.loads(listing.stdout)
    assert listing.stderr == "hello from a plugin\n"


@pytest.mark.parametrize("name", BROKEN)
def test_a_run_warns_of_a_broken_one(name: str, training: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = training
    case = BROKEN[name]
    warning = f"warning: plugin '{plugin_of(name)}' (ganforge-{name} 1.2) could not be loaded: {case.reason}\n"
    assert done.stderr.count(warning) == 1


def test_the_sound_ones_train(training: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = training
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert {name for name in record["versions"] if name.removeprefix("ganforge-") in CASES} == {
        f"ganforge-{name}" for name in SOUND if name in QUICK
    }


def test_installing_plugins_changes_no_run(
    training: tuple[Path, subprocess.CompletedProcess[str]],
    here: Path,
    ganforge: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GANFORGE_PLUGINS", "smooth")
    outcome = ganforge("run", "tiny.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    crowded, alone = (folder / "checkpoints" / "step_0000003" for folder in (training[0], here / "runs/tiny/0001"))
    states = sorted(path.name for path in alone.glob("*.safetensors"))
    assert "networks.safetensors" in states
    assert [name for name in states if (crowded / name).read_bytes() != (alone / name).read_bytes()] == []


def test_an_unknown_part_quotes_all_that_are_broken(here: Path, ganforge: Callable) -> None:
    outcome = ganforge("check", "tiny.yaml", "phases.0.losses.near.type=vgg")
    assert outcome.code == 2
    assert "unknown loss 'vgg'" in outcome.err
    error = " ".join(outcome.err.partition("error: ")[2].split())
    for name, case in BROKEN.items():
        assert f"plugin '{plugin_of(name)}' could not be loaded: {case.reason}" in error


def test_a_name_of_two_plugins_is_an_error_at_use(
    here: Path, ganforge: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANFORGE_PLUGINS", "smooth,rival")
    outcome = ganforge("check", "tiny.yaml")  # its l1 is the built-in one
    assert (outcome.code, outcome.err) == (0, "")
    outcome = ganforge("check", "tiny.yaml", "phases.0.losses.near.type=charbonnier")
    assert outcome.code == 2
    assert "'charbonnier' is registered by 2 plugins" in outcome.err
    assert "write rival.charbonnier or smooth.charbonnier" in outcome.err


def test_the_list_reads_well(here: Path, installed: Path, ganforge: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [*BROKEN, "smooth", "rival", "lacking"]
    monkeypatch.setenv("GANFORGE_PLUGINS", ",".join([*map(plugin_of, shown), "smoth"]))
    monkeypatch.setenv("COLUMNS", "80")
    outcome = ganforge("plugins")
    listed = outcome.out.replace(str(installed), "<installed>")
    listed = listed[listed.index("\nlacking") + 1 :]  # what is built in changes more often
    golden = Path(__file__).parent / "plugins.txt"
    if os.environ.get("GANFORGE_GOLDEN") == "write":
        golden.write_text(listed)
    assert (outcome.code, outcome.err) == (0, "")
    assert listed == golden.read_text()
