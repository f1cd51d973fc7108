"""Against the public reference, as recorded in float64: weights by name, pictures, losses and replayed fakes."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge_cyclegan.discriminators import PatchDiscriminator
from ganforge_cyclegan.generators import ResnetGenerator, UnetGenerator
from ganforge_cyclegan.replay_buffer import ReplayBuffer

GENERATORS: dict[str, Callable[[], nn.Module]] = {
    "resnet_recording": lambda: ResnetGenerator(channels=8, blocks=6),
    "unet_recording": lambda: UnetGenerator(downs=7, channels=8),
}
FORMULAS = {
    "resnet_recording": (lambda fake: (fake - 1).square().mean(), lambda fake: fake.square().mean()),
    "unet_recording": (lambda fake: F.softplus(-fake).mean(), lambda fake: F.softplus(fake).mean()),
}
FAMILIES = list(GENERATORS)


def fresh(family: str) -> dict[str, nn.Module]:
    """The four networks by the reference's names, in the order in which it builds them."""
    makers = {"G_A": GENERATORS[family], "G_B": GENERATORS[family]}
    makers |= dict.fromkeys(("D_A", "D_B"), lambda: PatchDiscriminator(channels=8))
    return {name: make() for name, make in makers.items()}


def loaded(family: str, recording: Any) -> dict[str, nn.Module]:
    networks = fresh(family)
    for name, network in networks.items():
        network.double().load_state_dict(recording.weights(name))
    return networks


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_have_the_names_and_shapes_of_the_reference(family: str, request: pytest.FixtureRequest) -> None:
    recording = request.getfixturevalue(family)
    for name, network in fresh(family).items():
        ours = {key: value.shape for key, value in network.state_dict().items()}
        assert ours == {key: value.shape for key, value in recording.weights(name).items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_draws_the_weights_of_the_reference(family: str, request: pytest.FixtureRequest) -> None:
    recording = request.getfixturevalue(family)
    torch.manual_seed(FAMILIES.index(family))
    for name, network in fresh(family).items():
        for key, value in recording.weights(name).items():
            torch.testing.assert_close(network.state_dict()[key].double(), value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_generators_translate_as_the_reference(family: str, request: pytest.FixtureRequest) -> None:
    recording = request.getfixturevalue(family)
    networks = loaded(family, recording)
    G_A, G_B = networks["G_A"], networks["G_B"]
    A, B = recording["input.A"][0], recording["input.B"][0]
    with torch.no_grad():
        fake_B, fake_A = G_A(A), G_B(B)
        ours = {"fake_B": fake_B, "rec_A": G_B(fake_B), "fake_A": fake_A, "rec_B": G_A(fake_A)}
        ours |= {"idt_A": G_A(B), "idt_B": G_B(A)}
    for name, images in ours.items():
        assert_equal(images, recording[f"out0.{name}"])


@pytest.mark.parametrize("family", FAMILIES)
def test_discriminators_judge_as_the_reference(family: str, request: pytest.FixtureRequest) -> None:
    recording = request.getfixturevalue(family)
    networks = loaded(family, recording)
    taken_for_real, taken_for_fake = FORMULAS[family]
    with torch.no_grad():
        # The reference's D_A judges domain B.
        for judge, domain in (("D_A", "B"), ("D_B", "A")):
            D, fake = networks[judge], recording[f"out0.fake_{domain}"]
            real, past = recording[f"input.{domain}"][0], recording[f"pool.{domain}"][0]
            assert_equal(taken_for_real(D(fake)), recording[f"loss.G_{judge[-1]}"][0])
            assert_equal(0.5 * (taken_for_real(D(real)) + taken_for_fake(D(past))), recording[f"loss.{judge}"][0])


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_have_the_norms_of_the_reference(family: str, request: pytest.FixtureRequest) -> None:
    recording = request.getfixturevalue(family)
    networks = loaded(family, recording)
    taken_for_real, taken_for_fake = FORMULAS[family]
    D = networks["D_A"]
    real, past = D(recording["input.B"][0]), D(recording["pool.B"][0])
    (0.5 * (taken_for_real(real) + taken_for_fake(past))).backward()
    for name, weight in D.named_parameters():
        assert weight.grad is not None
        assert_equal(weight.grad.norm().reshape(1), recording[f"gradnorm0.D_A.{name}"])


@pytest.mark.parametrize("family", FAMILIES)
def test_buffers_replay_the_fakes_of_the_reference(family: str, request: pytest.FixtureRequest) -> None:
    recording = request.getfixturevalue(family)
    rng = random.Random(0)  # the reference's pools draw from one generator, B's first
    past_B, past_A = ReplayBuffer(2, rng=rng), ReplayBuffer(2, rng=rng)
    for step in range(len(recording["fake.A"])):
        assert torch.equal(past_B(recording["fake.B"][step]), recording["pool.B"][step])
        assert torch.equal(past_A(recording["fake.A"][step]), recording["pool.A"][step])
