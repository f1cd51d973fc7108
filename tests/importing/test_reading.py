"""Nothing in a file is run, and a file that is not understood is told what is wrong with it."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from importing.references import resnet

from ganforge.errors import UsageError
from ganforge.importing.published import read_weights


class Malice:
    """Opens a file when it is unpickled."""

    def __init__(self, loot: Path) -> None:
        self.loot = loot

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.loot), "w")


@pytest.mark.parametrize("hidden", ["beside", "whole", "old_format"])
def test_a_malicious_pickle_is_refused(hidden: str, ganforge: Callable, write: Callable, in_tmp: Path) -> None:
    malice = Malice(in_tmp / "loot")
    match hidden:
        case "beside":
            path = write("horse2zebra", {**resnet().state_dict(), "model.99.bias": malice})
        case "whole":
            path = write("horse2zebra", malice)
        case "old_format":
            path = in_tmp / "horse2zebra.pth"
            path.write_bytes(pickle.dumps(malice, protocol=2))
    outcome = ganforge("import", "cyclegan", path)
    assert outcome.code == 2
    assert f"{path} is refused: it holds more than weights, namely " in outcome.err
    assert ".open, and loading that can run any code" in outcome.err
    assert not malice.loot.exists()
    assert not (in_tmp / "runs").exists()
    with suppress(Exception):  # what the old format lacks is found after the damage
        torch.load(path, weights_only=False)
    assert malice.loot.exists(), "the file was harmless: this proves nothing"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no checkpoint of PyTorch, or a damaged one; download it again"),
        (b"<html>404: not found</html>", "is no checkpoint of PyTorch, or a damaged one; download it again"),
        (None, "is no checkpoint of PyTorch, or a damaged one; download it again"),
        ([torch.zeros(2)], "holds no weights by name, but a list; give a file of a state_dict"),
        ({}, "holds no weights by name, but a dict"),
        ({"epoch": 3, "state_dict": {"a": torch.zeros(1)}}, "holds no weights by name, but a dict"),
        (resnet, "is refused: it holds more than weights, namely ganforge_cyclegan.generators.ResnetGenerator"),
    ],
    ids=["empty", "a page", "truncated", "a list", "nothing", "more", "a whole network"],
)
def test_what_is_no_file_of_weights(
    content: object, why: str, ganforge: Callable, write: Callable, in_tmp: Path
) -> None:
    path = write("horse2zebra", resnet())
    if content is None:
        path.write_bytes(path.read_bytes()[:2000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content() if callable(content) else content, path)
    outcome = ganforge("import", "cyclegan", path)
    assert outcome.code == 2
    assert f"{path} {why}" in outcome.err
    assert not (in_tmp / "runs").exists()


def test_a_file_that_is_not_there(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("import", "cyclegan", "horse2zebra.pth")
    assert (outcome.code, outcome.err) == (2, "error: horse2zebra.pth cannot be read: No such file or directory\n")


def test_names_of_older_torch_are_todays(write: Callable) -> None:
    """`DataParallel` put a prefix before every name; before PyTorch 0.4 instance norms had statistics."""
    norms = {"model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}
    old = OrderedDict({f"module.{name}": tensor for name, tensor in (resnet().state_dict() | norms).items()})
    assert read_weights(write("old", old)).keys() == resnet().state_dict().keys()


def test_statistics_of_a_batch_norm_stay(write: Callable) -> None:
    network = resnet(norm="batch")
    assert read_weights(write("batch", network)).keys() == network.state_dict().keys()


def test_two_files_of_one_network(write: Callable, ganforge: Callable) -> None:
    paths = [write(name, resnet()) for name in ("latest_net_G_A", "200_net_G_A")]
    outcome = ganforge("import", "cyclegan", *paths)
    assert outcome.code == 2
    assert f"{paths[0]} and {paths[1]} would both be 'G_A'" in outcome.err


def test_a_reader_of_weights_raises_what_a_command_can_tell(in_tmp: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_weights(in_tmp)
