import math

import pytest
import torch

from ganforge.testing import check_loss
from ganforge_classics.acgan import cross_entropy


def test_cross_entropy_is_the_mean_negative_log_probability_of_the_class() -> None:
    logits = torch.tensor([[0.0, math.log(3), 0.0], [math.log(2), 0.0, math.log(2)]], dtype=torch.float64)
    # The probabilities are (1, 3, 1) / 5 and (2, 1, 2) / 5.
    loss = cross_entropy(logits, torch.tensor([1, 1]))
    assert loss.item() == pytest.approx((-math.log(3 / 5) - math.log(1 / 5)) / 2)


def test_cross_entropy_keeps_what_the_engine_relies_on() -> None:
    check_loss(cross_entropy, logits=torch.randn(4, 3), labels=torch.tensor([0, 2, 1, 1]))
