"""`parts_of` tells what a module would register, or why it would not load."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from torch import Tensor

from ganforge import Register, hookimpl
from ganforge.testing import CheckFailed, parts_of


def l3(input: Tensor) -> Tensor:
    return input.abs().pow(3).mean()


def untyped(input) -> Tensor:  # type: ignore[no-untyped-def]
    return input.mean()


def plugin(loss: Any, hook: str = "register_losses") -> ModuleType:
    module = ModuleType("somewhere.my_losses")

    @hookimpl
    def register_losses(register: Register) -> None:
        register("l3", loss)

    setattr(module, hook, register_losses)
    return module


def test_parts_by_kind_and_name() -> None:
    assert parts_of(plugin(l3)) == {"losses": {"l3": l3}}


def test_what_would_not_load_is_told() -> None:
    with pytest.raises(CheckFailed, match=r"my_losses: parameter 'input' of 'untyped' \(.*\) has no type annotation"):
        parts_of(plugin(untyped))
    with pytest.raises(CheckFailed, match="there is no hook 'register_loses'; did you mean 'register_losses'"):
        parts_of(plugin(l3, "register_loses"))
