"""LPIPS: how different two pictures look."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from ganforge import Metric
from ganforge.builtin.metrics.weights import Weights, need

Backbone = Literal["alex", "vgg", "squeeze"]
WEIGHTS = {
    "alex": Weights("lpips", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
    "vgg": Weights("lpips", "https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),
    "squeeze": Weights("lpips", "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
}


class Lpips(Metric):
    """The learned perceptual distance between a picture and the truth, 0 for equal ones; the mean over pictures.

    Zhang et al. 2018, https://arxiv.org/abs/1801.03924, by torchmetrics. Needs the extra `ganforge[metrics]`, and the
    backbone's published weights where torch keeps downloads.

    Args:
        backbone: the network whose features are compared; papers mostly take `alex`.
    """

    better: ClassVar = "lower"

    def __init__(self, backbone: Backbone = "alex") -> None:
        self.backbone = backbone
        self.measure: Any = None
        self.total, self.count = 0.0, 0

    def prepare(self) -> None:
        """Make sure that the package and the weights are here.

        Raises:
            EnvironmentFault: one of them is not.
        """
        need("torchmetrics", "lpips")
        WEIGHTS[self.backbone].find()

    def update(self, input: Tensor, target: Tensor) -> None:
        """Count a batch in: pictures `[N, 1 or 3, H, W]` in `[-1, 1]`."""
        if self.measure is None:
            self.prepare()
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

            self.measure = LearnedPerceptualImagePatchSimilarity(self.backbone).to(input.device)
        pair = (image.clamp(-1, 1).expand(-1, 3, -1, -1).float() for image in (input, target))
        self.total += float(self.measure(*pair)) * len(input)
        self.count += len(input)

    def compute(self) -> float:
        """The mean over all batches."""
        return self.total / max(1, self.count)
