"""Labels that find no place in a network are told before the first step, at their place in the recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ganforge.rehearsal.label_ranges import LabelWatch, OutOfRange
from ganforge.rehearsal.random_data import random_fields

LOOKUPS: dict[str, Callable[[Tensor, int], Any]] = {
    "embedding": lambda labels, n: nn.Embedding(n, 4)(labels),
    "embedding bag": lambda labels, n: nn.EmbeddingBag(n, 4)(labels[:, None]),
    "one_hot": lambda labels, n: F.one_hot(labels, n),
    "compared": lambda labels, n: (labels[:, None] == torch.arange(n)).float(),
    "cross_entropy": lambda labels, n: F.cross_entropy(torch.randn(4, n), labels),
    "smoothed": lambda labels, n: F.cross_entropy(torch.randn(4, n), labels, label_smoothing=0.1),
    "nll": lambda labels, n: F.nll_loss(torch.randn(4, n).log_softmax(1), labels),
    "margin": lambda labels, n: F.multi_margin_loss(torch.randn(4, n), labels),
    "gather": lambda labels, n: torch.randn(4, n).gather(1, labels[:, None]),
    "index": lambda labels, n: torch.randn(n, 3)[labels],
    "rows and columns": lambda labels, n: torch.randn(4, n)[torch.arange(4), labels],
    "index_select": lambda labels, n: torch.randn(n, 3).index_select(0, labels),
    "scatter": lambda labels, n: torch.zeros(4, n).scatter_(1, labels.view(-1, 1), 1.0),
    "put": lambda labels, n: torch.zeros(4, n).index_put((torch.arange(4), labels), torch.ones(4)),
    "shuffled": lambda labels, n: nn.Embedding(n, 4)(labels[torch.randperm(4)]),
    "joined": lambda labels, n: nn.Embedding(n, 4)(torch.cat((labels, labels.flip(0)))),
    "int32": lambda labels, n: nn.Embedding(n, 4)(labels.int().repeat(2).clone().detach()),
    "shifted": lambda labels, n: nn.Embedding(n + 1, 4)(labels + 1),
    "drawn": lambda labels, n: nn.Embedding(n, 4)(torch.randint(5, (4,))),
}


def watched(look_up: Callable[[Tensor, int], Any], size: int) -> Any:
    watch = LabelWatch(SimpleNamespace(ranges=lambda: {"label": range(5)}))  # type: ignore[arg-type]
    with FakeTensorMode(allow_non_fake_inputs=True), watch:
        labels = torch.zeros(4, dtype=torch.int64)
        watch.note({"label": labels})
        return look_up(labels, size)


@pytest.mark.parametrize("name", LOOKUPS)
def test_what_is_too_small_for_the_labels_is_told_and_nothing_else(name: str) -> None:
    watched(LOOKUPS[name], 5)
    watched(LOOKUPS[name], 7)
    with pytest.raises(OutOfRange, match=r"labels go from [01] to [45], as the dataset says, and .* (4|5)"):
        watched(LOOKUPS[name], 4)


def test_of_what_nobody_knows_nothing_is_said() -> None:
    watched(lambda labels, n: nn.Embedding(n, 4)(labels % n), 3)
    watched(lambda labels, n: nn.Embedding(n, 4)(labels.clamp(max=n - 1)), 3)
    watched(lambda labels, n: nn.Embedding(n, 4)(labels // 2), 3)
    watched(lambda labels, n: nn.Embedding(n, 4)(labels.float().mul(0).long()), 3)
    watched(lambda labels, n: nn.Embedding(n, 4)(labels.fill_(0)), 3)
    watched(lambda labels, n: labels == labels[:, None], 3)


def test_random_data_have_the_labels_that_are_promised() -> None:
    shapes, dtypes, generator = {"label": ()}, {"label": torch.int64}, torch.Generator()
    fields = random_fields(shapes, dtypes, 500, generator, torch.float32, ranges={"label": range(3, 7)})
    assert set(fields["label"].tolist()) == {3, 4, 5, 6}


STARGAN = ("data.classes=10", "ops.vector.classes=10", "networks.G.classes=10")


@pytest.mark.parametrize(
    ("recipe", "overrides", "place"),
    [
        ("stargan_folders", STARGAN, "sort_real"),
        ("stargan_folders", ("data.classes=10",), "vector(target)"),
        ("projection_spots", ("networks.D.classes=3",), "D("),
        ("projection_spots", ("networks.G.classes=3",), "G("),
        ("acgan_spots", ("networks.D.classes=3",), ""),
        ("r3gan_cifar10", ("data.classes=20",), "label"),
    ],
)
def test_a_recipe_with_too_few_classes_is_refused_at_the_place(
    repository: Path, ganforge: Callable, recipe: str, overrides: tuple[str, ...], place: str
) -> None:
    done = ganforge("check", repository / f"recipes/tiny/{recipe}.yaml", *overrides)
    assert done.code == 2, done.out + done.err
    assert "labels go from 0 to " in done.err
    assert "as the dataset says" in done.err
    assert "^" in done.err
    assert place in done.err


@pytest.mark.parametrize("recipe", ["stargan_folders", "projection_spots", "acgan_spots", "r3gan_cifar10"])
def test_recipes_of_classes_fit(repository: Path, ganforge: Callable, recipe: str) -> None:
    assert ganforge("check", repository / f"recipes/tiny/{recipe}.yaml").code == 0
