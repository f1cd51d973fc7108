"""A recipe that has been read and checked: which parts, with which options, wired by which expressions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from ganforge.api.datasets import Dataset
from ganforge.errors import Mark, Problem
from ganforge.plugins.registry import Part
from ganforge.recipe.expressions import Expression, Name
from ganforge.recipe.nodes import Node

SECTIONS = {
    "data": "The dataset, and how it is loaded.",
    "networks": "The networks by name. Each belongs to one player, or is frozen.",
    "ops": "Ops that keep state, or whose options should have a name, by the name that expressions call them by.",
    "schedules": "Numbers that change with the steps, by name: for expressions and a loss's weight.",
    "signals": "Values by name, each an expression: `fake_b: G_ab(real_a)`. A signal is computed once a step.",
    "players": "Who learns, by name: networks with one optimizer.",
    "phases": "What a step does: one phase after the other, each an optimizer step of its player.",
    "metrics": "Figures over the validation samples, by name.",
    "callbacks": "What watches the run, by name; null removes `progress`, `tensorboard`, `panels` or `doctor`, "
    "which are there unasked.",
    "run": "The length of the run, its precision, and how often things are written.",
    "requires": "Packages that the recipe needs, as pip writes them: `my-losses>=0.1`.",
    "extends": "What this recipe is laid on: a path beside it, the name of a shipped recipe, or a list of them.",
}
REQUIRED = ("data", "networks", "players", "phases", "run")

Every = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Settings with fixed names: strict types, unknown names refused. What editors show of them are the docstrings."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


DEVICE = r"auto|cpu|mps|cuda(:(0|[1-9]\d?))?"


def _device(name: str) -> str:
    if not re.fullmatch(DEVICE, name):
        raise ValueError(f"should be auto, cpu, mps, cuda or cuda:1, not '{name}'")
    return name


Device = Annotated[str, AfterValidator(_device), WithJsonSchema({"type": "string", "pattern": f"^({DEVICE})$"})]


Lever = Literal["auto"] | bool
"""`auto` where it should help, or true or false."""


class RunSettings(Settings):
    """`run:`: how long, how precisely, on what, and how often things are written."""

    epochs: Count | None = None
    """The length in epochs; with `steps` as well, the shorter of both counts."""
    steps: Count | None = None
    """The length in steps."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of everything random."""
    device: Device = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    precision: Literal["auto", "fp64", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """What the networks compute in; losses compute in fp32 at least. `auto` is bf16 where this device is faster in it,
    else fp32."""
    deterministic: bool = False
    """On a GPU, take kernels that give the same bits each time, where torch has them; slower."""
    merge: Lever = "auto"
    """Run forwards of one network that are ready together as one batch, where samples do not depend on each other."""
    compile: Lever = "auto"
    """Generate code for the networks of players with `torch.compile`; gradients of gradients stay uncompiled."""
    cuda_graphs: Lever = "auto"
    """On a CUDA GPU, record the forward and backward passes of each phase once, and replay them."""
    channels_last: Lever = "auto"
    """Keep images with their channels innermost, as tensor cores want them."""
    fused: Lever = "auto"
    """Let optimizers that can update all weights in one kernel."""
    recompute: bool | tuple[str, ...] = False
    """Networks, or true for all, that keep no activations but compute them again in the backward pass: less memory, a
    third more work."""
    shard: bool | tuple[str, ...] = False
    """Networks, or true for all, of whose weights, gradients and optimizer each rank keeps a part: for those too large
    for one device."""
    accumulate: Count = 1
    """Batches whose gradients are averaged into one step."""
    global_batch: Count | None = None
    """Samples of a step, however many ranks compute it: it keeps the mathematics. `accumulate` follows from it."""
    batch_per_device: Count | None = None
    """Samples that a device computes at once, at most; `data.batch_size` if left out."""
    lanes: Count | None = None
    """Parts of a step's samples with a state of their own (replay buffers, random numbers), which one rank or several
    compute; as many as there are ranks when the run begins."""
    sync_batch_norm: bool = False
    """Let batch norms take their statistics over all ranks."""
    overlap: Lever = "auto"
    """Average gradients over the ranks while the backward pass goes on."""
    timeout_s: Annotated[float, Field(gt=0)] = 600
    """Seconds that a rank waits for another one before it gives up."""
    on_bad_loss: Literal["stop", "skip"] = "stop"
    """`stop` at a NaN or infinite loss or gradient, or `skip` that phase and count it; a player that learns nothing any
    more ends the run."""
    strict: bool = False
    """Whether a callback, a metric or a panel that raises ends the run; by default it is told once, and training
    goes on."""
    images: tuple[str, ...] | None = None
    """Signals and batch fields to draw, for the same validation samples each time; by default those of each
    translation; `[]` draws nothing."""
    images_count: Count = 4
    """How many samples each panel shows."""
    show: Mapping[str, tuple[Count, ...]] = Field(default_factory=dict)
    """Which channels of a field or signal panels and galleries show, counted from 1: one as grey, or three as red,
    green and blue; by default the first three, or the first. A translation is shown as the field that it should look
    like."""
    images_every: Every = 1000
    """Steps between panels."""
    log_every: Every = 50
    """Steps between statistics; those of the first and the last step are always read."""
    metrics_every: Every | None = None
    """Steps between metrics, from before the first step on; they are computed at the end in any case."""
    checkpoint_every: Every = 1000
    """Steps between checkpoints."""
    keep_last: Count = 3
    """How many of the last checkpoints stay."""
    keep_every: Every | None = None
    """Checkpoints of steps that this number divides stay, too."""


class LoaderSettings(Settings):
    """The keys of `data:` that are the engine's; the others are options of the dataset."""

    batch_size: Annotated[int, Field(ge=1, le=2**20)] = 1
    """Samples of a batch."""
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processes that load; 0 loads in the process that trains."""
    on_bad_file: Literal["stop", "skip"] = "stop"
    """`stop` at a file that cannot be read, or `skip` it: another sample takes its place, counted and told."""


class AugmentSettings(Settings):
    """The keys of an augmentation that are the engine's; the others are options of it."""

    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    """How often it is applied; by default always, if the augmentation says nothing else."""
    fields: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The fields that it changes; by default every picture."""


class EmaSettings(Settings):
    """`ema:` of a player: the weights' moving average, `decay` per step."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """How much of the average stays at each step: a number, a schedule, or the name of one."""


class PlayerSettings(Settings):
    """The keys of a player that are no parts."""

    networks: Annotated[tuple[str, ...], Field(min_length=1)]
    """The networks that learn together."""
    ema: EmaSettings | None = None
    """Keep a moving average of the weights: panels, metrics and `translate` use it."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Scale the gradients down to this norm."""
    clip_weights: Annotated[float, Field(gt=0)] | None = None
    """After each step, cut every weight off at this size."""


class PhaseSettings(Settings):
    """The keys of a phase but its losses."""

    train: str
    """The player that takes a step."""
    every: Every = 1
    """The phase runs in every so many steps, the first included."""


@dataclass(frozen=True)
class PartUse:
    """A part, the options that the recipe gives it, and where it stands."""

    part: Part
    options: dict[str, Any]
    mark: Mark
    """The place of the part's name; errors of its constructor point there."""
    frozen: bool = False
    """A network that no player trains."""


@dataclass(frozen=True)
class Written:
    """An expression and where it was written."""

    expression: Expression
    mark: Mark

    @property
    def text(self) -> str:
        return self.expression.text

    def place(self, piece: Expression) -> Mark:
        """Where a piece of the expression stands."""
        return self.mark.shifted(piece.column, piece.width)


@dataclass(frozen=True)
class AugmentUse:
    """An augmentation of the training samples, and what it changes."""

    use: PartUse
    probability: float
    groups: tuple[tuple[str, ...], ...]
    """The fields that it changes: those of one group in the same way, each group by a draw of its own."""


Bound = Written | tuple[Written, ...]


@dataclass(frozen=True)
class LossUse:
    """A loss of a phase: its inputs bound to expressions."""

    name: str
    use: PartUse
    inputs: dict[str, Bound]
    weight: float | PartUse
    every: int

    def expressions(self) -> Iterator[Written]:
        yield from written(self.inputs)

    @property
    def watches(self) -> bool:
        """Whether the loss's weight is 0: it is computed and logged, and trains nothing."""
        return not isinstance(self.weight, PartUse) and self.weight == 0

    @functools.cached_property
    def leaves(self) -> frozenset[str]:
        """The texts of what the loss differentiates with respect to."""
        named = {name: self.inputs[name] for name in self.use.part.trait("wrt") if name in self.inputs}
        return frozenset(item.text for item in written(named))


@dataclass(frozen=True)
class MetricUse:
    """A metric over the validation set."""

    name: str
    use: PartUse
    inputs: dict[str, Bound]


@dataclass(frozen=True)
class PlayerUse:
    """Networks with one optimizer: who learns."""

    name: str
    settings: PlayerSettings
    optimizer: PartUse
    schedules: tuple[PartUse, ...]
    """The schedules whose product scales the learning rate."""
    moving: dict[tuple[str | int, ...], PartUse]
    """Numbers that are schedules, by their path: `("optimizer", "betas", 1)`, `("ema", "decay")`."""
    marks: dict[str, Mark]
    """The place where each of the player's networks is named."""
    mark: Mark

    @property
    def networks(self) -> tuple[str, ...]:
        return self.settings.networks


@dataclass(frozen=True)
class PhaseUse:
    """One optimizer step of a player."""

    name: str
    train: str
    losses: tuple[LossUse, ...]
    every: int
    mark: Mark


@dataclass(frozen=True)
class Recipe:
    """A whole recipe. `node` is what was read, with the place of every value."""

    name: str
    node: Node
    data: PartUse
    loader: LoaderSettings
    dataset: Dataset
    networks: dict[str, PartUse]
    ops: dict[str, PartUse]
    schedules: dict[str, PartUse]
    signals: dict[str, Written]
    players: dict[str, PlayerUse]
    phases: tuple[PhaseUse, ...]
    metrics: tuple[MetricUse, ...]
    callbacks: dict[str, PartUse | None]
    run: RunSettings
    images: tuple[Written, ...]
    augment: tuple[AugmentUse, ...]
    """What is done to training samples, in this order."""
    functions: dict[str, Part]
    """Function ops that expressions call, by short and by full name."""
    warnings: tuple[Problem, ...] = ()

    def owner(self, network: str) -> str | None:
        """The player that trains a network."""
        return next((player.name for player in self.players.values() if network in player.networks), None)


def written(inputs: Mapping[str, Bound]) -> Iterator[Written]:
    """Every expression among bound inputs."""
    for bound in inputs.values():
        yield from (bound if isinstance(bound, tuple) else (bound,))


def place_of(recipe: Recipe, piece: Expression) -> Mark | None:
    """Where a piece of an expression is written; of several places the first."""
    bound = [*(loss.inputs for phase in recipe.phases for loss in phase.losses), *(m.inputs for m in recipe.metrics)]
    everything = [*recipe.signals.values(), *(item for inputs in bound for item in written(inputs)), *recipe.images]
    if isinstance(piece, Name) and piece.name in recipe.signals:
        return recipe.signals[piece.name].mark
    for item in everything:
        for each in item.expression.walk():
            if each.text == piece.text and not isinstance(each, Name):
                return item.place(each)
    return None
