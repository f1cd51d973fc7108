"""Batch norms in step with those of other ranks, where one rank is alone with them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ganforge.ranks.sync_batch_norm import synchronise


@pytest.mark.parametrize("running", [True, False])
def test_in_evaluation_they_are_torch_s_own(running: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=running))
    plain(torch.randn(5, 3, 8, 8))  # for running statistics, where there are some
    plain.eval()
    together = synchronise(copy.deepcopy(plain))
    assert not isinstance(together[1], nn.BatchNorm2d)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(together(x), plain(x))
