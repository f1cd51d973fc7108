"""The pages for plugin authors: every file on them is written, every command run, and what it prints compared."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from documents import blocks, check_printed, commands, write_files

from ganforge.api import hooks as hookspecs

ROOT = Path(__file__).resolve().parents[1]
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "ganforge_spec")}
PAGES = [*sorted((ROOT / "docs/hooks").glob("*.md")), ROOT / "docs/testing.md", ROOT / "docs/evaluation.md"]


@pytest.fixture
def shell(ganforge: Callable, in_tmp: Path) -> Callable[[str], str]:
    """Run a command as typed; ganforge's own in this process, and Python's in a forked one: torch is imported there."""

    def run(command: str) -> str:
        program, *arguments = shlex.split(command)
        if program == "ganforge":
            outcome = ganforge(*arguments)
            return outcome.out + outcome.err
        if program in ("pytest", "python"):
            imported = "ignore::pytest.PytestAssertRewriteWarning"  # before pytest came
            module = ["-m", "pytest", "-W", imported] if program == "pytest" else []
            done = forked.run([sys.executable, *module, *arguments])
        else:
            done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def install(module: str, folder: Path) -> None:
    """A module of the folder as an installed plugin: files given with `-p` cannot add commands."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ganforge]\n{module} = {module}\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_says_happens(
    page: Path, shell: Callable[[str], str], in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(page, in_tmp)
    if page.stem == "commands":
        install("greeting_commands", in_tmp)
        monkeypatch.syspath_prepend(in_tmp)
    ran = list(commands(page))
    assert ran, "a page without a command proves nothing"
    for command, expected in ran:
        check_printed(command, expected, shell(command))


def test_every_hook_has_a_page_and_every_page_a_hook() -> None:
    assert {path.stem for path in (ROOT / "docs/hooks").glob("*.md")} == {n.removeprefix("register_") for n in HOOKS}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_page_gives_the_exact_signature(hook: str) -> None:
    first = blocks(ROOT / "docs/hooks" / f"{hook.removeprefix('register_')}.md")[0][1]
    assert first == f"def {hook}{inspect.signature(HOOKS[hook])}\n".replace("'", "")


@pytest.mark.parametrize("hook", HOOKS)
def test_a_page_implements_its_hook(hook: str) -> None:
    page = ROOT / "docs/hooks" / f"{hook.removeprefix('register_')}.md"
    assert any(f"@hookimpl\ndef {hook}(" in text for language, text in blocks(page) if language == "python")
