"""Parts are found by their short or full name; a name that is not found says what may be meant."""

from __future__ import annotations

import pytest
from torch import Tensor

from ganforge import Progress, traits
from ganforge.errors import UsageError
from ganforge.plugins.registry import Part, Registry, UnknownPart
from ganforge.plugins.signature import SignatureError


@traits(wrt=("input",))
def l1(input: Tensor, target: Tensor) -> Tensor:
    """The mean absolute
    difference.

    And more."""
    return (input - target).abs().mean()


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for kind, name, plugin in (
        ("losses", "l1", "ganforge"),
        ("losses", "hinge", "cyclegan"),
        ("losses", "hinge", "pix2pix"),
        ("ops", "noise", "ganforge"),
    ):
        registry.add(Part(kind, name, plugin, l1))
    return registry


def unknown(registry: Registry, kind: str, name: str) -> tuple[str, str]:
    with pytest.raises(UnknownPart) as raised:
        registry.find(kind, name)
    message, cure = raised.value.args
    return message, cure


def test_parts_are_found_by_short_and_full_name(registry: Registry) -> None:
    assert registry.find("losses", "l1") is registry.find("losses", "ganforge.l1")
    assert registry.find("losses", "pix2pix.hinge").plugin == "pix2pix"
    assert [part.full_name for part in registry.of("losses")] == ["cyclegan.hinge", "pix2pix.hinge", "ganforge.l1"]


@pytest.mark.parametrize(
    ("kind", "name", "message", "cure"),
    [
        ("losses", "hinge", "'hinge' is registered by 2 plugins", "write cyclegan.hinge or pix2pix.hinge"),
        ("losses", "hinje", "unknown loss 'hinje'; did you mean 'hinge'?", ""),
        ("losses", "cyclegan.hinje", "unknown loss 'cyclegan.hinje'; did you mean 'cyclegan.hinge'?", ""),
        ("losses", "vgg", "unknown loss 'vgg'", "`ganforge parts losses` lists what is installed"),
        ("losses", "noise", "unknown loss 'noise'", "there is an op of that name"),
        (
            "losses",
            "lpips.vgg",
            "unknown loss 'lpips.vgg'",
            "no plugin 'lpips' is installed; its package may be called ganforge-lpips",
        ),
        ("losses", "pix2pix.vgg", "unknown loss 'pix2pix.vgg'", "`ganforge parts losses` lists what is installed"),
    ],
)
def test_an_unknown_name_says_what_may_be_meant(
    kind: str, name: str, message: str, cure: str, registry: Registry
) -> None:
    assert unknown(registry, kind, name) == (message, cure)


def test_no_plugin_takes_a_built_in_parts_short_name(registry: Registry) -> None:
    """Installing a plugin changes no recipe."""
    registry.add(Part("losses", "l1", "another", l1))
    assert registry.find("losses", "l1").plugin == "ganforge"
    assert registry.find("losses", "another.l1").plugin == "another"


def test_a_broken_plugin_is_quoted(registry: Registry) -> None:
    registry.broken["lpips"] = "ImportError: no lpips"
    _, cure = unknown(registry, "losses", "lpips.vgg")
    assert cure.splitlines()[0] == "plugin 'lpips' could not be loaded: ImportError: no lpips"
    assert "its package may be called" not in cure


def test_a_name_is_registered_once(registry: Registry) -> None:
    with pytest.raises(UsageError, match="it registers the loss 'l1' twice"):
        registry.add(Part("losses", "l1", "ganforge", l1))


def test_a_faulty_part_fails_when_it_is_registered(registry: Registry) -> None:
    with pytest.raises(SignatureError):
        registry.add(Part("losses", "untyped", "ganforge", lambda x: x))
    assert "untyped" not in [part.name for part in registry.of("losses")]


def test_a_part_knows_its_summary_and_traits() -> None:
    part = Part("losses", "l1", "ganforge", l1)
    assert part.summary == "The mean absolute difference."
    assert part.trait("wrt") == ("input",)
    assert part.trait("scores") == ()


def test_a_part_may_not_take_a_name_that_recipes_use_themselves() -> None:
    def heavy(input: Tensor, weight: float = 1.0) -> Tensor:
        return input.mean() * weight

    with pytest.raises(SignatureError, match="'heavy' has a parameter 'weight'"):
        Registry().add(Part("losses", "heavy", "mine", heavy))
    Registry().add(Part("ops", "heavy", "mine", heavy))  # an op has no weight in a recipe


def test_what_nobody_fills_in_is_refused_when_it_is_registered() -> None:
    def late(input: Tensor, at: Progress) -> Tensor:
        return input.mean() * at.step

    with pytest.raises(SignatureError, match="'at' of 'late' is a Progress, which the engine does not fill in for los"):
        Registry().add(Part("losses", "late", "mine", late))


def test_a_declaration_names_inputs() -> None:
    @traits(wrt=("image",))
    def steep(images: Tensor) -> Tensor:
        return images.mean()

    with pytest.raises(SignatureError, match=r"'steep' declares wrt=\('image',\): no input of it; it has: images"):
        Registry().add(Part("losses", "steep", "mine", steep))
