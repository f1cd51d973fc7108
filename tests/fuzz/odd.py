"""A plugin of one part of each kind, of which one misbehaves: the environment's `ODD` says which, where, when and how.

`ODD='{"place": "network.forward", "action": "none", "at": 2}'`: the second call of the network gives None. Without it
all parts are sound.
"""

import copy
import functools
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import Callback, Context, Dataset, Metric, Progress, Register, Sample, Samples, hookimpl, traits

ODD: dict[str, Any] = json.loads(os.environ.get("ODD", "{}"))
calls = 0


class Strange(Exception):
    """An error that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Stubborn(Exception):
    """An error on which nothing can be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


class Outside(BaseException):
    """An error that `except Exception` does not see."""


def deep() -> Any:
    return deep()


def of_torch() -> Any:
    return torch.zeros(2, 3) @ torch.zeros(2, 3)


def huge() -> Any:
    return torch.empty(2**50, dtype=torch.uint8)


def group() -> BaseException:
    return ExceptionGroup("two", [ValueError("one"), KeyError("other")])


def raised(error: Callable[[], Any]) -> Callable[..., Any]:
    def act(*_: Any) -> Any:
        raise error()

    return act


ERRORS: dict[str, Callable[..., Any]] = {
    "ValueError": raised(lambda: ValueError("by design")),
    "RuntimeError": raised(lambda: RuntimeError("by design")),
    "TypeError": raised(lambda: TypeError("by design")),
    "KeyError": raised(lambda: KeyError("absent")),
    "AttributeError": raised(lambda: AttributeError("absent")),
    "ZeroDivisionError": raised(ZeroDivisionError),
    "NotImplementedError": raised(NotImplementedError),
    "AssertionError": raised(AssertionError),
    "OSError": raised(lambda: OSError("by design")),
    "MemoryError": raised(MemoryError),
    "SystemExit": raised(lambda: SystemExit(0)),
    "SystemExit text": raised(lambda: SystemExit("bye")),
    "StopIteration": raised(StopIteration),
    "GeneratorExit": raised(GeneratorExit),
    "Outside": raised(lambda: Outside("by design")),
    "Strange": raised(Strange),
    "Stubborn": raised(Stubborn),
    "ExceptionGroup": raised(group),
    "UserWarning": raised(lambda: UserWarning("as an error")),
    "UnicodeDecodeError": raised(lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "by design")),
    "recursion": lambda *_: deep(),
    "torch": lambda *_: of_torch(),
    "memory": lambda *_: huge(),
}


def instead(change: Callable[[Tensor], Any]) -> Callable[..., Any]:
    """What a change makes of the tensors of a sound value; of one without tensors, of some tensor."""

    def act(sound: Callable[[], Any], given: Sequence[Any]) -> Any:
        value = sound()
        if isinstance(value, dict) and value and all(isinstance(item, Tensor) for item in value.values()):
            return {name: change(item) for name, item in value.items()}
        return change(value if isinstance(value, Tensor) else torch.ones(2, 3, 8, 8))

    return act


def in_place(sound: Callable[[], Any], given: Sequence[Any]) -> Any:
    for item in given:
        if isinstance(item, Tensor):
            item.mul_(2)
    return sound()


VALUES: dict[str, Callable[..., Any]] = {
    "none": lambda *_: None,
    "text": lambda *_: "text",
    "true": lambda *_: True,
    "zero": lambda *_: 0,
    "minus one": lambda *_: -1,
    "large": lambda *_: 2**70,
    "nan": lambda *_: float("nan"),
    "infinite": lambda *_: float("inf"),
    "complex": lambda *_: 1j,
    "object": lambda *_: object(),
    "a function": lambda *_: lambda: 0,
    "a class": lambda *_: dict,
    "a module": lambda *_: nn.Identity(),
    "list": lambda *_: [],
    "dict": lambda *_: {},
    "a strange dict": lambda *_: {1: object(), None: {2}},
    "generator": lambda *_: (i for i in range(3)),
    "the value in a list": lambda sound, _: [sound()],
    "the value in a dict": lambda sound, _: {"value": sound()},
    "an iterator of the value": lambda sound, _: iter([sound()]),
    "nan tensor": instead(lambda t: torch.full_like(t, float("nan")) if t.is_floating_point() else t),
    "complex tensor": instead(lambda t: t.to(torch.complex64)),
    "double": instead(lambda t: t.double()),
    "half": instead(lambda t: t.half()),
    "long": instead(lambda t: t.long()),
    "bool tensor": instead(lambda t: t.bool()),
    "empty": instead(lambda t: t.flatten()[:0]),
    "scalar": instead(lambda t: t.flatten()[0]),
    "another shape": instead(lambda t: t.unsqueeze(0)),
    "fewer": instead(lambda t: t[:1] if t.ndim else t),
    "meta": instead(lambda t: t.to("meta")),
    "sparse": instead(lambda t: t.to_sparse()),
    "a leaf": instead(lambda t: torch.ones(t.shape, requires_grad=True)),
    "a parameter": instead(lambda t: nn.Parameter(torch.ones(t.shape))),
    "detached": instead(lambda t: t.detach()),
    "numpy": instead(lambda t: t.detach().numpy()),
    "expanded": instead(lambda t: torch.ones(1).expand(t.shape)),
    "in place": in_place,
}
ACTIONS = ERRORS | VALUES


