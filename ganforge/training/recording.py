"""Passes recorded once and replayed: on a GPU from CUDA graphs, which launch a thousand kernels as if they were one.

What is recorded is the forward and backward pass of a phase. Around it all goes on eagerly: ops with a state, such as
a replay buffer, are called before the recording and their results copied to where it reads them; optimizers, moving
averages and statistics follow after it. So only what runs between two looks at the same memory is frozen.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.core.nested import made_of_tensors, map_tensors, tensors
from ganforge.core.randomness import host_generators, restore_host_generators
from ganforge.core.torch_internals.modules import buffers_in
from ganforge.errors import TrainingFailed
from ganforge.recipe.expressions import Call, Expression, Name, Negative
from ganforge.step.batch import Batch
from ganforge.step.merging import pending
from ganforge.step.program import Turns
from ganforge.step.scene import Scene
from ganforge.step.values import Held, Key
from ganforge.training.lanes import Lanes
from ganforge.training.learner import Learner, PassFigures

T = TypeVar("T")
Record = Callable[[Callable[[], T]], tuple[Callable[[], None], T]]
"""Records work: gives what repeats it, and its result, which the repetition writes anew. Work is not done by it."""

WARM_UP = 3
"""Steps taken eagerly before one is recorded: kernels are chosen, and code is compiled, in them."""


class CudaGraphs:
    """Records work into CUDA graphs that share their memory; they must be replayed in the order of recording."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Other threads, such as the loader's that pins memory, may go on.
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                result = work()
        finally:
            torch.cuda.set_stream(stream)  # a recording that fails may leave its own behind
        return graph.replay, result


class NotRecordable(Exception):
    """Why a pass cannot be recorded, in words."""


class Recorder:
    """Decides which steps are recorded: those with the same phases and losses share a recording, if one is possible."""

    def __init__(self, learner: Learner, lanes: Lanes, record: Record[Any]) -> None:
        self.learner, self.lanes, self.record = learner, lanes, record
        self.seen: Counter[Turns] = Counter()
        self.recordings: dict[Turns, RecordedPasses] = {}
        self.refused: dict[Turns, str] = {}
        """Why steps with these turns are taken eagerly."""
        # Weights that change are read from the device, where they can be written between replays.
        self.moving = {place: weight for place, weight in learner.weights.items() if callable(weight)}
        device, dtype = learner.precision.device, learner.precision.weights
        self.dials = {place: torch.zeros((), device=device, dtype=dtype) for place in self.moving}
        learner.weights |= self.dials

    def passes(
        self, turns: Turns, batches: Sequence[Batch], progress: Progress, replay: bool = True
    ) -> RecordedPasses | None:
        """The passes of a step, or None while it should be taken eagerly, as it is where `replay` is false."""
        for place, schedule in self.moving.items():
            self.dials[place].fill_(schedule(progress))
        if not replay:
            return None
        self.seen[turns] += 1
        recording = self.recordings.get(turns)
        if recording is not None:
            recording.feed(batches)
        elif self.seen[turns] > WARM_UP and turns not in self.refused:
            recording = self.recordings[turns] = RecordedPasses(turns, batches, progress, self)
        return recording

    @contextmanager
    def rehearsal(self, turns: Turns) -> Iterator[None]:
        """Around passes taken eagerly: those that wait for the device cannot be recorded, and are told by their line.

        A recording that fails halfway leaves a GPU's random generator unusable: it is better not to begin it.
        """
        if self.learner.precision.device.type != "cuda" or self.seen[turns] != WARM_UP:
            yield
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")
        for warning in caught:
            if "synchronizing CUDA operation" in str(warning.message):
                self.refuse(turns, f"{warning.filename}:{warning.lineno} waits for the GPU")
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def refuse(self, turns: Turns, reason: str) -> None:
        """Take the steps with these turns eagerly."""
        if reason not in self.refused.values():
            phases = " and ".join(f"'{turn.phase.name}'" for turn in turns)
            warnings.warn(f"steps of {phases} are not replayed from CUDA graphs: {reason}", stacklevel=1)
        self.refused[turns] = reason
        self.recordings.pop(turns, None)


@dataclass
class HostCall:
    """A call of an op that is made anew for each replay, and where its result goes."""

    operation: Callable[..., Any]
    arguments: list[Any]
    keywords: dict[str, Any]
    result: Any

    def repeat(self) -> None:
        arguments = map_tensors(Tensor.clone, self.arguments)  # an op may keep what it is given
        value = self.operation(*arguments, **self.keywords)
        for old, new in zip(tensors(self.result), tensors(value), strict=True):
            if old.shape != new.shape:
                raise TrainingFailed(f"an op with a state gave {list(old.shape)} before, and {list(new.shape)} now")
            old.copy_(new)


