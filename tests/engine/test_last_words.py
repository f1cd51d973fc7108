"""What ranks leave for each other when they end, and what they begin with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ganforge import EnvironmentFault, GanforgeError, UsageError
from ganforge.ranks import PeerLost, World
from ganforge.ranks.failure_reports import LastWords


class Store:
    """A store of ranks that are all here."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def compare_set(self, key: str, expected: str, value: str) -> bytes:
        assert not expected
        return bytes(self.kept.setdefault(key, value.encode()))

    def set(self, key: str, value: str) -> None:
        self.kept[key] = value.encode()

    def add(self, key: str, more: int) -> int:
        self.kept[key] = self.kept.get(key, 0) + more
        return int(self.kept[key])

    def check(self, keys: list[str]) -> bool:
        return all(key in self.kept for key in keys)

    def get(self, key: str) -> bytes:
        return bytes(self.kept[key])


def ranks(*hosts: str) -> list[LastWords]:
    """One on each of these hosts, as its first."""
    store = Store()
    words = [LastWords(rank, len(hosts), 0, store) for rank in range(len(hosts))]  # type: ignore[arg-type]
    for word, host in zip(words, hosts, strict=True):
        word.host = host
    return words


@pytest.mark.parametrize(("error", "line"), [(UsageError("no\n  do"), "no"), (EnvironmentFault(), "EnvironmentFault")])
def test_the_same_error_is_told_by_the_first_and_in_a_line_on_other_hosts(error: GanforgeError, line: str) -> None:
    first, near, far = ranks("h0", "h0", "h1")
    errors = [type(error)(*error.args) for _ in range(3)]
    assert [rank.leave(e) for rank, e in zip((near, first, far), errors, strict=True)] == [False, True, True]
    assert [e.instead for e in errors] == [None, "", f"{line}\n  rank 1 on h0 tells more"]


def test_other_errors_are_each_told() -> None:
    one, other = ranks("h0", "h0")
    errors = [UsageError("one"), UsageError("other")]
    assert not any(rank.leave(error) for rank, error in zip((one, other), errors, strict=True))
    failure = other.failure()
    assert failure is not None
    assert (failure["rank"], failure["message"]) == (0, "one")  # the first is why others are missed


def test_of_those_who_miss_a_rank_one_tells() -> None:
    one, other, third = ranks("h0", "h0", "h0")
    one.leave(ZeroDivisionError("by design"))
    errors = [PeerLost("rank 0 on h0 failed: by design"), PeerLost("rank 0 on h0 failed: by design")]
    assert [rank.leave(error) for rank, error in zip((other, third), errors, strict=True)] == [False, True]
    assert [error.instead for error in errors] == ["rank 0 failed, as it says itself", ""]


def test_without_a_store_each_tells() -> None:
    assert not LastWords(1, 2, 1).leave(UsageError("no"))
    assert LastWords(1, 2, 1).failure() is None


def test_ranks_begin_with_what_the_first_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def tensors(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
        return [image, torch.randn(3, 2).T, torch.tensor(seed > 0), torch.tensor(seed), torch.empty(0), *complexes()]

    def complexes() -> list[Tensor]:
        return [torch.randn(3, dtype=torch.complex64).conj(), torch.randn(3, dtype=torch.bfloat16)]

    sent: list[Tensor] = []
    monkeypatch.setattr("torch.distributed.broadcast", lambda tensor, _: sent.append(tensor.clone()))
    ours, theirs = tensors(0), tensors(1)
    expanded = torch.arange(4)[:, None].expand(4, 4)
    World(0, 2).copy_first([*ours, expanded])
    monkeypatch.setattr("torch.distributed.broadcast", lambda tensor, _: tensor.copy_(sent.pop(0)))
    World(1, 2).copy_first([*theirs, expanded])
    assert not sent
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(ours, tensors(0), strict=True))
