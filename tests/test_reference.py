"""The reference says what the code says, and every file that a document names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATHS = re.compile(r"`((?:ganforge|tests|plugins|recipes|benchmarks|docs|\.ci)/[\w./<>*-]*)`")
EXAMPLES = {"plugins/<distribution>/"}
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]*)#([^)]+)\)")


def test_the_reference_is_what_the_code_says() -> None:
    # In a process of its own: Python shows the choices of a type in the order in which it met them first.
    command = [sys.executable, ROOT / "docs" / "reference.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_that_a_page_names_is_in_the_tree(page: Path) -> None:
    named = set(PATHS.findall(page.read_text(encoding="utf-8"))) - EXAMPLES
    assert sorted(path for path in named if not any(ROOT.glob(path))) == []


def anchors(page: Path) -> set[str]:
    """What links may end in: each heading without its marks, in lower case, with hyphens."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_headings(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            aim = page.parent / target if target else page
            assert anchor in anchors(aim), f"{page.name} links to {target}#{anchor}"
