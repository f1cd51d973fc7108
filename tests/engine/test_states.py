"""What a part keeps by torch's public protocols is saved and taken up again; what cannot be is told before the first
step."""

from __future__ import annotations

import collections
import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.core.serialise import Unsaveable, put_together, take_apart
from ganforge.runs.checkpoint.files import Checkpoint, load_checkpoint, save_checkpoint

PLUGIN = """
import collections
import numpy as np
import torch
from torch import Tensor, nn
from ganforge import hookimpl

class Counting(nn.Module):
    '''Keeps all kinds of things by get_extra_state; and what it computes depends on them.'''
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)
        self.seen, self.means, self.sizes = 0, [], set()
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
            self.means = [*self.means[-2:], x.detach().double().mean((0, 2, 3))]
            self.sizes.add(tuple(x.shape))
        return self.body(x) * (1 + self.seen / 100) + sum(self.means, torch.zeros(3))[:, None, None].to(x)
    def get_extra_state(self):
        kinds = {"type": torch.float64, "where": torch.device("cpu"), "size": torch.Size([2, 3]), "raw": b"ab"}
        return {"seen": self.seen, "means": self.means, "sizes": self.sizes, "mean": np.float32(self.seen)} | kinds
    def set_extra_state(self, state) -> None:
        assert state["type"] is torch.float64 and isinstance(state["mean"], np.float32), state
        assert isinstance(state["size"], torch.Size) and state["raw"] == b"ab"
        self.seen, self.means, self.sizes = state["seen"], state["means"], state["sizes"]

class Tied(nn.Module):
    '''Shared, strided, empty, complex and passing buffers, and hooks that rename.'''
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3)
        self.two = nn.Linear(3, 3)
        self.two.weight = self.one.weight
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).T)
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("number", torch.tensor(3, dtype=torch.int16))
        self.register_buffer("passing", torch.ones(3), persistent=False)
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_state_dict_post_hook(lambda m, s, p, _: s.update({p + "kept": s.pop(p + "number")}))
        self.register_load_state_dict_pre_hook(lambda m, s, p, *_: s.update({p + "number": s.pop(p + "kept")}))
    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.movedim(1, 3))).movedim(3, 1) * self.passing.view(3, 1, 1)

class Migrating(Counting):
    '''Reads weights of its first version otherwise.'''
    _version = 2
    def _load_from_state_dict(self, state, prefix, metadata, *more):
        if metadata.get("version", 1) < 2:
            raise ValueError("a state of version 1")
        super()._load_from_state_dict(state, prefix, metadata, *more)

class Opaque(Counting):
    def get_extra_state(self):
        return {"kept": [object()]}

class OneWay(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(3, 3, 1)
    def get_extra_state(self):
        return 3

class Later(Counting):
    def get_extra_state(self):
        return super().get_extra_state() | ({"odd": object()} if self.seen else {})

class Keeping:
    def __init__(self, kind: str = "good") -> None:
        self.kind, self.seen = kind, collections.deque(maxlen=3)
    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(float(x.detach().mean()))
        return x
    def state_dict(self):
        if self.kind == "raises":
            raise ZeroDivisionError("by design")
        kinds = {"good": list(self.seen), "deque": self.seen, "quantised": torch.zeros(2, dtype=torch.qint8)
                 if False else torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)}
        return {"seen": kinds.get(self.kind, list(self.seen)), float("inf"): np.int64(2**62), (1, "a"): 2**70}
    def load_state_dict(self, state) -> None:
        if self.kind == "refuses":
            raise KeyError("by design")
        assert state[(1, "a")] == 2**70 and type(state[float("inf")]) is np.int64
        self.seen = collections.deque(state["seen"], maxlen=3)

@hookimpl
def register_networks(register):
    for network in (Counting, Tied, Migrating, Opaque, OneWay, Later):
        register(network.__name__.lower(), network)

@hookimpl
def register_ops(register):
    register("keeping", Keeping)
"""
RECIPE = """
data: {type: shapes, size_px: 16, count: 4, validation: 4}
networks: {G: {type: counting}, D: {type: tied}}
ops: {kept: {type: keeping}}
signals: {fake: G(real_a)}
players:
  g: {networks: [G], optimizer: {type: adam, lr: 0.01}, ema: {decay: 0.5}}
  d: {networks: [D], optimizer: {type: adam, lr: 0.01}}
phases:
  - {train: g, losses: {adv: {type: lsgan_g, fake: D(fake)}}}
  - {train: d, losses: {judge: {type: lsgan_d, real: D(real_b), fake: D(kept(fake))}}}
metrics: {error: {type: absolute_error, input: fake, target: real_a}}
run: {steps: 6, checkpoint_every: 2, log_every: 1, images: [fake]}
"""


