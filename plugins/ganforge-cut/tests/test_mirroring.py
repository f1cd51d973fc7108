import pytest
import torch
from torch import Tensor

from ganforge import Context
from ganforge.testing import check_op
from ganforge_cut.mirroring import coin, mirror

FLAG = torch.tensor([True, False, True])


def test_they_are_ops() -> None:
    check_op(coin)
    check_op(mirror, (3, 3, 8, 8), FLAG)
    check_op(mirror, [torch.rand(3, 2, 4, 6), torch.rand(3, 5, 2, 3)], FLAG)


@pytest.mark.parametrize(("chance", "low", "high"), [(0.5, 0.47, 0.53), (0.2, 0.17, 0.23), (0, 0, 0), (1, 1, 1)])
def test_a_coin_is_tossed_for_each_sample(chance: float, low: float, high: float) -> None:
    toss = coin(chance, context=Context(4000, torch.device("cpu"), torch.float64))
    assert (toss.shape, toss.dtype) == ((4000,), torch.bool)
    assert low <= toss.double().mean() <= high


def test_samples_are_mirrored_left_for_right_where_the_flag_says() -> None:
    images = torch.arange(24.0).reshape(3, 1, 2, 4)
    mirrored = mirror(images, FLAG)
    assert isinstance(mirrored, Tensor)
    assert mirrored[0].tolist() == [[[3, 2, 1, 0], [7, 6, 5, 4]]]
    assert torch.equal(mirrored[1], images[1])
    assert mirrored[2].tolist() == [[[19, 18, 17, 16], [23, 22, 21, 20]]]


def test_a_list_is_mirrored_map_by_map_and_back() -> None:
    features = [torch.randn(3, 2, 4, 6), torch.randn(3, 5, 2, 3)]
    once = mirror(features, FLAG)
    assert isinstance(once, list)
    assert all(torch.equal(ours, mirror(f, FLAG)) for ours, f in zip(once, features, strict=True))
    assert all(torch.equal(ours, f) for ours, f in zip(mirror(once, FLAG), features, strict=True))
