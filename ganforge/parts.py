"""What plugin parts are made of: the types that a plugin names, and that the engine promises to.

Most parts need none of them: a network is a plain `nn.Module`, a loss a plain function of tensors, an optimizer a
function of parameters. Import these names from `ganforge`, not from here.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import torch
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from torch import Tensor
from torch.utils.data import default_collate

if TYPE_CHECKING:
    from ganforge.engine.run import Run

F = TypeVar("F", bound=Callable[..., Any])

Sample = dict[str, Tensor]


@dataclass(frozen=True)
class Context:
    """What an op may ask of the step it runs in: annotate a parameter with it, and the engine fills it in."""

    batch_size: int
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Progress:
    """How far the run is: what a schedule is a function of. Steps and epochs count from 0."""

    step: int
    steps_per_epoch: int
    total_steps: int
    ahead: int = 0
    """Steps, as they are now, that the way through the data is ahead of the steps taken, or behind: not 0 where a
    resumed run changed how many samples a step has. Epochs go on from where they were."""

    @property
    def epoch(self) -> int:
        """The epoch that this step belongs to."""
        return (self.step + self.ahead) // self.steps_per_epoch

    @property
    def epochs(self) -> float:
        """Epochs done so far, as a fraction."""
        return (self.step + self.ahead) / self.steps_per_epoch

    @property
    def total_epochs(self) -> float:
        """The length of the run in epochs."""
        return (self.total_steps + self.ahead) / self.steps_per_epoch

    def at(self, step: int) -> Progress:
        """The progress of the same run at another step."""
        return replace(self, step=step)


_SHARE = r"(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)%"


@dataclass(frozen=True)
class Share:
    """A share of the whole run; a recipe writes `50%`. Annotate an option of a schedule with it.

    Args:
        percent: from 0 to 100.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"a share is from 0% to 100%, not {self}")

    def of(self, whole: float) -> float:
        """This share of a whole: of 200 epochs, `Share(50)` is 100.0."""
        return whole * self.percent / 100

    def __str__(self) -> str:
        return f"{self.percent:g}%"

    @classmethod
    def parse(cls, written: Any) -> Share:
        """`50%` as a share.

        Raises:
            ValueError: it is written otherwise, or is no percentage from 0 to 100.
        """
        if isinstance(written, Share):
            return written
        if isinstance(written, str) and re.fullmatch(_SHARE, written):
            return cls(float(written[:-1]))
        if isinstance(written, int | float) and not isinstance(written, bool):
            percent = written * 100 if written <= 1 else written
            shown = f"{written:g}" + (f": write {percent:g}%" if 0 <= percent <= 100 else "")
        else:
            shown = f"'{written}'"
        raise ValueError(f"should be a share of the run from 0% to 100%, such as 50%, not {shown}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema(when_used="always")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^{_SHARE}$"}


@dataclass(frozen=True)
class Direction:
    """A signal that a discriminator judges: a translation, or a picture made from noise."""

    name: str
    """`a2b`, or the signal's name."""
    source: str | None
    """The batch field that is translated; none where pictures are made from noise."""
    translated: str
    """The signal."""
    target: str
    """The batch field that the judge is shown as real."""
    judge: str
    """The discriminator."""
    recovered: str | None
    """The signal that translates back, where a loss compares it with the source."""


@dataclass(frozen=True)
class Diagnosis:
    """Something that goes wrong in a run, in words for whoever trains it."""

    name: str
    """In lower_snake: `discriminator_wins`."""
    message: str
    """What is wrong, with the figures that show it."""
    cure: str
    """What to try."""
    link: str = ""
    """Where the documents say more."""


@dataclass(frozen=True)
class Recognised:
    """The network that published weights belong to."""

    use: Mapping[str, Any]
    """What a recipe says of it: its `type`, and its options."""
    weights: Mapping[str, Tensor]
    """By its own names."""


class Recognise(Protocol):
    """What an importer asks for the network of a file."""

    def __call__(self, key: str, *types: str) -> Recognised:
        """The first of these networks, named as in recipes, whose `recognise` knows the weights under this key.

        Raises:
            UsageError: none does.
        """


