"""DCGAN: Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", https://arxiv.org/abs/1511.06434.

Kernels are 4 pixels wide and the innermost map is 4 pixels, as in the Torch code of one of its authors (dcgan.torch);
figure 1 of the paper has kernels of 5.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganforge_classics.layers import Count, Norm, SizePx, draw_dcgan_weights, norm_layer, spectral


class DcganGenerator(nn.Module):
    """DCGAN's generator: a latent vector becomes a map of 4 pixels, which is doubled until it is a picture.

    Radford et al. 2015, section 3 and figure 1, https://arxiv.org/abs/1511.06434. The convolutions have no biases, as
    batch norm follows them.

    Args:
        latent: the length of a latent vector.
        channels: channels before the last doubling; with each one before, twice as many. The paper has 128.
        size_px: the side of a picture.
        image_channels: 3 for RGB, 1 for grey.
    """

    def __init__(
        self, latent: Count = 100, channels: Count = 64, size_px: SizePx = 64, image_channels: Count = 3
    ) -> None:
        super().__init__()
        width = channels * size_px // 8
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, width, 4, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        while width > channels:
            double = nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False)
            width //= 2
            layers += [double, nn.BatchNorm2d(width), nn.ReLU()]
        last = nn.ConvTranspose2d(width, image_channels, 4, stride=2, padding=1, bias=False)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())
        draw_dcgan_weights(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Make pictures of latent vectors `[N, latent]`.

        Returns:
            `[N, image_channels, size_px, size_px]` in `[-1, 1]`.
        """
        return self.layers(latents[:, :, None, None])


class DcganDiscriminator(nn.Module):
    """DCGAN's discriminator: halvings down to 4 pixels, then one logit a picture.

    Radford et al. 2015, section 3, https://arxiv.org/abs/1511.06434.

    Args:
        channels: channels after the first halving; they double with each. The paper has 128.
        size_px: the side of a picture.
        image_channels: 3 for RGB, 1 for grey.
        norm: normalisation after every convolution but the first and the last. The paper's `batch` couples the pictures
            of a batch, which a gradient penalty forbids. With `none` the convolutions have biases instead.
        spectral_norm: divide every weight by its largest singular value (Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957).
    """

    def __init__(
        self,
        channels: Count = 64,
        size_px: SizePx = 64,
        image_channels: Count = 3,
        norm: Norm = "batch",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        bias = norm == "none"
        layers: list[nn.Module] = [nn.Conv2d(image_channels, channels, 4, stride=2, padding=1, bias=bias)]
        layers.append(nn.LeakyReLU(0.2))
        width = channels
        while width < channels * size_px // 8:
            halve = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=bias)
            width *= 2
            layers += [halve, norm_layer(norm, width), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(width, 1, 4, bias=bias), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        draw_dcgan_weights(self)
        if spectral_norm:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    spectral(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Judge pictures `[N, image_channels, size_px, size_px]` in `[-1, 1]`.

        Returns:
            Logits `[N, 1]`, high where the picture looks real.
        """
        return self.layers(images)