def meddle(place: str, sound: Callable[[], Any], *given: Any) -> Any:
    """The sound value, or what is done instead of it: at every call, or at one of them."""
    global calls
    if ODD.get("place") != place:
        return sound()
    calls += 1
    if ODD.get("at") not in (None, calls):
        return sound()
    return ACTIONS[ODD["action"]](sound, given)


def spoilt(kind: str) -> Callable[[type], type]:
    """Let the method of a class misbehave that is asked for."""

    def decorate(made: type) -> type:
        asked, _, method = str(ODD.get("place", "")).partition(".")
        if asked != kind:
            return made
        sound = getattr(made, method, None) if method == "__getattr__" else vars(made).get(method)
        sound = sound or DEFAULTS.get(method) or getattr(made, method, None)
        if sound is None:
            sound = DEFAULTS["absent"]

        @functools.wraps(sound)
        def meddled(self: Any, *given: Any, **named: Any) -> Any:
            return meddle(ODD["place"], lambda: sound(self, *given, **named), *given, *named.values())

        setattr(made, method, meddled)
        return made

    return decorate


def plain_copy(self: Any, memo: dict[int, Any]) -> Any:
    made = type(self).__new__(type(self))
    memo[id(self)] = made
    made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
    return made


def absent(name: str) -> Any:
    raise AttributeError(name)


DEFAULTS: dict[str, Callable[..., Any]] = {
    "__deepcopy__": plain_copy,
    "__len__": lambda self: 1,
    "__bool__": lambda self: True,
    "__getattr__": lambda self, name: absent(name),
    "absent": lambda self, *_, **__: None,
}


@spoilt("network")
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.layer(images))


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


def far(input: Tensor, target: Tensor) -> Tensor:
    return meddle("loss.call", lambda: (input - target).square().mean(), input, target)


def verdict(input: Tensor) -> Tensor:
    return (input - 1).square().mean()


@spoilt("loss class")
class Near(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self.scale * (input - target).abs().mean()


def shade(images: Tensor, context: Context) -> Tensor:
    return meddle("op.call", lambda: images * 0.5, images)


@spoilt("op class")
class Grain:
    def __init__(self, rng: random.Random) -> None:
        self.rng, self.seen = rng, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += 1
        return images + self.rng.random() / 100

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]

    def statistics(self) -> dict[str, Tensor]:
        return {"seen": torch.tensor(float(self.seen))}

    def prepare(self) -> None:
        pass


def apart(input: Tensor, target: Tensor) -> Tensor:
    return meddle("metric.call", lambda: (input - target).abs().mean(), input, target)


@spoilt("metric class")
class Worst(Metric):
    better = "lower"

    def __init__(self) -> None:
        self.worst = 0.0

    def update(self, input: Tensor, target: Tensor) -> None:
        self.worst = max(self.worst, float((input - target).abs().max()))

    def compute(self) -> float:
        return self.worst

    def prepare(self) -> None:
        pass

    def remarks(self) -> Sequence[str]:
        return ("odd",)


@spoilt("optimizer")
class Walk(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, lr=lr, momentum=0.9)


def slope(progress: Progress) -> float:
    return meddle("schedule.call", lambda: 1.0 / (1 + progress.step))


@spoilt("samples")
class Few(Samples):
    def __len__(self) -> int:
        return 4

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {"real": torch.full((3, 8, 8), (index + rng.random()) / 8)}

    def order(self, rng: random.Random) -> Sequence[int] | None:
        return None


