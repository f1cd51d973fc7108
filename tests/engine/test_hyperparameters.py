"""Schedules on an optimizer's options move what the optimizer has made of them; what they cannot move is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganforge.step.optimizer_options import NoPlace, places, write

PLUGIN = """
import torch
from torch import nn
from ganforge import hookimpl

def slow_adam(params, lr: float = 1e-4, momentum: float = 0.5) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=lr, betas=(momentum, 0.999))

def grouped(params, lr: float = 0.1, weight_decay: float = 0.01, momentum: float = 0.0) -> torch.optim.Optimizer:
    '''No decay of biases; a tenth of the rate for the last weights, and a rate of their own for the first ones.'''
    first, *rest = params
    biases, others = [p for p in rest if p.ndim < 2], [p for p in rest if p.ndim > 1]
    return torch.optim.SGD(
        [{"params": [first], "lr": 1e-3}, {"params": biases, "weight_decay": 0.0}, {"params": others, "lr": lr / 10}],
        lr=lr, weight_decay=weight_decay, momentum=momentum,
    )

class Deaf(torch.optim.SGD):
    '''Keeps a number that it looks at when it is built.'''
    def __init__(self, params, lr: float = 0.1, strength: float = 1.0) -> None:
        self.strength = strength
        super().__init__(params, lr)
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.sub_(p.grad, alpha=self.strength * group["lr"])

class Listed(Deaf):
    '''Lists it among its groups' options as well, and does not look there.'''
    def __init__(self, params, lr: float = 0.1, strength: float = 1.0) -> None:
        super().__init__(params, lr, strength)
        for group in self.param_groups:
            group["strength"] = strength

class Wrapping(torch.optim.Optimizer):
    '''Lets another optimizer work, as lookahead and the like do.'''
    def __init__(self, params, lr: float = 0.1, momentum: float = 0.9) -> None:
        self.inner = torch.optim.SGD(params, lr, momentum)
        super().__init__(self.inner.param_groups, self.inner.defaults)
        self.param_groups = self.inner.param_groups
    def step(self, closure=None):
        self.inner.step()
    def state_dict(self):
        return {"inner": self.inner.state_dict()}
    def load_state_dict(self, state):
        self.inner.load_state_dict(state["inner"])
        self.param_groups = self.inner.param_groups

def squared(params, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=lr**2)

class Hoarding(torch.optim.SGD):
    '''Keeps what no checkpoint holds once it has taken a step.'''
    def __init__(self, params, lr: float = 0.1) -> None:
        super().__init__(params, lr)
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["odd"] = object()

@hookimpl
def register_optimizers(register):
    for optimizer in (slow_adam, grouped, Deaf, Listed, Wrapping, squared, Hoarding):
        register(optimizer.__name__.lower(), optimizer)
"""
RECIPE = """
data: {type: shapes, size_px: 16, count: 4, validation: 2}
networks: {G: {type: cyclegan.resnet_generator, channels: 2, blocks: 0}}
players: {g: {networks: [G], optimizer: {type: sgd, lr: 0.1}}}
phases:
  - {train: g, losses: {same: {type: l1, input: G(real_a), target: real_b}}}
