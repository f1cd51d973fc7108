import math

import pytest
import torch

from ganforge.testing import check_loss
from ganforge_stargan.classification import classification

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])
ATTRIBUTES = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)


def test_it_keeps_what_the_engine_relies_on() -> None:
    check_loss(classification, logits=torch.randn(4, 3), labels=torch.tensor([0, 2, 1, 2]))
    check_loss(classification, skip=("compiled",), logits=torch.randn(4, 3), labels=torch.randint(2, (4, 3)).float())


def test_one_domain_of_several_is_cross_entropy() -> None:
    expected = 0.0
    for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        expected += math.log(sum(map(math.exp, row))) - row[label]
    assert classification(LOGITS, LABELS).item() == pytest.approx(expected / 2, rel=1e-14)


def test_attributes_are_summed_and_averaged_over_images() -> None:
    expected = 0.0
    for row, attributes in zip(LOGITS.tolist(), ATTRIBUTES.tolist(), strict=True):
        for logit, attribute in zip(row, attributes, strict=True):
            expected += math.log(1 + math.exp(-logit if attribute else logit))
    assert classification(LOGITS, ATTRIBUTES).item() == pytest.approx(expected / 2, rel=1e-14)


@pytest.mark.parametrize("labels", [LABELS.double(), ATTRIBUTES.long(), ATTRIBUTES[:, :2]])
def test_other_labels_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="do not fit logits"):
        classification(LOGITS, labels)
