"""What a part takes is read from its types; options are checked by them, and faults told in a recipe's words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge import Context, Metric, Progress
from ganforge.faults import Fault
from ganforge.signature import (
    Signature,
    SignatureError,
    call_signature,
    describe_type,
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

    with pytest.raises(SignatureError, match="parameter 'x' of 'untyped' has no type annotation"):
        read_signature("ops", untyped)
    with pytest.raises(SignatureError, match="annotations of 'undefined' cannot be read: name 'Flaot'"):
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
