import pytest
import torch
from torch import nn

from ganforge.testing import check_network
from ganforge_stargan.discriminator import Discriminator
from ganforge_stargan.generator import Generator


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_the_generator_keeps_what_the_engine_relies_on() -> None:
    check_network(Generator, (2, 3, 16, 24), (2, 5), classes=5, channels=4, blocks=1)
    check_network(Generator, (2, 3, 16, 24), 2, method="to_domain", classes=5, channels=4, blocks=1)


def test_the_discriminator_keeps_what_the_engine_relies_on() -> None:
    check_network(Discriminator, (2, 3, 16, 16), classes=5, image_px=16, channels=4, layers=3)


def test_the_generator_has_the_references_weights() -> None:
    norm = {"weight": (8,), "bias": (8,)}
    found = shapes(Generator(classes=5, channels=4, blocks=6))
    assert found["main.0.weight"] == (4, 3 + 5, 7, 7)
    assert found["main.3.weight"] == (8, 4, 4, 4)
    assert {name.removeprefix("main.4."): s for name, s in found.items() if name.startswith("main.4.")} == norm
    assert found["main.9.main.0.weight"] == found["main.14.main.3.weight"] == (16, 16, 3, 3)
    assert found["main.9.main.4.bias"] == (16,)
    assert found["main.15.weight"] == (16, 8, 4, 4)  # a transposed convolution: from, to
    assert found["main.21.weight"] == (3, 4, 7, 7)
    convolutions = [name for name, shape in found.items() if len(shape) == 4]
    assert len(convolutions) == 1 + 2 + 2 * 6 + 2 + 1
    assert not any(name.replace("weight", "bias") in found for name in convolutions)
    assert not any("running" in name for name in found)


def test_the_discriminator_has_the_references_weights() -> None:
    assert shapes(Discriminator(classes=5, image_px=24, channels=4, layers=2)) == {
        "main.0.weight": (4, 3, 4, 4),
        "main.0.bias": (4,),
        "main.2.weight": (8, 4, 4, 4),
        "main.2.bias": (8,),
        "conv1.weight": (1, 8, 3, 3),
        "conv2.weight": (5, 8, 6, 6),
    }


def test_the_papers_networks_have_as_many_parameters_as_the_references() -> None:
    """For 5 domains of CelebA at 128 pixels; the reference prints these numbers."""
    with torch.device("meta"):
        counts = [sum(p.numel() for p in network.parameters()) for network in (Generator(5), Discriminator(5))]
    assert counts == [8_430_528, 44_762_048]


def test_images_keep_their_size_and_stay_in_range() -> None:
    images = Generator(classes=2, channels=2, blocks=1, in_channels=1)(100 * torch.randn(2, 1, 12, 20), torch.eye(2))
    assert images.shape == (2, 1, 12, 20)
    assert images.abs().max() <= 1


def test_the_domain_changes_the_translation() -> None:
    network = Generator(classes=2, channels=4, blocks=0)
    image = torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1) * 2 - 1
    first, second = network(image, torch.eye(2))
    assert (first - second).abs().max() > 1e-3


def test_all_images_go_to_one_domain() -> None:
    network, images = Generator(classes=3, channels=4, blocks=0), torch.randn(2, 3, 8, 8)
    domains = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert torch.equal(network.to_domain(images, 1), network(images, domains))


@pytest.mark.parametrize("number", [-1, 3])
def test_a_domain_beyond_the_last_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"there is no domain {number}: the last of the 3 is 2"):
        Generator(classes=3, channels=2, blocks=0).to_domain(torch.zeros(1, 3, 8, 8), number)


def test_it_translates_alike_in_training_and_after_it() -> None:
    network, image = Generator(classes=2, channels=2, blocks=1), torch.randn(2, 3, 8, 8)
    assert torch.equal(network.train()(image, torch.eye(2)), network.eval()(image, torch.eye(2)))


def test_a_verdict_is_one_logit_a_patch_and_one_a_domain() -> None:
    verdict = Discriminator(classes=5, image_px=40, channels=2, layers=3)(torch.zeros(2, 3, 40, 40))
    assert verdict.logits.shape == (2, 1, 5, 5)
    assert verdict.classes.shape == (2, 5)


def test_the_second_head_sees_the_whole_image() -> None:
    network = Discriminator(classes=2, image_px=16, channels=4, layers=2)
    images = torch.randn(1, 3, 16, 16, requires_grad=True)
    network(images).classes[0, 0].backward()
    assert images.grad is not None
    assert bool((images.grad != 0).all())


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 32 x 16 pixels, where image_px is 16"):
        Discriminator(classes=2, image_px=16, channels=2, layers=2)(torch.zeros(1, 3, 32, 16))


def test_images_that_halve_to_nothing_are_refused() -> None:
    Discriminator(classes=2, image_px=8, channels=2, layers=3)
    with pytest.raises(ValueError, match="take fewer layers"):
        Discriminator(classes=2, image_px=7, channels=2, layers=3)
