import inspect
from typing import Any

import pytest
import torch

import ganforge_stylegan2
from ganforge.testing import check_loss, check_network, check_op, parts_of
from ganforge_stylegan2.lazy_adam import lazy_adam


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_stylegan2)[kind]


PARTS = {
    "networks": {"mapping", "synthesis", "discriminator"},
    "losses": {"path_length"},
    "ops": {"ada", "diff_augment", "mix_styles"},
    "optimizers": {"lazy_adam"},
    "recipes": {"stylegan2_folder", "stylegan2_ada_folder", "stylegan2_diffaugment_folder"},
}


@pytest.mark.parametrize("kind", PARTS)
def test_parts(kind: str) -> None:
    assert set(parts(kind)) == PARTS[kind]


@pytest.mark.parametrize("kind", [kind for kind in PARTS if kind != "recipes"])
def test_every_part_says_where_it_comes_from_and_explains_its_options(kind: str) -> None:
    for part in parts(kind).values():
        doc = inspect.getdoc(part) or ""
        assert "https://arxiv.org/abs/" in doc
        assert all(f"{option}:" in doc for option in inspect.signature(part).parameters)


def test_networks_keep_what_the_engine_relies_on() -> None:
    found = parts("networks")
    labels = torch.tensor([2, 0])
    small = {"size_px": 16, "channels": 4}
    mapping = {"size_px": 16, "latent_size": 6, "style_size": 8}
    check_network(found["mapping"], (2, 6), **mapping)
    check_network(found["mapping"], (2, 6), labels, classes=3, **mapping)
    check_network(found["synthesis"], (2, 6, 8), style_size=8, **small)
    check_network(found["discriminator"], (2, 3, 16, 16), **small)
    check_network(found["discriminator"], (2, 3, 16, 16), labels, classes=3, **small)


def test_ops_keep_what_the_engine_relies_on() -> None:
    found = parts("ops")
    check_op(found["ada"], (3, 3, 8, 8), start=0.7)
    check_op(found["ada"], (3, 3, 8, 8), method="watch", start=0.3, interval=2, kimg=0.02)
    check_op(found["diff_augment"], (3, 3, 8, 8))
    check_op(found["mix_styles"], (3, 6, 8), (3, 6, 8))


def test_path_length_keeps_what_the_engine_relies_on() -> None:
    mixing = torch.randn(5, 3 * 4 * 4, dtype=torch.float64)

    def images(latents: torch.Tensor) -> torch.Tensor:
        mapped = (latents.sum(1) @ mixing.to(latents.dtype)).unflatten(1, (3, 4, 4))
        return mapped + mapped.tanh()

    check_loss(parts("losses")["path_length"], latents=torch.randn(4, 2, 5), images=images)


def test_lazy_adam_corrects_for_the_steps_in_between() -> None:
    (group,) = lazy_adam([torch.zeros(1)], lr=0.002, betas=(0.5, 0.99), every=16).param_groups
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == pytest.approx((0.5 ** (16 / 17), 0.99 ** (16 / 17)))
    # Over 16 steps of the one phase and one of the other, the memory fades as it would have in 16.
    assert group["betas"][1] ** 17 == pytest.approx(0.99**16)
