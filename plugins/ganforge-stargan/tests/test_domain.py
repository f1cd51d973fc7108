import pytest
import torch

from ganforge import Context
from ganforge.testing import check_op
from ganforge_stargan.domain import Domain

CONTEXT = Context(2, torch.device("cpu"), torch.float64)


def test_it_keeps_what_the_engine_relies_on() -> None:
    check_op(Domain, 1, classes=3)


def test_all_samples_get_one_domain() -> None:
    vectors = Domain(3)(1, context=CONTEXT)
    assert vectors.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert vectors.dtype == torch.float64


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_beyond_the_last_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"there is no domain {number}: the last of the 3 is 2"):
        Domain(3)(number, context=CONTEXT)
