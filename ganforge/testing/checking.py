"""What the checks share: how they fail, how parts and options are read, and how a wait for the device is caught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core.torch_internals.fake import TorchDispatchMode
from ganforge.plugins.loading import load_module
from ganforge.plugins.signature import Signature, SignatureError, read_signature

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.equal, aten.is_nonzero, aten.nonzero, aten.masked_select}
INDEXING = {aten.index, aten.index_put, aten.index_put_}


class CheckFailed(AssertionError):
    """A part does not keep what the engine relies on; the message says what, and what to do."""


def name_of(part: Any) -> str:
    """What a part is called in messages."""
    return getattr(part, "__name__", type(part).__name__)


def signature_of(kind: str, part: Any) -> Signature:
    """What a part takes.

    Raises:
        CheckFailed: the signature cannot be read.
    """
    try:
        return read_signature(kind, part)
    except SignatureError as error:
        raise CheckFailed(str(error)) from error


def checked_options(part: Any, signature: Signature, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a recipe would hand them over.

    Raises:
        CheckFailed: one of them does not fit.
    """
    values, faults = signature.check(options)
    for fault in faults:
        name = ".".join(map(str, fault.path))
        what = {"unknown": "is no parameter of it", "missing": "must be given"}.get(fault.kind, fault.message)
        raise CheckFailed(f"{name_of(part)}: '{name}' {what}; it takes: {signature}")
    return values


def refuse_weights(part: Any) -> None:
    """Refuse a loss, or an op, with weights that are there to learn: nobody would train them.

    Raises:
        CheckFailed: it has some.
    """
    names = [name for name, p in part.named_parameters() if p.requires_grad] if isinstance(part, nn.Module) else []
    if names:
        raise CheckFailed(
            f"it has weights that would never learn: {', '.join(names)}\n"
            "  freeze them with self.requires_grad_(False) if that is meant; what should learn is a network of a\n"
            "  player, which a loss is given as a parameter of type nn.Module"
        )


class _NeverWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in WAITS or (func.overloadpacket in INDEXING and _is_mask(args[1])):
            raise CheckFailed(
                f"it asks for a tensor's value ({func.overloadpacket.__name__}): a GPU would stand still at each step\n"
                "  look for .item(), float(x), bool(x), `if x > 0:`, nonzero and x[mask]; torch.where does without"
            )
        return func(*args, **(kwargs or {}))


def equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether two series of tensors are the same, bit for bit."""
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _is_mask(indices: Sequence[Tensor | None]) -> bool:
    """Whether what is picked depends on values: its size must be known before anything goes on."""
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


@contextmanager
def never_waiting() -> Iterator[None]:
    """Refuse, in this block, whatever would make the host wait for a GPU; works on a CPU."""

    def refuse(_: Tensor) -> Any:
        raise CheckFailed("it calls .tolist(): a GPU would stand still at each step; torch.where does without")

    original = Tensor.tolist
    Tensor.tolist = refuse  # type: ignore[method-assign, assignment]
    try:
        with _NeverWaiting():
            yield
    finally:
        Tensor.tolist = original  # type: ignore[method-assign]


@contextmanager
def elsewhere() -> Iterator[None]:
    """What runs in this block lies on torch's meta device: a tensor of another one, or a look at a value, is told."""
    try:
        yield
    except (NotImplementedError, RuntimeError, TypeError) as error:
        if isinstance(error, NotImplementedError) or "numpy" in str(error):
            raise CheckFailed("it copies a tensor to the CPU, or makes it NumPy's: a GPU would stand still") from error
        if "meta" not in str(error) and "device" not in str(error):
            raise
        raise CheckFailed(
            "it mixes devices: make tensors with device=x.device, keep what a module needs in buffers"
        ) from error


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """An error in this block becomes a failed check that says what was tried."""
    try:
        yield
    except CheckFailed as failed:
        raise CheckFailed(f"{what}: {failed}") from failed
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise CheckFailed(f"{what}: {type(error).__name__}: {first}") from error


def run_checks(part: Any, case: object, skip: tuple[str, ...]) -> None:
    """Run a case's methods `check_<name>` in their order, each explained; skipping one that is not there would test
    nothing.

    Raises:
        CheckFailed: one of them failed.
    """
    checks = [name.removeprefix("check_") for name in vars(type(case)) if name.startswith("check_")]
    if unknown := set(skip) - set(checks):
        raise ValueError(f"there is no check '{min(unknown)}'; there are: {', '.join(checks)}")
    for name in checks:
        if name not in skip:
            torch.manual_seed(0)
            with explaining(f"{name_of(part)} [{name}]"):
                getattr(case, f"check_{name}")()


def parts_of(plugin: ModuleType) -> dict[str, dict[str, Any]]:
    """What a plugin registers, by kind and name: `{"losses": {"charbonnier": charbonnier}}`.

    Args:
        plugin: the module that its entry point names.

    Raises:
        CheckFailed: it would not load: a hook is misspelt, a signature cannot be read.
    """
    loaded = load_module(plugin.__name__.rpartition(".")[2], plugin)
    if loaded.broken:
        raise CheckFailed(f"{plugin.__name__}: {loaded.broken[0].reason}")
    found: dict[str, dict[str, Any]] = {}
    for part in loaded.registry.parts.values():
        found.setdefault(part.kind, {})[part.name] = part.factory
    return found
