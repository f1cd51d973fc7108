"""Pairs are told apart by name, whatever the suffix."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge import EnvironmentFault
from ganforge.builtin.datasets import PairedFolders


def test_two_pictures_of_one_name_are_refused(tmp_path: Path, make_pictures: Callable[..., None]) -> None:
    make_pictures("trainA", ["1.png", "1.jpg", "2.png"])
    make_pictures("trainB", ["1.png", "2.png"])
    with pytest.raises(EnvironmentFault, match="have one name but for their suffixes"):
        PairedFolders(tmp_path, layout="two_folders", load_px=8, crop_px=8).prepare()
