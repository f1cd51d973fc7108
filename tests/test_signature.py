"""What a part takes is read from its types; options are checked by them, and faults told in a recipe's words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypeVar

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import TypeAliasType

from ganforge import Context, Metric, Progress
from ganforge.plugins.annotation_words import describe_type
from ganforge.plugins.option_faults import Fault
from ganforge.plugins.signature import (
    Signature,
    SignatureError,
    call_signature,
    context_parameter,
    expression_signature,
    is_sequence,
    read_signature,
)


class Network(nn.Module):
    def __init__(
        self,
        channels: Annotated[int, Field(ge=1)] = 64,
        norm: Literal["instance", "none"] = "instance",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        sizes: tuple[int, int] = (3, 3),
        layers: int | list[int] = 3,
        root: Path | None = None,
    ) -> None:
        super().__init__()

    def forward(self, images: Tensor, scale: float = 1.0) -> Tensor:
        return images


def loss(
    real: Tensor, features: Sequence[Tensor], judge: nn.Module, mask: Tensor | None = None, epsilon: float = 1e-3
) -> Tensor:
    return real


class Loss(nn.Module):
    def __init__(self, layers: int = 3) -> None:
        super().__init__()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return input


class Figure(Metric):
    def __init__(self, bins: int = 10) -> None: ...

    def update(self, real: Tensor) -> None: ...

    def compute(self) -> float:
        return 0.0


def noise(size: int, context: Context) -> Tensor:
    return torch.zeros(context.batch_size, size)


class Pool:
    def __init__(self, rng: random.Random, size: int = 50) -> None: ...

    def __call__(self, images: Tensor) -> Tensor:
        return images


def ramp(progress: Progress, steps: int) -> float:
    return 0.0


def names(signature: Signature) -> tuple[list[str], list[str], list[str]]:
    return [p.name for p in signature.inputs], [p.name for p in signature.options], list(signature.injected)


@pytest.mark.parametrize(
    ("kind", "factory", "inputs", "options", "injected"),
    [
        ("networks", Network, [], ["channels", "norm", "dropout", "sizes", "layers", "root"], []),
        ("losses", loss, ["real", "features", "judge", "mask"], ["epsilon"], []),
        ("losses", Loss, ["input", "target"], ["layers"], []),
        ("metrics", Figure, ["real"], ["bins"], []),
        ("ops", noise, [], ["size"], ["context"]),
        ("ops", Pool, [], ["size"], ["rng"]),
        ("schedules", ramp, [], ["steps"], ["progress"]),
    ],
)
def test_parameters_are_sorted_by_where_their_values_come_from(
    kind: str, factory: Any, inputs: list[str], options: list[str], injected: list[str]
) -> None:
    assert names(read_signature(kind, factory)) == (inputs, options, injected)


def test_every_optimizer_of_torch_can_be_read() -> None:
    for name in ("Adam", "AdamW", "SGD", "RMSprop", "RAdam", "NAdam", "Adagrad"):
        signature = read_signature("optimizers", getattr(torch.optim, name))
        assert "lr" in {option.name for option in signature.options}
        assert "tensor" not in str(signature)
    values, found = read_signature("optimizers", torch.optim.Adam).check({"lr": 2e-4, "betas": [0.5, 0.999]})
    assert (values, found) == ({"lr": 2e-4, "betas": (0.5, 0.999)}, [])


def test_options_get_the_types_that_the_part_asks_for() -> None:
    values, found = read_signature("networks", Network).check({"sizes": [5, 7], "root": "pictures", "dropout": 0})
    assert found == []
    assert values == {"sizes": (5, 7), "root": Path("pictures"), "dropout": 0.0}


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"channels": "64"}, ("channels",), "should be a whole number, not '64'"),
        ({"channels": 1.5}, ("channels",), "should be a whole number, not 1.5"),
        ({"channels": True}, ("channels",), "should be a whole number, not true"),
        ({"channels": None}, ("channels",), "should be a whole number, not null"),
        ({"channels": 0}, ("channels",), "should be 1 or more, not 0"),
        ({"channels": [1]}, ("channels",), "should be a whole number, not a list"),
        ({"channels": {"a": 1}}, ("channels",), "should be a whole number, not a mapping"),
        ({"channels": "x" * 90}, ("channels",), f"should be a whole number, not '{'x' * 37}...'"),
        ({"norm": "layer"}, ("norm",), "should be 'instance' or 'none', not 'layer'"),
        ({"dropout": 1}, ("dropout",), "should be less than 1, not 1"),
        ({"dropout": "half"}, ("dropout",), "should be a number, not 'half'"),
        ({"sizes": [3]}, ("sizes",), "has too few entries"),
        ({"sizes": [3, 3, 3]}, ("sizes",), "should have 2 or fewer entries, not 3"),
        ({"sizes": [3, "x"]}, ("sizes", 1), "should be a whole number, not 'x'"),
        ({"sizes": 3}, ("sizes",), "should be a list, not 3"),
        ({"layers": "x"}, ("layers",), "should be a whole number or a list, not 'x'"),
        ({"layers": [3, "x"]}, ("layers", 1), "should be a whole number, not 'x'"),
        ({"root": 3}, ("root",), "should be text, not 3"),
    ],
)
def test_an_ill_typed_option_is_told_in_plain_words(
    options: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    assert read_signature("networks", Network).check(options)[1] == [Fault(path, "bad", message)]


def test_all_faults_are_told_at_once() -> None:
    _, found = read_signature("schedules", ramp).check({"step": 3})
    assert [(fault.path, fault.kind) for fault in found] == [(("steps",), "missing"), (("step",), "unknown")]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (str, "text"),
        (Tensor, "tensor"),
        (nn.Module, "network"),
        (Sequence[Tensor], "list[tensor]"),
        (tuple[int, ...], "list[int, ...]"),
        (float | None, "float | null"),
        (Literal["a", "b"], "a|b"),
        (Annotated[int, Field(ge=1)], "int >= 1"),
        (Annotated[float, Field(gt=0)], "float > 0"),
        (Annotated[float, Field(ge=0, lt=1)], "float in [0, 1)"),
        (Annotated[float, Field(gt=0, le=1)], "float in (0, 1]"),
        (Annotated[str, "a remark"], "text"),
    ],
)
def test_types_are_described_as_people_write_them(annotation: Any, text: str) -> None:
    assert describe_type(annotation) == text


def test_a_signature_reads_as_a_recipe() -> None:
    assert str(read_signature("losses", loss)) == (
        "real: tensor, features: list[tensor], judge: network, mask: tensor | null = null, epsilon: float = 0.001"
    )
    assert str(read_signature("schedules", ramp)) == "steps: int"
    assert str(read_signature("networks", nn.Identity)) == "no options"


def test_a_long_signature_is_cut() -> None:
    text = str(read_signature("optimizers", torch.optim.Adam))
    assert text.startswith("lr: float = 0.001, betas: list[float, float] = [0.9, 0.999], ")
    assert text.endswith(", ...")


def test_what_cannot_be_read_is_an_error_of_the_plugin() -> None:
    def untyped(x, size: int): ...  # type: ignore[no-untyped-def]

    def undefined(x: Flaot) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(
        SignatureError, match=r"parameter 'x' of 'untyped' \(.*test_signature.py:\d+\) has no type annotation"
    ):
        read_signature("ops", untyped)
    with pytest.raises(SignatureError, match=r"annotations of 'undefined' \(.*py:\d+\) cannot be read: name 'Flaot'"):
        read_signature("ops", undefined)


def test_how_things_are_called_in_expressions() -> None:
    def make() -> Network: ...

    def make_any() -> nn.Module: ...

    assert list(call_signature(Network).parameters) == ["images", "scale"]
    assert list(call_signature(Pool).parameters) == ["images"]
    assert list(expression_signature(noise).parameters) == ["size"]
    assert call_signature(make_any) is None
    assert list(call_signature(make).parameters) == ["images", "scale"]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Sequence[Tensor], True),
        (list[Tensor], True),
        (Sequence[Tensor] | None, True),
        (Tensor, False),
        (Tensor | None, False),
    ],
)
def test_a_sequence_takes_several_expressions(annotation: Any, expected: bool) -> None:
    assert is_sequence(annotation) is expected


# What people write for tensors


class Shaped:
    """As jaxtyping makes `Float[Tensor, "n c"]` and `Float[ndarray, "n c"]`: classes of their own with these names."""

    array_type: Any = Tensor
    dim_str = "n c"


class ShapedArray(Shaped):
    array_type = np.ndarray


class Verdict(NamedTuple):
    logits: Tensor
    features: list[Tensor]


Images = NewType("Images", Tensor)
Made = TypeVar("Made", bound=Tensor)
Tight = TypeVar("Tight", Tensor, nn.Parameter)


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (torch.FloatTensor, "tensor"),
        (torch.LongTensor, "tensor"),
        (torch.cuda.HalfTensor, "tensor"),
        (torch.autograd.Variable, "tensor"),
        (torch.FloatTensor | None, "tensor | null"),
        (Shaped, "tensor"),
        (list[Shaped], "list[tensor]"),
        (Shaped | None, "tensor | null"),
        (Annotated[torch.FloatTensor, "n c"], "tensor"),
        (Images, "tensor"),
        (Images | None, "tensor | null"),
        (Made, "tensor"),
        (Tight, "tensor | Parameter"),
        (Sequence[Made], "list[tensor]"),
        (Iterable[Tensor], "list[tensor]"),
        (TypeAliasType("Alias", torch.FloatTensor), "tensor"),
        (dict[str, torch.FloatTensor], "dict[text, tensor]"),
        (Verdict, "Verdict"),
        (nn.Sequential, "Sequential"),
        (Callable[[Tensor], Tensor], "network"),
        ("torch.FloatTensor", "tensor"),
    ],
    ids=str,
)
def test_every_spelling_of_a_tensor_is_bound(annotation: Any, shown: str) -> None:
    def loss(x, eps=1.0): ...  # type: ignore[no-untyped-def]

    loss.__annotations__ = {"x": annotation, "eps": float}
    signature = read_signature("losses", loss)
    assert str(signature) == f"x: {shown}, eps: float = 1.0"
    assert [parameter.name for parameter in signature.inputs] == ["x"]
    assert is_sequence(signature.inputs[0].annotation) == shown.startswith("list")


Size = NewType("Size", int)


class Colour(Enum):
    red = "crimson"
    blue = "navy"


@dataclass
class Ramp:
    start: float
    steps: int = 3


def test_enums_and_dataclasses_are_options() -> None:
    def build(colour: Colour | int = Colour.red, ramp: Ramp | None = None, size: Size = 1) -> nn.Module: ...

    signature = read_signature("networks", build)
    assert str(signature) == "colour: crimson|navy | int = crimson, ramp: Ramp | null = null, size: int = 1"
    assert signature.check({"colour": "navy", "ramp": {"start": 1}})[0] == {"colour": Colour.blue, "ramp": Ramp(1.0)}
    _, found = signature.check({"colour": "green", "ramp": {"start": "x"}})
    assert found == [
        Fault(("colour",), "bad", "should be 'crimson' or 'navy' or a whole number, not 'green'"),
        Fault(("ramp", "start"), "bad", "should be a number, not 'x'"),
    ]


def test_what_no_recipe_can_write_keeps_its_default() -> None:
    def build(channels: int = 3, norm: type[nn.Module] = nn.BatchNorm2d, scale: float | Tensor = 1.0) -> nn.Module: ...

    signature = read_signature("networks", build)
    assert str(signature) == "channels: int = 3, scale: float = 1.0"
    told = "should be left out: it is annotated with type[network], which no recipe can write"
    assert signature.check({"norm": "BatchNorm2d"})[1] == [Fault(("norm",), "bad", told)]


def test_what_is_optional_is_filled_in_too() -> None:
    def noise(size: int, context: Context | None = None) -> Tensor: ...

    assert read_signature("ops", noise).injected == {"context": Context}
    assert context_parameter(noise) == "context"


def test_a_part_may_be_a_function_with_some_of_it_given() -> None:
    assert str(read_signature("losses", partial(loss, epsilon=0.1))).endswith("epsilon: float = 0.1")


class Thing: ...


@pytest.mark.parametrize(
    "annotation", [Thing, Thing | None, list[Thing], np.float32, Callable, torch.dtype, 3, nn.Module]
)
def test_no_message_speaks_of_what_checks_options(annotation: Any) -> None:
    def build(x) -> nn.Module: ...  # type: ignore[no-untyped-def]

    build.__annotations__["x"] = annotation
    with pytest.raises(SignatureError) as refused:
        read_signature("networks", build)
    line = build.__code__.co_firstlineno
    assert str(refused.value).startswith(
        f"parameter 'x' of 'build' (tests/test_signature.py:{line}) is annotated with "
    )
    assert "which no recipe can write; options are int, float, bool, str, Path," in str(refused.value)


def test_what_cannot_be_bound_by_name_is_told() -> None:
    def some(*images: Tensor) -> Tensor: ...

    def strict(image: Tensor, /) -> Tensor: ...

    def anything(image: Any) -> Tensor: ...

    def array(image: np.ndarray) -> Tensor: ...

    def shaped(image: ShapedArray) -> Tensor: ...

    def bare(real, fake): ...  # type: ignore[no-untyped-def]

    class Old(nn.Module):
        def forward(self, image: np.ndarray) -> Tensor: ...

    told = {
        some: "takes any number of tensors, and a recipe names each; `Sequence[Tensor]` takes a list of them",
        strict: "is given by its name, and takes none; take the `/` out of its signature",
        anything: "is annotated with Any: nobody can tell if it is a tensor",
        array: "is an array of numpy, and the engine gives tensors; write Tensor, and compute with torch",
        shaped: "is an array of numpy, and the engine gives tensors",
        Old: "is an array of numpy, and the engine gives tensors",
        bare: "have no type annotation; write one: it tells the engine how to check or bind it, `real: Tensor` by",
    }
    for part, message in told.items():
        with pytest.raises(SignatureError) as refused:
            read_signature("losses", part)
        assert message in str(refused.value), part
        assert "(tests/test_signature.py:" in str(refused.value), part


PLUGIN = """
import torch
from ganforge import hookimpl

def near(input: torch.FloatTensor, target: torch.Tensor, mask: "torch.BoolTensor | None" = None) -> torch.Tensor:
    return (input - target).abs().mean()

@hookimpl
def register_losses(register):
    register("near", near)
"""


def test_old_spellings_train(ganforge: Callable, in_tmp: Path, repository: Path) -> None:
    (in_tmp / "old.py").write_text(PLUGIN)
    recipe = repository / "recipes" / "tiny" / "cyclegan_shapes.yaml"
    outcome = ganforge("check", recipe, "-p", "old.py", "phases.0.losses.cycle_a.type=near")
    assert (outcome.code, outcome.err) == (0, "")
    (in_tmp / "odd.py").write_text(PLUGIN.replace("torch.FloatTensor", "object"))
    refused = ganforge("check", recipe, "-p", "odd.py")
    assert refused.code == 2
    assert "parameter 'input' of 'near' (odd.py:5) is annotated with object" in refused.err
    assert "pydantic" not in refused.err
