"""The documents' code runs, and what they name exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from documents import blocks

from ganforge.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]

# Those whose commands are run, by tests/test_pages.py and tests/test_packaging.py.
EXECUTED = [*(ROOT / "docs/hooks").glob("*.md"), ROOT / "docs/testing.md", ROOT / "docs/tutorial.md"]


def blocks_of(path: Path, language: str) -> list[str]:
    return [text for kind, text in blocks(path) if kind == language]


def typed() -> list[tuple[str, list[str]]]:
    found = []
    for path in [path for path in DOCS if path not in EXECUTED]:
        for text in blocks_of(path, "console"):
            for line in text.splitlines():
                if "ganforge " in line and line.startswith("$ "):
                    words = shlex.split(line.partition("ganforge ")[2], comments=True)
                    found.append((path.name, words))
    return found


@pytest.mark.parametrize(
    ("document", "words"), typed(), ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_commands_in_the_documents_parse(document: str, words: list[str]) -> None:
    from ganforge.cli import cli

    assert words[0] in COMMANDS
    name, command, rest = cli.resolve_command(cli.make_context("ganforge", ["--help"], resilient_parsing=True), words)
    assert command is not None
    command.make_context(name, list(rest))  # click raises where an option does not exist


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_recipe_of_the_readme_trains_forty_lines(ganforge: Callable, in_tmp: Path) -> None:
    recipe = blocks_of(ROOT / "README.md", "yaml")[0]
    (in_tmp / "my_recipe.yaml").write_text(recipe)
    outcome = ganforge("run", "my_recipe.yaml", "run.steps=2", "data.count=4", "data.validation=4")
    assert outcome.code == 0, outcome.err


def test_the_error_of_the_readme_is_what_the_command_prints(ganforge: Callable, in_tmp: Path) -> None:
    recipe = blocks_of(ROOT / "README.md", "yaml")[0]
    (in_tmp / "my_recipe.yaml").write_text(recipe.replace("rec_a: G_ba(fake_b)", "rec_a: G_bb(fake_b)"))
    shown = next(text for text in blocks_of(ROOT / "README.md", "") if "did you mean" in text)
    assert shown in ganforge("check", "my_recipe.yaml").err


def test_the_plugin_of_the_readme_trains(ganforge: Callable, in_tmp: Path) -> None:
    (in_tmp / "my_losses.py").write_text(blocks_of(ROOT / "README.md", "python")[0])
    change = "phases.0.losses.cycle_a.type=charbonnier"
    outcome = ganforge("run", ROOT / "recipes/tiny/cyclegan_shapes.yaml", "-p", "my_losses.py", change)
    assert outcome.code == 0, outcome.err


def test_every_recipe_and_family_is_on_its_page() -> None:
    page = (ROOT / "docs" / "families.md").read_text()
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        assert f"`{recipe.stem}`" in page, recipe.stem
    for family in (ROOT / "plugins").iterdir():
        assert f"(../plugins/{family.name}/README.md)" in page, family.name
