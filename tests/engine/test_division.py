"""How a step's samples are divided, as settings say, and what they may not say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ganforge import RecipeError, UsageError
from ganforge.ranks.division import divide
from ganforge.recipe.model import Recipe

RECIPE = """
data: {type: shapes, size_px: 16, batch_size: BATCH}
networks: {G: {type: toys.translator}}
players: {g: {networks: [G], optimizer: adam}}
phases: [{train: g, losses: {all: {type: l1, input: G(real_a), target: real_b}}}]
run: {steps: 2SETTINGS}
"""


@pytest.fixture
def recipe(read: Callable[[str], Recipe]) -> Callable[..., Recipe]:
    def make(settings: str = "", batch: int = 2) -> Recipe:
        more = f", {settings}" if settings else ""
        return read(RECIPE.replace("BATCH", str(batch)).replace("SETTINGS", more))

    return make


@pytest.mark.parametrize(
    ("settings", "ranks", "told"),
    [
        ("", 1, "2"),
        ("accumulate: 3", 1, "6 = 3 batches of 2"),
        ("", 8, "16 = 8 ranks of 2"),
        ("global_batch: 16", 4, "16 = 4 ranks, 2 batches of 2"),
        ("global_batch: 16, batch_per_device: 4", 4, "16 = 4 ranks of 4"),
        ("global_batch: 16, batch_per_device: 100", 2, "16 = 2 ranks of 8"),
        ("global_batch: 12, batch_per_device: 4", 2, "12 = 2 ranks, 2 batches of 3"),
        ("global_batch: 2", 2, "2 = 2 ranks of 1"),
        ("lanes: 4", 1, "8 = 1 rank, 4 lanes of 2"),
        ("lanes: 8, global_batch: 16", 3, "16 = 3 ranks, 8 lanes of 2"),
    ],
)
def test_settings_divide_a_step(settings: str, ranks: int, told: str, recipe: Callable[..., Recipe]) -> None:
    division = divide(recipe(settings), ranks)
    assert str(division) == told
    assert division.global_batch == int(told.partition(" ")[0])


def test_every_share_has_one_rank(recipe: Callable[..., Recipe]) -> None:
    divisions = [divide(recipe("lanes: 7"), 3, rank) for rank in range(3)]
    assert [list(division.mine) for division in divisions] == [[0, 1], [2, 3], [4, 5, 6]]
    assert [divisions[0].owner(lane) for lane in range(7)] == [0, 0, 1, 1, 2, 2, 2]


def test_a_run_that_goes_on_keeps_its_shares(recipe: Callable[..., Recipe]) -> None:
    assert divide(recipe(), 2, begun=4).lanes == 4
    with pytest.raises(UsageError, match="begun with 4 lanes, which cannot be spread over 8 ranks"):
        divide(recipe(), 8, begun=4)
    with pytest.raises(RecipeError, match="begun with 4 lanes, not 2"):
        divide(recipe("lanes: 2"), 2, begun=4)


@pytest.mark.parametrize(
    ("settings", "ranks", "fault", "cure"),
    [
        ("global_batch: 10", 4, "10 samples cannot be divided into 4 lanes of equal size", "1, 2, 5, 10"),
        ("accumulate: 2, global_batch: 4", 1, "leave run.accumulate out", ""),
    ],
)
def test_settings_that_contradict_are_told_at_their_place(
    settings: str, ranks: int, fault: str, cure: str, recipe: Callable[..., Recipe]
) -> None:
    with pytest.raises(RecipeError) as told:
        divide(recipe(settings), ranks)
    assert str(told.value).startswith("test.yaml:6:")
    assert fault in str(told.value)
    assert cure in str(told.value)


def test_synchronised_norms_want_a_rank_for_each_share(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(UsageError, match="2 cannot know those of 4 lanes at once"):
        divide(recipe("sync_batch_norm: true"), 2, begun=4)
    assert divide(recipe("sync_batch_norm: true"), 4).lanes == 4
