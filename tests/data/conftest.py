from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganforge.images import write_image


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., None]:
    """Writes noise of 20 x 16 px (or `size`) as `tmp_path/folder/name` for each name."""

    def make(folder: str, names: list[str], size: tuple[int, int] = (16, 20)) -> None:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(len(folder))
        for name in names:
            noise = torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
            write_image(tmp_path / folder / name, noise)

    return make