@pytest.fixture
def run_it(in_tmp: Path, ganforge: Callable[..., Any]) -> Callable[..., Any]:
    (in_tmp / "keeping.py").write_text(PLUGIN)
    (in_tmp / "r.yaml").write_text(RECIPE)
    return lambda *arguments: ganforge("run", "r.yaml", "-p", "keeping.py", *arguments)


def saved(folder: str, step: int = 6) -> Checkpoint:
    return load_checkpoint(Path(f"runs/{folder}/checkpoints/step_{step:07d}"))


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types."""
    tensors: tuple[dict[str, torch.Tensor], ...] = ({}, {})
    plain = [take_apart(state, "", held) for state, held in zip((one, other), tensors, strict=True)]
    return plain[0] == plain[1] and all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.mark.parametrize("network", ["counting", "migrating"])
def test_extra_state_is_saved_and_resumed(network: str, run_it: Callable[..., Any]) -> None:
    other = f"networks.G.type={network}"
    assert run_it(other).code == 0
    stopped = run_it(other, "run.steps=4")
    assert stopped.code == 0, stopped.err
    resumed = run_it(other, "--resume", "run.steps=6")
    assert resumed.code == 0, resumed.err
    straight, again = saved("r/0001"), saved("r/0002")
    assert straight.networks["G._extra_state"]["seen"] == 6
    assert straight.ema["G._extra_state"]["seen"] == 6  # a moving average follows
    assert same([straight.networks, straight.ema], [again.networks, again.ema])
    assert same(straight.training["trainer"]["ops"], again.training["trainer"]["ops"])


def test_what_comes_after_training_reads_it(
    run_it: Callable[..., Any], ganforge: Callable[..., Any], in_tmp: Path
) -> None:
    assert run_it().code == 0
    run, plugin = "runs/r/0001", ("-p", "keeping.py")
    for command in (
        ("translate", run, "runs/r/0001/images/a2b", "-o", "out"),
        ("bundle", run, "-o", "r.ganforge.zip"),
        ("evaluate", "r.ganforge.zip"),
    ):
        outcome = ganforge(*command, *plugin)
        assert outcome.code == 0, (command, outcome.out, outcome.err)
    hub = ganforge("export", run, "-f", "hub", "-o", "hub", *plugin)
    assert hub.code == 2
    assert "keeps something else as well: " in hub.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("networks.G.type=opaque", "network 'G' cannot be saved: _extra_state.kept.0: a state may hold"),
        (
            "networks.G.type=oneway",
            "network 'G' cannot take up its own state: RuntimeError: Unexpected key(s) in state_dict: \"_extra",
        ),
        ("ops.kept.kind=deque", "op 'kept' cannot be saved: seen: a state may hold"),
        ("ops.kept.kind=quantised", "op 'kept' cannot be saved: seen: a state may hold no quantised tensor"),
        ("ops.kept.kind=raises", "op 'kept' cannot be saved: its state_dict raises ZeroDivisionError: by design"),
        ("ops.kept.kind=refuses", "op 'kept' cannot take up its own state: KeyError: 'by design'"),
    ],
)
def test_what_cannot_be_saved_is_told_at_its_place_before_the_first_step(
    change: str, told: str, run_it: Callable[..., Any]
) -> None:
    outcome = run_it(change)
    assert outcome.code == 2, outcome.err
    assert told in outcome.err
    assert "^^^" in outcome.err
    assert "Traceback" not in outcome.err
    assert json.loads(Path("runs/r/0001/run.json").read_text())["step"] == 0


def test_what_can_no_longer_be_saved_is_told_with_its_part(run_it: Callable[..., Any]) -> None:
    outcome = run_it("networks.G.type=later", "players.g.ema=null")
    assert outcome.code == 4
    assert "error: step 2: the run's state can no longer be saved: G._extra_state.odd: a state may hold" in outcome.err
    assert not list(Path("runs/r/0001/checkpoints").iterdir())


# Kinds

KINDS: dict[str, Any] = {
    "plain": [None, True, 3, -(2**70), 2.5, float("inf"), -0.0, "text \ud800", b"bytes", bytearray(b"more"), 1 + 2j],
    "large": 7**9000,
    "nested": {"list": [1, (2, [3])], (1, "a"): {2: {3.5: None}}, "$tensor": "no key", "$": 1, "empty": {}},
    "sets": {frozenset({1, 2}): {1, (2, 3), "a", None}},
    "torch": [torch.float16, torch.device("cuda:1"), torch.Size([2, 3]), torch.Size([])],
    "scalars": [np.float32(0.1), np.float64(0.1), np.int8(-3), np.uint64(2**63), np.bool_(True), np.complex64(1j)],
    "arrays": [
        np.arange(6).reshape(2, 3).T,
        np.zeros((0, 3)),
        np.array(3, np.uint16),
        np.array([True]),
        np.ones(2, ">f4"),
    ],
    "tensors": [
        torch.arange(6.0).view(2, 3).T,
        torch.zeros(0, 3),
        torch.tensor(3),
        torch.zeros(2, dtype=torch.bfloat16),
        torch.zeros(2, dtype=torch.float8_e4m3fn),
        torch.zeros(3, dtype=torch.uint16),
        torch.ones(2).expand(3, 2),
    ],
    "complex": [torch.ones(2, dtype=torch.complex64).conj() * 1j, torch.ones(2, 2, dtype=torch.complex128).conj() * 2j],
    "sparse": [torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr(), torch.eye(4).to_sparse_bsc((2, 2))],
}


def through_a_file(state: Any, folder: Path) -> Any:
    """As training, and as a network's extra state."""
    path = save_checkpoint(folder, 1, Checkpoint({"G._extra_state": state}, {}, {"kept": state}))
    loaded = load_checkpoint(path)
    assert same(loaded.networks["G._extra_state"], loaded.training["kept"])
    return loaded.training["kept"]


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_state_go_through_a_file(kind: str, tmp_path: Path) -> None:
    state = KINDS[kind]
    again = through_a_file(state, tmp_path)
    assert same(state, again)
    if kind in ("plain", "large", "nested", "sets", "torch", "scalars"):
        assert again == state
        assert [type(value) for value in again] == [type(value) for value in state] if kind != "large" else True
    elif kind != "arrays":
        pairs = zip(state, again, strict=True)
        assert all((a.dtype, a.layout, a.shape) == (b.dtype, b.layout, b.shape) for a, b in pairs)
        dense = [(a.to_dense(), b.to_dense()) for a, b in zip(state, again, strict=True)]
        assert all(torch.equal(a.resolve_conj().to(b.dtype), b) for a, b in dense)


def test_a_key_may_look_like_that_of_another_tensor() -> None:
    tensors: dict[str, torch.Tensor] = {}
    state = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}}
    assert same(state, put_together(take_apart(state, "", tensors), tensors))


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "not object"),
        (Pair(1, 2), r"not a named tuple \(Pair\): make it a dict"),
        (collections.defaultdict(int), "not a defaultdict: make it a dict"),
        (collections.deque(), "not deque"),
        (enum.Enum("Colour", "RED").RED, "not Colour"),
        (np.array(["a"]), "no array of <U1"),
        (np.array([None]), "no array of object"),
        (np.zeros(2, "datetime64[s]"), "no array of datetime64"),
        (torch.zeros(2, device="meta"), "no meta tensor"),
        ({torch.zeros(2)}, "no set of tensors"),
    ],
)
def test_what_no_checkpoint_holds_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(Unsaveable, match=rf"^\.a\.0: a state may hold .*{told}"):
        take_apart({"a": [value]}, "", {})
