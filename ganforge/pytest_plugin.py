"""`ganforge.testing` as pytest fixtures. Imports torch only where a test asks for one of them."""

from __future__ import annotations

from typing import Any

import pytest


def _fixture(name: str) -> Any:
    def give() -> Any:
        import ganforge.testing

        return getattr(ganforge.testing, name)

    give.__doc__ = f"`ganforge.testing.{name}`."
    return pytest.fixture(give, name=name, scope="session")


check_loss = _fixture("check_loss")
check_network = _fixture("check_network")
check_op = _fixture("check_op")
check_augmentation = _fixture("check_augmentation")
check_dataset = _fixture("check_dataset")
run_recipe = _fixture("run_recipe")
