"""`ganforge new`: what it makes passes its own tests, installed as a stranger would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from environments import share_bytecode

from ganforge.commands.new import KINDS

needs_uv = pytest.mark.skipif(shutil.which("uv") is None, reason="installing needs uv on the PATH")


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_uv
def test_a_new_plugin_passes_its_tests_after_uv_sync(ganforge: Callable, in_tmp: Path) -> None:
    made = ganforge("new", "my-losses")
    assert made.code == 0, made.err
    steps = made.out.partition("next\n")[2].splitlines()
    assert [step.strip() for step in steps[:3]] == ["cd my-losses", "uv sync", "uv run pytest"]
    project = in_tmp / "my-losses"
    call("uv", "sync", cwd=project)
    share_bytecode(project / ".venv")
    assert "3 passed" in call("uv", "run", "pytest", cwd=project)
    listed = json.loads(call("uv", "run", "ganforge", "plugins", "--json", cwd=project))
    (plugin,) = [plugin for plugin in listed if plugin["name"] == "my_losses"]
    assert (plugin["state"], plugin["parts"]) == ("loaded", {"losses": ["charbonnier"], "recipes": ["my_losses"]})


@needs_uv
def test_plugins_of_every_kind_pass_their_tests(ganforge: Callable, in_tmp: Path) -> None:
    names = [f"my-{kind}" for kind in KINDS]
    for name in names:
        assert ganforge("new", name).code == 0
    call(
        "uv",
        "pip",
        "install",
        "--python",
        sys.executable,
        "--no-deps",
        "--target",
        "site",
        *(f"./{name}" for name in names),
        cwd=in_tmp,
    )
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *names]
    done = forked.run(command, cwd=in_tmp, env=os.environ | {"PYTHONPATH": str(in_tmp / "site")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_only_names_differ_from_the_templates(kind: str, ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("new", "pretty-thing", "--kind", kind, "--into", "plugins").code == 0
    project = in_tmp / "plugins" / "pretty-thing"
    files = [path for path in project.rglob("*") if path.is_file()]
    assert not [path for path in files if "my-plugin" in path.read_text() or "my_" in path.read_text()]
    described = tomllib.loads((project / "pyproject.toml").read_text())
    assert described["project"]["entry-points"]["ganforge"] == {"pretty_thing": "pretty_thing"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("My-Losses", "'My-Losses' cannot be a package's name; use lower-case letters, digits and hyphens: my-losses"),
        ("2fast", "'2fast' cannot be"),
        ("../up", "'../up' cannot be"),
        ("class", "'class' cannot be"),
        ("random", "there is a Python module 'random' already; choose another name"),
        ("torch", "there is a Python module 'torch' already"),
    ],
)
def test_a_name_that_cannot_be(name: str, told: str, ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("new", name)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {told}")
    assert list(in_tmp.iterdir()) == []


def test_an_existing_folder_is_left_alone(ganforge: Callable, in_tmp: Path) -> None:
    (in_tmp / "my-losses").mkdir()
    outcome = ganforge("new", "my-losses")
    assert outcome.code == 2
    assert "my-losses exists" in outcome.err
    assert list((in_tmp / "my-losses").iterdir()) == []
