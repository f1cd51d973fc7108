"""Every diagnosis links to its section of the page, and the page tells of all options."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from ganforge.builtin.callbacks.doctor import DISEASES, Disease, Doctor, Patience

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", DISEASES, ids=lambda kind: kind.name())
def test_a_diagnosis_links_to_its_section(kind: type[Disease]) -> None:
    document, _, anchor = kind(Patience(0, 1, 1)).diagnosis("ill").link.partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / document).read_text(), re.MULTILINE)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_the_page_has_no_other_sections() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/doctor.md").read_text(), re.MULTILINE)
    assert [heading.lower().replace(" ", "_") for heading in headings] == [kind.name() for kind in DISEASES]


def test_the_page_shows_every_option() -> None:
    example = (ROOT / "docs/doctor.md").read_text().partition("```yaml")[2].partition("```")[0]
    assert all(f"{option}:" in example for option in inspect.signature(Doctor).parameters)
