"""LPIPS: how different two pictures look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ganforge import Metric, images
from ganforge.builtin.metrics.weights import Weights, need, tell_of_channels

_DOWNLOADS = "https://download.pytorch.org/models"


class _Backbone(NamedTuple):
    """A classifier of torchvision, and after which of its layers features are taken."""

    model: str
    layers: tuple[int, ...]
    weights: Weights


BACKBONES = {
    "alex": _Backbone(
        "alexnet", (1, 4, 7, 9, 11), Weights("lpips", f"{_DOWNLOADS}/alexnet-owt-7be5be79.pth", "7be5be79")
    ),
    "vgg": _Backbone("vgg16", (3, 8, 15, 22, 29), Weights("lpips", f"{_DOWNLOADS}/vgg16-397923af.pth", "397923af")),
    "squeeze": _Backbone(
        "squeezenet1_1",
        (1, 4, 7, 9, 10, 11, 12),
        Weights("lpips", f"{_DOWNLOADS}/squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
    ),
}


class Lpips(Metric):
    """The learned perceptual distance between a picture and the truth, 0 for equal ones; the mean over pictures.

    Zhang et al. 2018, https://arxiv.org/abs/1801.03924, version 0.1. The backbone is torchvision's, with its published
    weights; the weights of its features come with torchmetrics, so it needs the extra `ganforge[metrics]`.

    Args:
        backbone: the network whose features are compared; papers mostly take `alex`.
        weights: the file of the backbone's weights; by default where torch keeps downloads. Its SHA-256 is checked
            before it is read.
        channels: which channels it looks at, counted from 1: three, or one; by default the first three, or the first.
    """

    better: ClassVar = "lower"

    def __init__(
        self,
        backbone: Literal["alex", "vgg", "squeeze"] = "alex",
        weights: Path | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        self.backbone, self.weights, self.channels = backbone, weights, channels
        self.network: PerceptualDistance | None = None
        self.total, self.count = 0.0, 0

    def prepare(self) -> None:
        """Make sure that the package and the weights are here.

        Raises:
            EnvironmentFault: one of them is not.
        """
        need("torchmetrics", "lpips")
        BACKBONES[self.backbone].weights.find(self.weights)

    def update(self, input: Tensor, target: Tensor) -> None:
        """Count a batch in: pictures `[N, C, H, W]` in `[-1, 1]`, of which it sees three channels, or one."""
        if input.shape[1] not in (1, 3):
            tell_of_channels("lpips", input.shape[1], self.channels)
        if self.network is None:
            state = BACKBONES[self.backbone].weights.read(self.weights)
            self.network = PerceptualDistance(self.backbone, state).to(input.device)
        pair = (images.as_colours(image.clamp(-1, 1), self.channels).float() for image in (input, target))
        self.total += float(self.network(*pair).double().sum())
        self.count += len(input)

    def compute(self) -> float:
        """The mean over all batches."""
        return self.total / max(1, self.count)


class PerceptualDistance(nn.Module):
    """Squared differences of normalised features, weighted by channel, averaged over places, summed over layers.

    Args:
        backbone: which network.
        state: its weights, as torchvision publishes them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: str, state: Mapping[str, Tensor]) -> None:
        import torchvision  # type: ignore[import-untyped]

        super().__init__()
        model, self.layers, _ = BACKBONES[backbone]
        with torch.device("meta"):  # nothing is drawn for weights that are read
            self.features = getattr(torchvision.models, model)(weights=None).features
        own = {name.removeprefix("features."): w for name, w in state.items() if name.startswith("features.")}
        self.features.load_state_dict(own, assign=True)
        for number, weights in enumerate(_channel_weights(backbone)):
            self.register_buffer(f"channels_{number}", weights)
        # ImageNet's statistics, of pictures in [-1, 1].
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Distances `[N]` of pictures `[N, 3, H, W]`."""
        pairs = zip(self._normalised(input), self._normalised(target), strict=True)
        distances = [
            ((one - other).square() * self.get_buffer(f"channels_{number}")).sum(1).mean((1, 2))
            for number, (one, other) in enumerate(pairs)
        ]
        return torch.stack(distances).sum(0)

    def _normalised(self, images: Tensor) -> Iterator[Tensor]:
        x_NCHW = (images - self.mean) / self.deviation
        for number, layer in enumerate(self.features[: self.layers[-1] + 1]):
            x_NCHW = layer(x_NCHW)
            if number in self.layers:
                yield x_NCHW / (x_NCHW.square().sum(1, keepdim=True) + 1e-8).sqrt()


def _channel_weights(backbone: str) -> list[Tensor]:
    """What the authors learnt from people's judgements: `[1, C, 1, 1]` for each layer."""
    need("torchmetrics", "lpips")
    package = str(find_spec("torchmetrics").origin)  # type: ignore[union-attr]  # it is there
    file = Path(package).parent / "functional/image/lpips_models" / f"{backbone}.pth"
    state = torch.load(file, map_location="cpu", weights_only=True)
    return [state[f"lin{number}.model.1.weight"] for number in range(len(BACKBONES[backbone].layers))]