run: {steps: 6, log_every: 1, images: [], precision: fp64}
"""
RAMP = {"type": "ramp", "start": 0.8, "end": 0.2, "steps": 4}


@pytest.fixture
def command(in_tmp: Path, ganforge: Callable[..., Any]) -> Callable[..., Any]:
    (in_tmp / "moving.py").write_text(PLUGIN)
    (in_tmp / "r.yaml").write_text(RECIPE)

    def call(name: str, optimizer: dict[str, Any], *more: str) -> Any:
        return ganforge(name, "r.yaml", "-p", "moving.py", f"players.g.optimizer={json.dumps(optimizer)}", *more)

    return call


@pytest.mark.parametrize(
    ("optimizer", "why"),
    [
        ({"type": "deaf", "strength": RAMP}, "the optimizer keeps it nowhere in its param_groups"),
        ({"type": "listed", "strength": RAMP}, "the optimizer does not look at it any more once it has taken a step"),
        ({"type": "rprop", "lr": RAMP}, "the optimizer does not look at it any more once it has taken a step"),
        ({"type": "squared", "lr": RAMP}, "the optimizer makes a 'lr' of it that is not in proportion"),
    ],
)
def test_what_cannot_move_is_refused_at_its_place(optimizer: dict[str, Any], why: str, command: Any) -> None:
    outcome = command("run", optimizer)
    assert outcome.code == 2
    assert f"cannot be a schedule: {why}" in outcome.err
    assert "^^^^" in outcome.err
    assert "defaults that torch.optim.Optimizer is given" in outcome.err
    assert "or give a number: players.g.optimizer." in outcome.err
    assert not Path("runs").exists()


def test_a_factor_on_a_rate_that_is_not_heeded_is_refused(command: Any) -> None:
    outcome = command("check", {"type": "rprop", "lr": 0.1}, "players.g.schedule={type: cosine}")
    assert outcome.code == 2
    assert "rprop: a schedule of player 'g' cannot scale its learning rate: the optimizer does not look" in outcome.err


def test_a_state_that_appears_after_a_step_and_cannot_be_saved(command: Any) -> None:
    outcome = command("check", {"type": "hoarding"})
    assert outcome.code == 2
    assert "hoarding: its state after a step cannot be saved: state.0.odd: a state may hold" in outcome.err


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "slow_adam", "momentum": RAMP},
        {"type": "grouped", "lr": RAMP, "weight_decay": {"type": "ramp", "start": 0, "end": 1, "steps": 4}},
        {"type": "wrapping", "momentum": RAMP},
    ],
)
def test_what_moves_moves_what_was_made_of_it_and_is_resumed(optimizer: dict[str, Any], command: Any) -> None:
    from ganforge.runs.checkpoint.files import load_checkpoint

    assert command("run", optimizer).code == 0
    assert command("run", optimizer, "run.steps=3").code == 0
    resumed = command("run", optimizer, "--resume", "run.steps=6")
    assert resumed.code == 0, resumed.err
    still = json.loads(json.dumps(optimizer).replace(json.dumps(RAMP), "0.8"))
    if still != optimizer:
        assert command("run", still).code == 0
    found = [load_checkpoint(path / "checkpoints/step_0000006").networks for path in sorted(Path("runs/r").iterdir())]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert still == optimizer or any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_groups_keep_what_they_were_given(bench: Callable[..., Any], tmp_path: Path) -> None:
    """Against torch's own optimizer, built anew with what the schedule says at each step."""
    (tmp_path / "moving.py").write_text(PLUGIN)
    ours = _trainer(tmp_path, {"type": "grouped", "lr": RAMP, "weight_decay": {**RAMP, "start": 0.0, "end": 0.5}})
    player = ours.trainer.players["g"]
    for step, batch in enumerate(ours.batches(6)):
        ours.trainer.step([batch])
        share = min(1.0, step / 4)
        lr, decay = 0.8 + share * (0.2 - 0.8), share * 0.5
        groups = [(group["lr"], group["weight_decay"]) for group in player.optimizer.param_groups]
        for got, wanted in zip(groups, [(1e-3, decay), (lr, 0.0), (lr / 10, decay)], strict=True):
            assert got == pytest.approx(wanted, rel=1e-14, abs=0)


def test_a_factor_scales_what_a_schedule_set(tmp_path: Path) -> None:
    (tmp_path / "moving.py").write_text(PLUGIN)
    ours = _trainer(tmp_path, {"type": "grouped", "lr": RAMP}, "players.g.schedule={type: exponential, factor: 0.5}")
    player = ours.trainer.players["g"]
    rates = []
    for batch in ours.batches(3):
        ours.trainer.step([batch])
        rates.append([group["lr"] for group in player.optimizer.param_groups])
    factors = [first[0] / 1e-3 for first in rates]
    assert factors == sorted(factors, reverse=True)
    for step, (_, whole, tenth) in enumerate(rates):
        assert whole == pytest.approx((0.8 - 0.15 * step) * factors[step], rel=1e-12)
        assert tenth == pytest.approx(whole / 10, rel=1e-12)


def _trainer(folder: Path, optimizer: dict[str, Any], *more: str) -> Any:
    from ganforge.plugins.loading import load_plugins
    from ganforge.recipe import open_recipe
    from ganforge.testing import Parity

    (folder / "r.yaml").write_text(RECIPE)
    settings = (f"players.g.optimizer={json.dumps(optimizer)}", "run.device=cpu", *more)
    return Parity(open_recipe(str(folder / "r.yaml"), settings, load_plugins([folder / "moving.py"]).registry))


# Places


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2, 2, dtype=torch.float64)), nn.Parameter(torch.ones(2, dtype=torch.float64))]


def test_every_optimizer_of_torch_keeps_its_options() -> None:
    given = {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-6, "weight_decay": 0.1, "momentum": 0.5, "alpha": 0.9}
    for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.NAdam):
        options = {name: value for name, value in given.items() if name in kind(parameters(), lr=0.1).defaults}
        for path in [(name,) for name in options if name != "betas"] + [("betas", 1)] * ("betas" in options):
            found = places(lambda options, kind=kind: kind(parameters(), **options), options, path)
            assert [(p.number[1:], p.of(0.25)) for p in found] == [((path[0], path[1] if path[1:] else None), 0.25)]


def test_a_number_that_is_a_tensor_stays_where_it_is() -> None:
    optimizer = torch.optim.Adam(parameters(), lr=torch.tensor(0.1), capturable=False, foreach=False)
    rate = optimizer.param_groups[0]["lr"]
    write(optimizer, (0, "lr", None), 0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.5


def test_groups_that_depend_on_the_value_keep_their_proportion() -> None:
    def build(options: dict[str, Any]) -> torch.optim.Optimizer:
        first, second = parameters()
        if options["lr"] < 0.5:
            return torch.optim.SGD([first, second], **options)
        return torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": options["lr"] / 4}], **options)

    found = places(build, {"lr": 0.8}, ("lr",))
    assert [place.of(0.4) for place in found] == [0.4, 0.1]
    with pytest.raises(NoPlace):
        places(lambda _: torch.optim.SGD(parameters(), lr=0.1), {"strength": 1.0}, ("strength",))
