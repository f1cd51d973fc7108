"""Inception's features, which FID, KID and the like are defined on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge import images
from ganforge.builtin.metrics.weights import Weights, need, tell_of_channels
from ganforge.core.torch_internals.fake import FakeTensor

WEIGHTS = Weights(
    "inception",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
FEATURES = 2048


class Inception:
    """The features that published FIDs are computed with: those of TensorFlow's Inception of 2015, by torch-fidelity.

    Szegedy et al. 2015, https://arxiv.org/abs/1512.00567. Pictures are rounded to bytes as files have them, grey ones
    become RGB, and the network resizes them to 299 x 299 as TensorFlow 1 did. Needs the extra `ganforge[metrics]`.

    Args:
        weights: the file of weights; by default where torch keeps downloads. Its SHA-256 is checked before it is read.
        channels: which channels it looks at, counted from 1: three, or one; by default the first three, or the first.
    """

    def __init__(self, weights: Path | None = None, channels: tuple[int, ...] | None = None) -> None:
        self.weights, self.channels = weights, channels
        self.network: Any = None

    def prepare(self) -> None:
        """Make sure that the package and the weights are here.

        Raises:
            EnvironmentFault: one of them is not.
        """
        need("torch_fidelity", "inception")
        WEIGHTS.find(self.weights)

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Features `[N, 2048]`, float32, of pictures `[N, C, H, W]` in `[-1, 1]`: it sees three channels, or one."""
        if images_NCHW.shape[1] not in (1, 3):
            tell_of_channels("inception", images_NCHW.shape[1], self.channels)
        if isinstance(images_NCHW, FakeTensor):  # a rehearsal of shapes, on a machine that may have no weights
            return images_NCHW.new_empty(len(images_NCHW), FEATURES, dtype=torch.float32)
        if self.network is None:
            self.network = self._load()
        self.network.to(images_NCHW.device)
        features: Tensor = self.network(images.shown(images_NCHW, self.channels))[0]
        return features

    def _load(self) -> Any:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-untyped]
            FeatureExtractorInceptionV3,
        )

        # It would unpickle any file without restraint, so it is given one that we have written.
        file = io.BytesIO()
        torch.save(WEIGHTS.read(self.weights), file)
        file.seek(0)
        with torch.random.fork_rng():  # weights are drawn before they are read: no noise of a panel may depend on that
            return FeatureExtractorInceptionV3("inception", [str(FEATURES)], feature_extractor_weights_path=file)

    def __deepcopy__(self, _memo: object) -> Inception:
        """The network itself: it has no state that a copy could change, and is loaded once."""
        return self