class RecordedScene(Scene):
    """A scene whose values stay where they are; those of ops with a state are written before the replay."""

    recorded = True
    host_calls: list[HostCall] | None = None
    """Where calls of ops are noted while what stays outside of the recording is computed."""

    def compute_host_values(self) -> list[HostCall]:
        """Compute all that ops with a state contribute to this phase."""
        calls = self.host_calls = []
        try:
            for signal, expression, leaves in list(pending(self, watching=True)):
                if signal is None and self._has_state(expression):
                    with self.seeing(leaves):
                        self.value(expression)
                elif signal is not None and any(map(self._has_state, expression.walk())):
                    self.value(Name.of(signal))
        finally:
            self.host_calls = None
        return calls

    def _has_state(self, expression: Expression) -> bool:
        """Whether it calls an op that may have a state, which a recording would freeze."""
        use = self.program.recipe.ops.get(expression.name) if isinstance(expression, Call) else None
        return use is not None and inspect.isclass(use.part.factory)

    def operate(self, call: Call, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if not self.recorded:
            return super().operate(call, arguments, keywords)
        if self.host_calls is None:
            if self._has_state(call):
                raise NotRecordable(f"'{call.text}' has a state, and needs what its own phase computes")
            return super().operate(call, arguments, keywords)
        if any(tensor.requires_grad for tensor in tensors([arguments, keywords])):
            raise NotRecordable(f"'{call.text}' passes gradients on")
        given = map_tensors(Tensor.clone, arguments)  # an op may keep what it is given
        value = map_tensors(Tensor.clone, super().operate(call, given, keywords))
        self.host_calls.append(HostCall(self.cast.operation(call), arguments, keywords, value))
        return value

    def run_network(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        if self.recorded and self.host_calls is not None:
            raise NotRecordable(f"an op with a state needs '{call.text}' in the phase that computes it")
        return super().run_network(call, arguments, keywords, count)

    def value(self, expression: Expression) -> Any:
        if self.recorded and isinstance(expression, Name) and expression.name in self.cast.schedules:
            raise NotRecordable(f"the schedule '{expression.name}' is in an expression")
        if self.recorded and isinstance(expression, Negative) and self.host_calls is not None:
            raise NotRecordable(f"an op with a state is given '{expression.text}', which is not kept")
        return super().value(expression)


@dataclass
class Take:
    """The recorded passes of a phase."""

    host_calls: list[HostCall]
    replay: Callable[[], None]
    figures: Sequence[PassFigures]
    gradients: list[Tensor | None]


class RecordedPasses:
    """The passes of one kind of step: recorded in its first step, replayed in the others."""

    def __init__(self, turns: Turns, batches: Sequence[Batch], progress: Progress, recorder: Recorder) -> None:
        self.turns, self.recorder, self.learner = turns, recorder, recorder.learner
        self.batches = [{name: field.clone() for name, field in batch.items()} for batch in batches]
        self.scenes = [RecordedScene(self.learner.program, batch, turns, progress) for batch in self.batches]
        self.takes: list[Take] = []
        self.whole = False
        """Whether all phases are recorded: then values are what replays leave, and no scene goes on."""

    def feed(self, batches: Sequence[Batch]) -> None:
        """Write the next step's batches to where the recording reads them."""
        for held, batch in zip(self.batches, batches, strict=True):
            for name, field in batch.items():
                held[name].copy_(field)

    def __call__(self, position: int) -> Sequence[PassFigures]:
        """The passes of a phase; their gradients lie in the parameters."""
        return self._replay(position) if self.whole else self._record(position)

    def end(self, position: int) -> None:
        """The phase's player has stepped."""
        if not self.whole:
            for scene in self.scenes:
                scene.end()
            self.whole = len(self.takes) == len(self.turns)

    def _replay(self, position: int) -> Sequence[PassFigures]:
        take = self.takes[position]
        for call in take.host_calls:
            call.repeat()
        take.replay()
        for parameter, gradient in zip(self._parameters(position), take.gradients, strict=True):
            parameter.grad = gradient
        return take.figures

    def _record(self, position: int) -> Sequence[PassFigures]:
        for scene in self.scenes:
            scene.begin(position)
        if self.turns in self.recorder.refused:  # in an earlier phase of this step
            return self._learn()
        held: list[tuple[dict[str, Held], dict[Key, Any]]] = []
        try:
            calls = [call for scene in self.scenes for call in scene.compute_host_values()]
            held = [(dict(scene.held), dict(scene.local)) for scene in self.scenes]
            if not all(made_of_tensors(call.result) for call in calls):
                raise NotRecordable("an op with a state gives something else than tensors")
            with _no_trace_on_host(self.learner):
                replay, figures = self.recorder.record(self._learn)
        except (NotRecordable, RuntimeError) as error:
            cause = error.__context__ or error  # what went wrong within a recording is told better than its end
            self.recorder.refuse(self.turns, str(cause).strip().partition("\n")[0])
            for scene, (named, inline) in zip(self.scenes, held, strict=False):
                scene.restart(named, inline)
            for scene in self.scenes:
                scene.recorded = False
            self.learner.players[self.turns[position].phase.train].clear()
            return self._learn()
        gradients = [parameter.grad for parameter in self._parameters(position)]
        self.takes.append(Take(calls, replay, figures, gradients))
        replay()
        return figures

    def _learn(self) -> Sequence[PassFigures]:
        portion = self.recorder.lanes.portion(len(self.scenes))
        return [self.learner.learn(scene, portion) for scene in self.scenes]

    def _parameters(self, position: int) -> Sequence[nn.Parameter]:
        return self.learner.players[self.turns[position].phase.train].parameters


@contextmanager
def _no_trace_on_host(learner: Learner) -> Iterator[None]:
    """Refuse what leaves a trace on the host, and remove it: each replay would repeat what happened once.

    Raises:
        NotRecordable: random numbers were drawn, or a buffer was put in place of another.
    """
    parts = [part for module in learner.cast.modules for part in module.modules()]
    buffers = [(part, dict(buffers_in(part))) for part in parts]
    on_host = learner.precision.device.type == "cpu"  # where torch's generator is the device's
    before = host_generators(), torch.get_rng_state()
    try:
        yield
        if host_generators() != before[0] or not (on_host or torch.equal(torch.get_rng_state(), before[1])):
            raise NotRecordable("a network, op or loss draws random numbers on the host")
        if any(buffers_in(part)[name] is not buffer for part, held in buffers for name, buffer in held.items()):
            raise NotRecordable("a network or loss puts new buffers in place of old ones instead of changing them")
    except BaseException:
        restore_host_generators(before[0])
        if not on_host:
            torch.set_rng_state(before[1])
        for part, held in buffers:
            buffers_in(part).update(held)
        raise
