"""Files as the public references write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture
def write(in_tmp: Path) -> Callable[[str, object], Path]:
    """Save a network's weights, or anything else, as `maps/<name>.pth`."""

    def write(name: str, content: object) -> Path:
        path = in_tmp / "maps" / f"{name}.pth"
        path.parent.mkdir(exist_ok=True)
        torch.save(content.state_dict() if isinstance(content, nn.Module) else content, path)
        return path

    return write
