"""The networks: what the engine relies on, and what their papers say of their shapes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge.testing import check_network
from ganforge_classics.acgan import AcganDiscriminator
from ganforge_classics.dcgan import DcganDiscriminator, DcganGenerator
from ganforge_classics.layers import Norm
from ganforge_classics.mlp import MlpDiscriminator, MlpGenerator
from ganforge_classics.sngan import ConditionalBatchNorm, SnganDiscriminator, SnganGenerator

LABELS = torch.tensor([2, 0, 1])
LATENTS, GREY = (3, 12), (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("network", "inputs", "options"),
    [
        (DcganGenerator, [LATENTS], {"latent": 12, "channels": 4, "size_px": 16}),
        (DcganDiscriminator, [GREY], {"channels": 4, "size_px": 16, "image_channels": 1}),
        (DcganDiscriminator, [GREY], {"channels": 4, "size_px": 16, "image_channels": 1, "norm": "instance"}),
        (
            DcganDiscriminator,
            [GREY],
            {"channels": 4, "size_px": 16, "image_channels": 1, "norm": "none", "spectral_norm": True},
        ),
        (SnganGenerator, [LATENTS], {"latent": 12, "channels": [8, 4, 4], "image_channels": 1}),
        (SnganGenerator, [LATENTS, LABELS], {"latent": 12, "channels": [8, 4], "classes": 3}),
        (SnganDiscriminator, [GREY], {"channels": [4, 4, 8], "downs": 2, "image_channels": 1}),
        (SnganDiscriminator, [GREY, LABELS], {"channels": [4, 4], "downs": 1, "classes": 3, "image_channels": 1}),
        (AcganDiscriminator, [GREY], {"classes": 3, "size_px": 16, "channels": 2, "image_channels": 1}),
        (MlpGenerator, [(3, 2)], {"hidden": 8}),
        (MlpDiscriminator, [(3, 2)], {"hidden": 8}),
    ],
)
def test_networks_keep_what_the_engine_relies_on(network: type[nn.Module], inputs: Any, options: Any) -> None:
    check_network(network, *inputs, **options)


def convolutions(network: nn.Module) -> list[tuple[int, int]]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, kinds)]


def test_dcgan_is_the_papers() -> None:
    G, D = DcganGenerator(channels=128), DcganDiscriminator(channels=128)
    assert convolutions(G) == [(100, 1024), (1024, 512), (512, 256), (256, 128), (128, 3)]
    assert convolutions(D) == [(3, 128), (128, 256), (256, 512), (512, 1024), (1024, 1)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in G.modules()) == 4  # after all but the last
    assert sum(isinstance(m, nn.BatchNorm2d) for m in D.modules()) == 3  # after all but the first and the last
    for network in (G, D):
        assert not any(name.endswith("bias") for name, _ in network.named_parameters() if "layers.0" in name)
    weights = torch.cat([m.weight.flatten() for m in D.modules() if isinstance(m, nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size_px", [8, 32, 128])
def test_dcgan_of_other_sizes(size_px: int) -> None:
    G = DcganGenerator(latent=5, channels=2, size_px=size_px)
    images = G(torch.randn(2, 5))
    assert images.shape == (2, 3, size_px, size_px)
    assert DcganDiscriminator(channels=2, size_px=size_px)(images).shape == (2, 1)


@pytest.mark.parametrize(("norm", "biases"), [("batch", False), ("instance", False), ("none", True)])
def test_a_dcgan_discriminator_has_biases_where_nothing_normalises(norm: Norm, biases: bool) -> None:
    D = DcganDiscriminator(channels=2, size_px=16, norm=norm)
    assert all((m.bias is not None) is biases for m in D.modules() if isinstance(m, nn.Conv2d))


def weights_of(network: nn.Module) -> list[Tensor]:
    kinds = (nn.Conv2d, nn.Linear, nn.Embedding)
    return [m.weight.detach().flatten(1) for m in network.modules() if isinstance(m, kinds)]


@pytest.mark.parametrize(
    "network",
    [
        DcganDiscriminator(channels=4, size_px=16, norm="none", spectral_norm=True),
        SnganDiscriminator(channels=(4, 8, 8), classes=3),
    ],
)
def test_spectral_norm_holds_the_largest_singular_value_of_every_layer_at_one(network: nn.Module) -> None:
    for _ in range(30):
        weights = weights_of(network)  # each look at a weight is a power iteration
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.02)


def test_sngan_of_32_pixels_has_the_papers_shape() -> None:
    G, D = SnganGenerator(), SnganDiscriminator()
    assert [block.conv1.in_channels for block in G.blocks] == [256] * 3  # type: ignore[union-attr]
    assert G(torch.randn(2, 128)).shape == (2, 3, 32, 32)
    images = torch.zeros(2, 3, 32, 32)
    assert D.blocks(images).shape == (2, 128, 8, 8)  # two of four blocks halve
    assert sum(p.numel() for p in G.parameters()) == 4_276_739  # with biases, as chainer's layers have them


def test_sngan_of_64_pixels() -> None:
    G = SnganGenerator(latent=8, channels=(16, 8, 4, 2, 2))
    D = SnganDiscriminator(channels=(2, 4, 4, 8, 8), downs=5)
    images = G(torch.randn(2, 8))
    assert images.shape == (2, 3, 64, 64)
    assert D.blocks(images).shape == (2, 8, 2, 2)
    with pytest.raises(ValueError, match=r"2 blocks .* cannot halve 3 times"):
        SnganDiscriminator(channels=(2, 2), downs=3)


def test_the_projection_is_the_inner_product_of_the_features_with_the_classs_vector() -> None:
    D = SnganDiscriminator(channels=(4, 6), downs=1, classes=3, image_channels=1).double().eval()
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    features = D.blocks(images).clamp(min=0).sum((2, 3))
    # In plain numbers: the verdict of all classes, and what the class adds.
    for sample, label in enumerate(LABELS.tolist()):
        vector = features[sample] @ D.projection.weight[label]
        plain = features[sample] @ D.verdict.weight[0] + D.verdict.bias[0]
        assert D(images, LABELS)[sample].item() == pytest.approx((plain + vector).item(), rel=1e-12)


def test_conditional_batch_norm_scales_and_shifts_each_class_by_its_own() -> None:
    norm = ConditionalBatchNorm(2, classes=3)
    with torch.no_grad():
        norm.scale.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        norm.shift.weight.copy_(torch.tensor([[0.0, 0.0], [10.0, 20.0], [0.0, 0.0]]))
    x = torch.randn(3, 2, 5, 5)
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    scale = torch.tensor([[5.0, 6.0], [1.0, 2.0], [3.0, 4.0]])[:, :, None, None]
    shift = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 20.0]])[:, :, None, None]
    torch.testing.assert_close(norm(x, LABELS), scale * plain + shift, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "network", [SnganGenerator(latent=4, channels=(2, 2)), SnganDiscriminator(channels=(2, 2), image_channels=1)]
)
def test_labels_are_refused_without_classes(network: nn.Module) -> None:
    given = torch.zeros(3, 4) if isinstance(network, SnganGenerator) else torch.zeros(3, 1, 8, 8)
    with pytest.raises(ValueError, match="takes no labels"):
        network(given, LABELS)


def test_labels_are_missed_where_there_are_classes() -> None:
    with pytest.raises(ValueError, match="of 3 classes takes labels too"):
        SnganGenerator(latent=4, channels=(2, 2), classes=3)(torch.zeros(3, 4))


def test_acgan_is_the_papers() -> None:
    D = AcganDiscriminator(classes=10)
    convs = [m for m in D.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions(D) == [(3, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    assert [conv.stride[0] for conv in convs] == [2, 1, 2, 1, 2, 1]
    assert [m.p for m in D.modules() if isinstance(m, nn.Dropout)] == [0.5] * 6
    assert D.verdict.in_features == 512 * 4 * 4
    verdict = D(torch.zeros(2, 3, 32, 32))
    assert (verdict.logits.shape, verdict.classes.shape) == ((2, 1), (2, 10))


def test_mlps_have_their_layers() -> None:
    G = MlpGenerator(latent=3, hidden=512)
    linear = [(m.in_features, m.out_features) for m in G.modules() if isinstance(m, nn.Linear)]
    assert linear == [(3, 512), (512, 512), (512, 512), (512, 2)]
    inner = [m.weight for m in G.modules() if isinstance(m, nn.Linear)][1]
    assert inner.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
