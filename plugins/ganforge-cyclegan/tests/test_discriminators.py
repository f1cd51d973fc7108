import pytest
import torch

from ganforge_cyclegan.discriminators import PatchDiscriminator, PixelDiscriminator


@pytest.mark.parametrize(("layers", "patch_px"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_logit_sees_a_patch(layers: int, patch_px: int) -> None:
    # Without a norm, whose statistics would connect all pixels.
    network = PatchDiscriminator(layers=layers, channels=2, norm="none", init_gain=1.0)
    images = torch.randn(1, 3, 160, 160, requires_grad=True)
    logits = network(images)
    assert logits.shape == (1, 1, 160 // 2**layers - 2, 160 // 2**layers - 2)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    seen = images.grad.abs().sum((0, 1))
    assert [int((seen.sum(axis) > 0).sum()) for axis in (0, 1)] == [patch_px, patch_px]


def test_widths_double_up_to_eightfold() -> None:
    network = PatchDiscriminator(layers=5, channels=2, in_channels=6)
    widths = [value.shape[:2] for name, value in network.state_dict().items() if name.endswith("weight")]
    assert widths == [(2, 6), (4, 2), (8, 4), (16, 8), (16, 16), (16, 16), (1, 16)]


def test_pixels_are_judged_one_by_one() -> None:
    network = PixelDiscriminator(channels=4, norm="none", init_gain=1.0)
    images = torch.randn(2, 3, 6, 5)
    other = images.clone()
    other[0, :, 2, 3] += 1
    changed = network(images) != network(other)
    assert changed.shape == (2, 1, 6, 5)
    assert changed.nonzero().tolist() == [[0, 0, 2, 3]]


def test_pixel_discriminator_names_its_weights_as_the_reference() -> None:
    weights = {name: tuple(value.shape) for name, value in PixelDiscriminator(channels=4).state_dict().items()}
    assert weights == {
        "net.0.weight": (4, 3, 1, 1),
        "net.0.bias": (4,),
        "net.2.weight": (8, 4, 1, 1),
        "net.2.bias": (8,),
        "net.5.weight": (1, 8, 1, 1),
        "net.5.bias": (1,),
    }


def test_batch_norm_replaces_the_biases_before_it() -> None:
    assert "model.2.bias" not in PatchDiscriminator(channels=2, norm="batch").state_dict()
    assert "model.3.running_mean" in PatchDiscriminator(channels=2, norm="batch").state_dict()
    assert "net.2.bias" not in PixelDiscriminator(channels=2, norm="batch").state_dict()
