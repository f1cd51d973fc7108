import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ganforge_cyclegan.replay_buffer import ReplayBuffer


def numbered(first: int, count: int) -> Tensor:
    """Images `[count, 1, 2, 2]` whose pixels are their number."""
    return torch.arange(first, first + count, dtype=torch.float64).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def numbers(images: Tensor) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def test_answers_are_those_of_the_reference(pool_traces: list[dict[str, Any]]) -> None:
    for trace in pool_traces:
        rng = random.Random(trace["python_random_seed"])
        past, batch = ReplayBuffer(trace["pool_size"], rng=rng), trace["batch"]
        shown = [numbers(past(numbered(query * batch, batch))) for query in range(trace["queries"])]
        assert shown == trace["returned_ids"]
        assert rng.random() == trace["next_random_random"]


def test_half_of_the_images_are_earlier_ones() -> None:
    past = ReplayBuffer(10, rng=random.Random(0))
    shown = numbers(past(numbered(0, 2010)))
    assert shown[:10] == list(range(10))
    earlier = sum(number < index for index, number in enumerate(shown))
    assert 900 < earlier < 1100


def test_what_was_shown_is_never_overwritten() -> None:
    past = ReplayBuffer(1, rng=random.Random(0))
    images = numbered(0, 3).clone()
    shown = [past(images)]
    images.fill_(-1)
    shown += [past(numbered(3 * call, 3)) for call in range(1, 20)]
    before = [numbers(images) for images in shown]
    for images in shown:
        images.fill_(-1)
    again = ReplayBuffer(1, rng=random.Random(0))
    assert before == [numbers(again(numbered(3 * call, 3))) for call in range(20)]


def test_size_0_shows_the_images_themselves() -> None:
    images = torch.rand(2, 3, 4, 4)
    rng = random.Random(0)
    before = rng.getstate()
    assert ReplayBuffer(0, rng=rng)(images).data_ptr() == images.data_ptr()
    assert rng.getstate() == before


@pytest.mark.parametrize("size", [0, 2])
def test_gradients_end_here(size: int) -> None:
    images = torch.rand(3, 1, 2, 2, requires_grad=True)
    assert not ReplayBuffer(size, rng=random.Random(0))(images * 2).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_images_keep_their_dtype(dtype: torch.dtype) -> None:
    assert ReplayBuffer(2, rng=random.Random(0))(torch.rand(5, 1, 2, 2, dtype=dtype)).dtype == dtype


def test_the_kept_images_stay_where_they_are() -> None:
    past = ReplayBuffer(2, rng=random.Random(0))
    past(numbered(0, 1))
    assert past._kept is not None
    memory = past._kept.data_ptr()
    for query in range(1, 20):
        past(numbered(query, 1))
        assert past._kept.data_ptr() == memory


@pytest.mark.parametrize("calls", [0, 1, 3, 9])
def test_a_restored_buffer_continues_bit_for_bit(calls: int) -> None:
    past = ReplayBuffer(4, rng=random.Random(0))
    for _ in range(calls):
        past(torch.rand(1, 3, 4, 4))
    state, draws = past.state_dict(), past._rng.getstate()
    rest = torch.rand(10, 3, 4, 4)
    expected = past(rest)  # the state is a copy, which this leaves alone

    restored = ReplayBuffer(4, rng=random.Random(1))
    restored(torch.zeros(2, 3, 8, 8))  # loading forgets what was there
    restored._rng.setstate(draws)
    restored.load_state_dict(state)
    assert torch.equal(restored(rest), expected)
    assert torch.equal(restored.state_dict()["images"], past.state_dict()["images"])


def test_a_state_holds_no_more_than_was_stored() -> None:
    past = ReplayBuffer(50, rng=random.Random(0))
    assert past.state_dict() == {"filled": 0}
    past(torch.rand(3, 1, 2, 2))
    assert past.state_dict()["filled"] == 3
    assert past.state_dict()["images"].shape == (3, 1, 2, 2)


def test_a_restored_buffer_follows_the_images() -> None:
    past = ReplayBuffer(1, rng=random.Random(0))
    past.load_state_dict({"filled": 1, "images": torch.ones(1, 1, 2, 2)})
    shown = past(torch.zeros(50, 1, 2, 2, device="meta"))
    assert shown.device.type == "meta"


def test_a_state_that_is_too_large_is_refused() -> None:
    past = ReplayBuffer(2, rng=random.Random(0))
    with pytest.raises(ValueError, match=r"the state holds 3 images, the replay buffer keeps 2: set its size"):
        past.load_state_dict({"filled": 3, "images": torch.zeros(3, 1, 2, 2)})


def test_another_shape_is_refused() -> None:
    past = ReplayBuffer(2, rng=random.Random(0))
    past(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"keeps images of shape \[3, 8, 8\] and was given \[3, 4, 8\]: use one"):
        past(torch.zeros(1, 3, 4, 8))


def test_it_runs_on_fake_tensors() -> None:
    with FakeTensorMode():
        past = ReplayBuffer(2, rng=random.Random(0))
        for _ in range(5):
            assert past(torch.empty(2, 3, 8, 8)).shape == (2, 3, 8, 8)


def test_it_knows_how_old_its_images_are() -> None:
    past = ReplayBuffer(size=2, rng=random.Random(0))
    assert past.statistics() == {"kept": 0, "mean_age": 0, "longest_age": 0}
    for _ in range(3):
        past(torch.rand(1, 1, 2, 2))
    came = {1, 2} if past._came == [1, 2] else {*past._came}
    ages = [3 - call for call in came]
    assert past.statistics() == {"kept": 2, "mean_age": sum(ages) / 2, "longest_age": max(ages)}
    again = ReplayBuffer(size=2, rng=random.Random(0))
    again.load_state_dict(past.state_dict())
    assert again.statistics() == past.statistics()
    older = {name: value for name, value in past.state_dict().items() if name in ("filled", "images")}
    again.load_state_dict(older)  # saved before ages were kept
    assert again.statistics()["kept"] == 2
