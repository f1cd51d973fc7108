"""Passes recorded once and replayed: on a GPU from CUDA graphs, which launch a thousand kernels as if they were one.

What is recorded is the forward and backward pass of a phase. Around it all goes on as ever: ops with a state, such as
a replay buffer, are called before the recording and their results copied to where it reads them; optimizers, moving
averages and statistics follow after it. So only what runs between two looks at the same memory is frozen.
"""

from __future__ import annotations

import inspect
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.engine.levers.merging import pending
from ganforge.engine.nested import map_tensors, tensors
from ganforge.engine.scene import Scene, Turn
from ganforge.recipe.expressions import Call, Expression, Name

if TYPE_CHECKING:
    from ganforge.engine.training import Trainer, Verdict

T = TypeVar("T")
Record = Callable[[Callable[[], T]], tuple[Callable[[], None], T]]
"""Records work: gives what repeats it, and its result, which the repetition writes anew. Work is not done by it."""

WARM_UP = 3
"""Steps taken as ever before one is recorded: kernels are chosen, and code is compiled, in them."""


class CudaGraphs:
    """Records work into CUDA graphs that share their memory; they must be replayed in the order of recording."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as the loader's that pins memory, may go on.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result


class NotRecordable(Exception):
    """Why a pass cannot be recorded, in words."""


class Recorder:
    """Decides which steps are recorded, and gives up where recording is not possible."""

    def __init__(self, trainer: Trainer, record: Record[Any]) -> None:
        self.trainer, self.record = trainer, record
        self.seen: Counter[int] = Counter()
        self.recordings: dict[int, RecordedPasses] = {}
        # Weights that change are read from the device, where they can be written between replays.
        self.moving = {place: weight for place, weight in trainer.weights.items() if callable(weight)}
        device, dtype = trainer.precision.device, trainer.precision.weights
        self.dials = {place: torch.zeros((), device=device, dtype=dtype) for place in self.moving}
        trainer.weights |= self.dials

    def passes(self, plan: Sequence[Turn], batches: Sequence[Mapping[str, Tensor]]) -> RecordedPasses | None:
        """The passes of a step, or None while it should be taken as ever."""
        for place, schedule in self.moving.items():
            self.dials[place].fill_(schedule(self.trainer.progress))
        self.seen[id(plan)] += 1
        recording = self.recordings.get(id(plan))
        if recording is not None:
            recording.feed(batches)
        elif self.seen[id(plan)] > WARM_UP:
            recording = self.recordings[id(plan)] = RecordedPasses(plan, batches, self)
        return recording

    def give_up(self, reason: str) -> None:
        """Take all further steps as ever."""
        warnings.warn(f"no CUDA graphs: {reason}; the training goes on without", stacklevel=1)
        self.recordings.clear()
        self.trainer.recorder = None
        self.trainer.weights |= self.moving


@dataclass
class HostCall:
    """A call of an op that is made anew for each replay, and where its result goes."""

    operation: Callable[..., Any]
    arguments: list[Any]
    keywords: dict[str, Any]
    result: Any

    def repeat(self) -> None:
        value = self.operation(*self.arguments, **self.keywords)
        for old, new in zip(tensors(self.result), tensors(value), strict=True):
            old.copy_(new)


class RecordedScene(Scene):
    """A scene whose values stay where they are; those of ops with a state are written before the replay."""

    recorded = True
    host_calls: list[HostCall] | None = None
    """Where calls of ops are noted while what stays outside of the recording is computed."""

    def compute_host_values(self) -> list[HostCall]:
        """Compute all that ops with a state contribute to this phase."""
        calls = self.host_calls = []
        for signal, expression in list(pending(self)):
            if signal is None and self._has_state(expression):
                self.value(expression)
            elif signal is not None and any(map(self._has_state, expression.walk())):
                self.value(Name(signal, 0, len(signal), signal))
        self.host_calls = None
        return calls

    def _has_state(self, expression: Expression) -> bool:
        """Whether it calls an op that may have a state, which a recording would freeze."""
        use = self.program.recipe.ops.get(expression.name) if isinstance(expression, Call) else None
        return use is not None and inspect.isclass(use.part.factory)

    def _operate(self, call: Call, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if not self.recorded:
            return super()._operate(call, arguments, keywords)
        if self.host_calls is None:
            if self._has_state(call):
                raise NotRecordable(f"'{call.text}' has a state, and needs what its own phase computes")
            return super()._operate(call, arguments, keywords)
        if any(tensor.requires_grad for tensor in tensors([arguments, keywords])):
            raise NotRecordable(f"'{call.text}' passes gradients on")
        value = map_tensors(Tensor.clone, super()._operate(call, arguments, keywords))
        self.host_calls.append(HostCall(self.program.cast.operation(call), arguments, keywords, value))
        return value

    def _forward(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        if self.recorded and self.host_calls is not None:
            raise NotRecordable(f"an op with a state needs '{call.text}' in the phase that computes it")
        return super()._forward(call, arguments, keywords, count)

    def value(self, expression: Expression) -> Any:
        if self.recorded and isinstance(expression, Name) and expression.name in self.program.cast.schedules:
            raise NotRecordable(f"the schedule '{expression.name}' is in an expression")
        return super().value(expression)


@dataclass
class Take:
    """The recorded passes of a phase."""

    host_calls: list[HostCall]
    replay: Callable[[], None]
    verdicts: Sequence[Verdict]
    gradients: list[Tensor | None]


class RecordedPasses:
    """The passes of one plan: recorded in its first step, replayed in the others."""

    def __init__(self, plan: Sequence[Turn], batches: Sequence[Mapping[str, Tensor]], recorder: Recorder) -> None:
        self.plan, self.recorder, self.trainer = plan, recorder, recorder.trainer
        self.batches = [{name: field.clone() for name, field in batch.items()} for batch in batches]
        program, progress = self.trainer.program, self.trainer.progress
        self.scenes = [RecordedScene(program, batch, plan, progress) for batch in self.batches]
        self.takes: list[Take] = []
        self.whole = False
        """Whether all phases are recorded: then values are what replays leave, and no scene goes on."""

    def feed(self, batches: Sequence[Mapping[str, Tensor]]) -> None:
        """Write the next step's batches to where the recording reads them."""
        for held, batch in zip(self.batches, batches, strict=True):
            for name, field in batch.items():
                held[name].copy_(field)

    def __call__(self, position: int) -> Sequence[Verdict]:
        """The passes of a phase; their gradients lie in the parameters."""
        return self._replay(position) if self.whole else self._record(position)

    def end(self, position: int) -> None:
        """The phase's player has stepped."""
        if not self.whole:
            for scene in self.scenes:
                scene.end()
            self.whole = len(self.takes) == len(self.plan)

    def _replay(self, position: int) -> Sequence[Verdict]:
        take = self.takes[position]
        for call in take.host_calls:
            call.repeat()
        take.replay()
        for parameter, gradient in zip(self._parameters(position), take.gradients, strict=True):
            parameter.grad = gradient
        return take.verdicts

    def _record(self, position: int) -> Sequence[Verdict]:
        for scene in self.scenes:
            scene.begin(position)
        if self.trainer.recorder is None:  # given up in an earlier phase of this step
            return self._learn()
        held: list[tuple[dict[str, Any], dict[str, Any]]] = []
        try:
            calls = [call for scene in self.scenes for call in scene.compute_host_values()]
            held = [(dict(scene.held), dict(scene.local)) for scene in self.scenes]
            with _no_randomness_on_host(self.trainer.precision.device):
                replay, verdicts = self.recorder.record(self._learn)
        except (NotRecordable, RuntimeError) as error:
            self.recorder.give_up(str(error).strip().partition("\n")[0])
            for scene, (named, inline) in zip(self.scenes, held, strict=False):
                scene.held, scene.local = named, inline
                scene.of_phase = scene.local
            for scene in self.scenes:
                scene.recorded = False
            self.trainer.players[self.plan[position].phase.train].clear()
            return self._learn()
        gradients = [parameter.grad for parameter in self._parameters(position)]
        self.takes.append(Take(calls, replay, verdicts, gradients))
        replay()
        return verdicts

    def _learn(self) -> Sequence[Verdict]:
        return [self.trainer.learn(scene, 1 / len(self.scenes)) for scene in self.scenes]

    def _parameters(self, position: int) -> Sequence[nn.Parameter]:
        return self.trainer.players[self.plan[position].phase.train].parameters


@contextmanager
def _no_randomness_on_host(device: torch.device) -> Iterator[None]:
    """Refuse what draws from the host's generators: each replay would repeat what was drawn once.

    Raises:
        NotRecordable: something did.
    """
    before = _generators(device)
    yield
    if _generators(device) != before:
        raise NotRecordable("a network, op or loss draws random numbers on the CPU")


def _generators(device: torch.device) -> tuple[Any, ...]:
    drawn = torch.get_rng_state().numpy().tobytes() if device.type != "cpu" else b""
    return random.getstate(), str(np.random.get_state()), drawn
