"""Any `state_dict` as tensors and JSON: checkpoints hold no pickle.

Tensors go into a flat dict; what remains is JSON, in which a dict of one key that starts with `$` stands for what JSON
does not have: `{"$tensor": key}` for a tensor, `{"$tuple": [...]}`, `{"$pairs": [...]}` for a dict whose keys are no
strings, and so on.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ganforge.core.torch_internals.tensors import sparse_parts

Json = Any

COMPRESSED = {"csr": torch.sparse_csr, "csc": torch.sparse_csc, "bsr": torch.sparse_bsr, "bsc": torch.sparse_bsc}
BITS = 10_000
"""The bits of the largest whole number that JSON may hold: Python does not read much longer ones."""


class Unsaveable(TypeError):
    """A state holds something that a checkpoint cannot hold."""


def take_apart(state: Any, prefix: str, tensors: dict[str, Tensor]) -> Json:
    """The JSON of a state; its tensors are added to `tensors` under keys that start with `prefix`.

    A state may hold tensors and arrays, numbers, texts, bytes, lists, tuples, sets and dicts; types and devices of
    torch. Dicts of any class come back as dicts, parameters as tensors.

    Raises:
        Unsaveable: it holds something else.
    """
    if state is None or type(state) in (bool, str, float) or (type(state) is int and state.bit_length() < BITS):
        return state
    if isinstance(state, Tensor):
        return _split_tensor(state, prefix, tensors)
    if isinstance(state, np.ndarray | np.generic):
        return _split_numpy(state, prefix, tensors)
    if isinstance(state, bool | int | float | str):
        large = isinstance(state, int) and state.bit_length() > BITS
        return {"$hex": hex(state)} if large else state  # type: ignore[arg-type]
    if isinstance(state, Mapping) and not isinstance(state, defaultdict | Counter):
        pairs = [(key, take_apart(item, f"{prefix}.{key}", tensors)) for key, item in state.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$pairs": [[take_apart(key, prefix, tensors), item] for key, item in pairs]}
    if isinstance(state, torch.Size):
        return {"$size": list(state)}
    if isinstance(state, list | tuple) and not hasattr(state, "_fields"):
        items = [take_apart(item, f"{prefix}.{index}", tensors) for index, item in enumerate(state)]
        return items if isinstance(state, list) else {"$tuple": items}
    return _split_other(state, prefix)


def _split_tensor(state: Tensor, prefix: str, tensors: dict[str, Tensor]) -> Json:
    state = state.detach()
    if state.layout is torch.sparse_coo:
        held: tuple[Tensor, ...] = sparse_parts(state)
        more: dict[str, Any] = {"coalesced": state.is_coalesced()}
    elif state.layout in COMPRESSED.values():
        across = state.layout in (torch.sparse_csc, torch.sparse_bsc)
        indices = (state.ccol_indices(), state.row_indices()) if across else (state.crow_indices(), state.col_indices())
        held = (*indices, state.values())
        more = {"layout": next(name for name, layout in COMPRESSED.items() if layout is state.layout)}
    elif state.layout is not torch.strided or state.is_quantized or state.is_nested or state.is_meta:
        raise Unsaveable(f"{prefix}: a state may hold no {_kind(state)} tensor")
    elif state.dtype is torch.complex128:
        return {"$complex128": _split_tensor(torch.view_as_real(state.resolve_conj()), prefix, tensors)}
    elif not _storable(state.dtype):
        raise Unsaveable(f"{prefix}: a state may hold no tensor of {state.dtype}")
    else:
        # safetensors refuses shared memory and does not keep strides.
        key = prefix if prefix not in tensors else f"{prefix}#{len(tensors)}"  # {"a.b": x, "a": {"b": y}}
        tensors[key] = state.resolve_conj().resolve_neg().to("cpu", copy=True).contiguous()
        return {"$tensor": key}
    return {"$sparse": [[_split_tensor(part, prefix, tensors) for part in held], list(state.shape), more]}


def _split_numpy(state: np.ndarray | np.generic, prefix: str, tensors: dict[str, Tensor]) -> Json:
    if isinstance(state, np.str_ | np.bytes_) or state.dtype.kind not in "biufc" or state.dtype.itemsize > 16:
        raise Unsaveable(f"{prefix}: a state may hold no array of {state.dtype}")
    native = np.asarray(state).astype(state.dtype.newbyteorder("="), copy=True, order="C")
    try:
        held = _split_tensor(torch.from_numpy(native), prefix, tensors)
    except TypeError as error:
        raise Unsaveable(f"{prefix}: a state may hold no array of {state.dtype}") from error
    return {"$array" if isinstance(state, np.ndarray) else "$scalar": held}


def _split_other(state: Any, prefix: str) -> Json:
    match state:
        case complex():
            return {"$complex": [state.real, state.imag]}
        case bytes() | bytearray():
            return {f"${type(state).__name__}": base64.b64encode(state).decode()}
        case set() | frozenset():
            empty: dict[str, Tensor] = {}
            items = sorted((take_apart(item, prefix, empty) for item in state), key=repr)
            if empty:
                raise Unsaveable(f"{prefix}: a state may hold no set of tensors")
            return {"$set" if isinstance(state, set) else "$frozenset": items}
        case torch.dtype():
            return {"$dtype": str(state).removeprefix("torch.")}
        case torch.device():
            return {"$device": str(state)}
    kinds: dict[type, str] = {defaultdict: "a defaultdict: make it a dict", Counter: "a Counter: make it a dict"}
    named = f"a named tuple ({type(state).__name__}): make it a dict, with ._asdict()"
    told = kinds.get(type(state)) or (named if isinstance(state, tuple) else type(state).__name__)
    raise Unsaveable(
        f"{prefix}: a state may hold tensors, arrays, numbers, texts, bytes, lists, tuples, sets and dicts, not {told}"
    )


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "meta"
    return "quantised" if tensor.is_quantized else "nested" if tensor.is_nested else str(tensor.layout)


@cache
def _storable(dtype: torch.dtype) -> bool:
    """Whether safetensors has this type."""
    try:
        save({"": torch.empty(0, dtype=dtype)})
    except Exception:
        return False
    return True


def put_together(json: Json, tensors: Mapping[str, Tensor]) -> Any:
    """The state that `take_apart` took apart."""
    if isinstance(json, list):
        return [put_together(item, tensors) for item in json]
    if not isinstance(json, dict):
        return json
    kind = next(iter(json), "")
    if not kind.startswith("$"):
        return {key: put_together(item, tensors) for key, item in json.items()}
    if kind == "$tensor":
        return tensors[json[kind]]
    if kind == "$pairs":
        return {put_together(key, tensors): put_together(item, tensors) for key, item in json[kind]}
    return _JOINED[kind](put_together(json[kind], tensors))


def _join_sparse(held: list[Any]) -> Tensor:
    (indices, *others), size, more = held
    if "layout" in more:
        return torch.sparse_compressed_tensor(indices, others[0], others[1], size, layout=COMPRESSED[more["layout"]])
    return torch.sparse_coo_tensor(indices, others[0], size, is_coalesced=more["coalesced"])


def dtype_named(name: str) -> torch.dtype:
    """`float32` as torch's type.

    Raises:
        ValueError: torch has none of this name.
    """
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"torch has no type '{name}'")
    return dtype


_JOINED: dict[str, Callable[[Any], Any]] = {
    "$tuple": tuple,
    "$size": torch.Size,
    "$hex": lambda text: int(text, 16),
    "$complex": lambda parts: complex(*parts),
    "$bytes": base64.b64decode,
    "$bytearray": lambda text: bytearray(base64.b64decode(text)),
    "$set": set,
    "$frozenset": frozenset,
    "$dtype": dtype_named,
    "$device": torch.device,
    "$complex128": torch.view_as_complex,
    "$array": Tensor.numpy,
    "$scalar": lambda tensor: tensor.numpy()[()],
    "$sparse": _join_sparse,
}


def copied(state: Any) -> Any:
    """The state as a checkpoint gives it back.

    Raises:
        Unsaveable: a checkpoint cannot hold it.
    """
    tensors: dict[str, Tensor] = {}
    return put_together(take_apart(state, "", tensors), tensors)


def tensor_keys(json: Json) -> Iterator[str]:
    """The keys of the tensors that a state has apart from its JSON."""
    if isinstance(json, dict):
        if "$tensor" in json:
            yield json["$tensor"]
        else:
            for item in json.values():
                yield from tensor_keys(item)
    elif isinstance(json, list):
        for item in json:
            yield from tensor_keys(item)