@spoilt("dataset")
class Pictures(Dataset):
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (3, 8, 8)}

    def train(self) -> Samples:
        return Few()

    def validation(self) -> Samples | None:
        return Few()


def tone(picture: Tensor, rng: random.Random) -> Tensor:
    return meddle("augmentation.call", lambda: picture * rng.random(), picture)


@traits(moves_pixels=True)
@spoilt("augmentation class")
class Tilt:
    def __init__(self) -> None:
        self.by = 1

    def __call__(self, picture: Tensor, rng: random.Random) -> Tensor:
        return picture.roll(self.by * rng.randrange(3), 2)


@spoilt("callback")
class Watch(Callback):
    pass


# Signatures


def bare(input, target):
    return (input - target).abs().mean()


def many(*inputs: Tensor) -> Tensor:
    return inputs[0].mean()


def named(**inputs: Tensor) -> Tensor:
    return next(iter(inputs.values())).mean()


def unresolved(input: "Tensr", target: Tensor) -> Tensor:  # type: ignore[name-defined]  # noqa: F821
    return input.mean()


def wrong_default(input: Tensor, target: Tensor, scale: int = "three") -> Tensor:  # type: ignore[assignment]
    return (input - target).abs().mean() * scale


def shared_default(input: Tensor, target: Tensor, seen: list[int] = []) -> Tensor:  # noqa: B006
    seen.append(len(seen))
    return (input - target).abs().mean()


def object_default(input: Tensor, target: Tensor, other: Any = object()) -> Tensor:  # noqa: B008
    return (input - target).abs().mean()


def positional(input: Tensor, target: Tensor, /) -> Tensor:
    return (input - target).abs().mean()


def keywords(*, input: Tensor, target: Tensor) -> Tensor:
    return (input - target).abs().mean()


def generates(input: Tensor, target: Tensor) -> Iterator[Tensor]:
    yield (input - target).abs().mean()


async def waits(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).abs().mean()


def of_a_callable(input: Tensor, target: Tensor, how: Callable[[Tensor], Tensor] = torch.abs) -> Tensor:
    return how(input - target).mean()


class Called:
    def __call__(self, input: Tensor, target: Tensor) -> Tensor:
        return (input - target).abs().mean()


class SideEffects(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        random.seed(0)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return (input - target).abs().mean()


SIGNATURES: dict[str, Any] = {
    "bare": bare,
    "many": many,
    "named": named,
    "unresolved": unresolved,
    "wrong default": wrong_default,
    "shared default": shared_default,
    "object default": object_default,
    "positional": positional,
    "keywords": keywords,
    "generates": generates,
    "waits": waits,
    "of a callable": of_a_callable,
    "partial": functools.partial(far),
    "lambda": lambda input, target: (input - target).mean(),
    "called": Called(),
    "class": Called,
    "a module": nn.L1Loss(),
    "of torch": nn.functional.l1_loss,
    "built in": len,
    "type": int,
    "a none": None,
    "a text": "far",
    "a number": 3,
    "side effects": SideEffects,
    "exception": ValueError,
}


@hookimpl
def register_networks(register: Register) -> None:
    register("net", SIGNATURES.get(ODD.get("networks", ""), Net))
    register("judge", Judge)


@hookimpl
def register_losses(register: Register) -> None:
    register("far", SIGNATURES.get(ODD.get("losses", ""), far))
    register("near", Near)
    register("verdict", verdict)


@hookimpl
def register_ops(register: Register) -> None:
    register("shade", SIGNATURES.get(ODD.get("ops", ""), shade))
    register("grain", Grain)


@hookimpl
def register_metrics(register: Register) -> None:
    register("apart", SIGNATURES.get(ODD.get("metrics", ""), apart))
    register("worst", Worst)


@hookimpl
def register_optimizers(register: Register) -> None:
    register("walk", SIGNATURES.get(ODD.get("optimizers", ""), Walk))


@hookimpl
def register_schedules(register: Register) -> None:
    register("slope", SIGNATURES.get(ODD.get("schedules", ""), slope))


@hookimpl
def register_datasets(register: Register) -> None:
    register("pictures", SIGNATURES.get(ODD.get("datasets", ""), Pictures))


@hookimpl
def register_augmentations(register: Register) -> None:
    register("tone", SIGNATURES.get(ODD.get("augmentations", ""), tone))
    register("tilt", Tilt)


@hookimpl
def register_callbacks(register: Register) -> None:
    register("watch", SIGNATURES.get(ODD.get("callbacks", ""), Watch))
