"""What the pages say of training longer, changing one's mind and going back: their commands run, on a tiny run.

Only their place is another: `runs/my_recipe` is the first page's run, and its checkpoints are of earlier steps.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from documents import commands
from runfolder import Folder

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "recipes/tiny/cyclegan_shapes.yaml"
QUICK = (
    "run.steps=null",
    "run.epochs=6",
    "data.count=4",
    "run.images_every=100",
    "run.checkpoint_every=4",
    "run.keep_last=99",
)


def resuming(page: str) -> Iterator[list[str]]:
    """The commands of a page that go on with a run."""
    for command, _ in commands(ROOT / "docs" / page):
        words = shlex.split(command.partition("ganforge ")[2])
        if words[:1] == ["run"] and "--resume" in words:
            yield [
                word.replace("my_recipe", "cyclegan_shapes").replace("step_0000400", "step_0000008") for word in words
            ]


@pytest.fixture
def run(ganforge: Callable, in_tmp: Path) -> Folder:
    assert ganforge("run", TINY, *QUICK).code == 0
    return Folder(Path("runs/cyclegan_shapes/0001"))


def test_all_of_it_in_the_order_of_the_pages(run: Folder, ganforge: Callable) -> None:
    again, longer, otherwise, back = resuming("first-run.md")
    assert ganforge(*again).code == 0  # it has ended
    reached = run.record["total_steps"]
    for words in (longer, otherwise, *resuming("recipes.md"), *resuming("doctor.md")):
        outcome = ganforge(*words)
        assert (outcome.code, outcome.err) == (0, ""), words
        total = run.record["total_steps"]
        assert total > reached, words
        assert run.moved(reached, total) == set(run.weights(total)), words
        reached = total
    keys = [change["key"] for change in run.record["changes"]]
    assert "players.generators.optimizer.lr" in keys
    assert "data.batch_size" in keys
    assert ganforge(*back).code == 0
    new = Folder(Path("runs/cyclegan_shapes/0002"))
    assert new.record["ancestor"] == {"run": "cyclegan_shapes/0001", "step": 8}
    assert new.moved(8, new.record["total_steps"]) == set(new.weights(8))