@dataclass(frozen=True)
class Imported:
    """What an importer makes of published weights: a recipe, and the networks that it starts with."""

    recipe: str
    """The name of a recipe, best the full one: `blurring.pairs`."""
    networks: Mapping[str, Recognised]
    """By their names in the recipe, which takes over their types and options; the others start fresh."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else is set in the recipe, by dotted name as on the command line; None removes a key."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """The keys of weights that the recipe has no use for, with the reason."""


def traits(
    *,
    wrt: tuple[str, ...] = (),
    scores: tuple[str, ...] = (),
    boundary: float | None = None,
    couples_samples: bool = False,
    replays: bool = False,
    better: Literal["lower", "higher"] | None = None,
    one_of: tuple[tuple[str, ...], ...] = (),
) -> Callable[[F], F]:
    """Declare what the engine should know about a part; it decorates a function or a class.

    Args:
        wrt: inputs that the loss differentiates with respect to (R1, path length). They are made differentiable
            before the other inputs are evaluated, so a penalty shares its forward with the adversarial loss.
        scores: inputs whose mean is worth watching (a discriminator's verdicts); it becomes the TensorBoard scalar
            `scores/<network>/<input>`.
        boundary: the verdict that is neither real nor fake, 0 for logits. Of the inputs in `scores`, `real` should be
            above and all others below; the share that is becomes `accuracy/<network>/<input>`.
        couples_samples: whether the samples of a batch change each other's results: a loss that is no mean over
            samples, or a layer such as minibatch statistics. Batch norm is known without being declared.
        replays: whether an op may return earlier samples instead of those that it is given: verdicts on them are
            called `pooled`.
        better: which way a metric that is a function is better: the best checkpoint is kept.
        one_of: groups of options that say one thing in several ways, such as a length in epochs, in steps, or as a
            share of the run: a recipe must give one of each group. Each has None as its default.
    """

    def decorate(part: F) -> F:
        part.wrt = wrt  # type: ignore[attr-defined]
        part.scores = scores  # type: ignore[attr-defined]
        part.boundary = boundary  # type: ignore[attr-defined]
        part.couples_samples = couples_samples  # type: ignore[attr-defined]
        part.replays = replays  # type: ignore[attr-defined]
        part.better = better  # type: ignore[attr-defined]
        part.one_of = one_of  # type: ignore[attr-defined]
        return part

    return decorate


class Samples(ABC):
    """A split of a dataset: so many samples, each a dict of tensors without the batch dimension."""

    in_workers: bool = True
    """Whether worker processes may make the samples: not where these lie on a GPU."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples one epoch has."""

    @abstractmethod
    def sample(self, index: int, rng: random.Random) -> Sample:
        """Sample `index` in `[0, len)`.

        Images are `[C, H, W]`: float in `[-1, 1]`, or uint8 in 0..255, which the engine turns into float on the device
        (a quarter of the bytes travels there). All randomness (crops, flips, pairings) must come from `rng`, which the
        engine seeds by (seed, epoch, index): then the number of workers changes nothing.
        """

    def order(self, rng: random.Random) -> Sequence[int] | None:
        """The order in which an epoch shows the samples, drawn from `rng`; None, as here: any, well shuffled.

        Where neighbours should be read together, as in archives, an order keeps them near each other. Then every lane
        of the batch (each rank, where there are several) is given a stretch of it of its own, so that an archive is
        read by one of them. The numbers, `len(self)` at least, are handed to `sample` and `batch` as they are.
        """
        return None

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        """The samples of these indices, each drawn from its own generator: fields `[N, ...]`.

        Override it where many at once are quicker than one by one; the values must be the same.
        """
        return default_collate([self.sample(index, rng) for index, rng in zip(indices, rngs, strict=True)])


class Dataset(ABC):
    """Training samples and, where there are some, validation samples.

    The constructor takes the recipe's options and touches no file: `ganforge check` builds datasets that are not
    on this machine.
    """

    resizer: str = ""
    """How pictures are resized, in words: metrics depend on it, and an evaluation says it."""

    skips_bad: bool = False
    """Set by the engine where `data.on_bad_file` is `skip`: then `train` and `validation` raise nothing about a single
    file, but the sample that needs it raises `BadFile`, and another one takes its place."""

    @abstractmethod
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The batch fields of a training sample and their shapes without the batch dimension."""

    def dtypes(self) -> Mapping[str, torch.dtype]:
        """The types of the fields that hold no floats, such as `torch.int64` of labels; uint8 is always a picture."""
        return {}

    def ranges(self) -> Mapping[str, range]:
        """The whole numbers that fields of integers hold, as `{"label": range(10)}`; of a field that is not named,
        nobody knows. `ganforge check` holds what is looked up by them against the sizes of the tables."""
        return {}

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The batch fields of a validation sample; by default those of a training sample."""
        return self.shapes()

    def known_length(self) -> int | None:
        """How many training samples there are, where that is known without a file; None, as here: it is not.
        `ganforge check` then knows how long an epoch is."""
        return None

    def prepare(self) -> None:  # noqa: B027 - many datasets have nothing to prepare
        """Find, or download, what the samples need. Called once, before the first sample.

        Raises:
            EnvironmentFault: something is missing or broken; the message says what to do.
        """

    def files(self) -> Sequence[Path]:
        """The files that training and validation samples are read from, as far as they are here: a bundle lists their
        names and hashes. Empty where samples are made in memory, or where nobody can say.

        Raises:
            EnvironmentFault: some are missing.
        """
        return ()

    def remarks(self) -> Sequence[str]:
        """What one should know of the data that `prepare` found, in words: what is read for what, what is left out."""
        return ()

    @abstractmethod
    def train(self) -> Samples:
        """The training samples."""

    def validation(self) -> Samples | None:
        """The validation samples, unseen in training and always in the same order."""
        return None

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        """Where the fields lie in a file of this size, if it holds several: `(top, left, height, width)` in pixels by
        field. Translating takes the one that it translates, and compares with the truth. Empty, as here, where a file
        is one picture.
        """
        return {}

    def partner(self, file: Path, field: str) -> Path | None:
        """The file that holds the truth of this one, a picture of `field`, where pairs are two files; none, as here,
        where they are not, or it is not there.
        """
        return None

    def truths(self) -> Mapping[str, str]:
        """For a field that is translated, the validation field that the result should equal, where data have it."""
        return {}


class Metric(ABC):
    """A figure over the whole validation set. A metric may also be a plain function of tensors returning a scalar,
    which is averaged over samples."""

    better: ClassVar[str | Mapping[str, str] | None] = None
    """Which way the figure is better, `lower` or `higher`; of several, those that have one by name. The checkpoint of
    the best is kept."""

    compares_sets: ClassVar[bool] = False
    """Whether it compares one set of pictures with another. Then each input of `update` is given every picture once,
    though a validation set may repeat some (the shorter of two folders starts over): one may have fewer than another.
    """

    def prepare(self) -> None:  # noqa: B027 - most metrics have nothing to prepare
        """Make sure that all it needs is here. Called before the first step, on an instance of its own.

        Raises:
            EnvironmentFault: something is missing; the message says what to do.
        """

    def remarks(self) -> Sequence[str]:
        """What one should know of the figures, once they are computed: in words, for the evaluation's card."""
        return ()

    @abstractmethod
    def compute(self) -> float | Mapping[str, float]:
        """The figure, or several by name, over all the batches that `update` was given.

        Subclasses also define `update(self, ...)`, whose parameters are bound to signals as those of a loss are.
        """


class Callback:
    """Sees a run's events. Override what you need; the order of `callbacks:` is the order of calls."""

    def run_started(self, run: Run) -> None:
        """Everything is built and, on resume, loaded; no step has been taken in this process."""

    def step_ended(self, run: Run) -> None:
        """A step is done. Called at every step: be quick and do not synchronise the device."""

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        """Every `run.log_every` steps: the means of all scalars since the last time, by TensorBoard tag."""

    def distributions_read(self, run: Run, distributions: Mapping[str, Tensor]) -> None:
        """Every `run.images_every` steps: all the values behind some means of this step, such as verdicts, by tag."""

    def images_drawn(self, run: Run, panels: Mapping[str, Tensor]) -> None:
        """Labelled panels of the fixed validation images were drawn: uint8 `[3, H, W]`, by name, such as `a2b`.

        `run.drawn` has the values themselves.
        """

    def metrics_computed(self, run: Run, figures: Mapping[str, float]) -> None:
        """The recipe's metrics were computed over the validation set."""

    def checkpoint_saved(self, run: Run, path: str) -> None:
        """A checkpoint is whole and listed."""

    def diagnosed(self, run: Run, diagnosis: Diagnosis) -> None:
        """A callback found something wrong, and said so with `run.diagnose`."""

    def run_ended(self, run: Run, status: str) -> None:
        """The run is over: `status` is `finished`, `interrupted` or `failed`."""
