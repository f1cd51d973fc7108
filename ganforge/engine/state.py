"""Any `state_dict` as tensors and JSON: checkpoints hold no pickle.

Tensors go into a flat dict; what remains is JSON in which `{"$tensor": key}` stands for a tensor, and
`{"$tuple": [...]}` and `{"$pairs": [...]}` for what JSON does not have: tuples, and keys that are no strings.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Json = Any


def split(state: Any, prefix: str, tensors: dict[str, Tensor]) -> Json:
    """The JSON of a state; its tensors are added to `tensors` under keys that start with `prefix`.

    Raises:
        TypeError: it holds something that is neither a tensor nor plain data.
    """
    if isinstance(state, Tensor):
        # safetensors refuses shared memory and does not keep strides.
        key = prefix if prefix not in tensors else f"{prefix}#{len(tensors)}"  # {"a.b": x, "a": {"b": y}}
        tensors[key] = state.detach().to("cpu", copy=True).contiguous()
        return {"$tensor": key}
    if state is None or isinstance(state, bool | int | float | str):
        return state
    if isinstance(state, Mapping):
        pairs = [(key, split(item, f"{prefix}.{key}", tensors)) for key, item in state.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$pairs": [[split(key, prefix, tensors), item] for key, item in pairs]}
    if isinstance(state, list | tuple):
        items = [split(item, f"{prefix}.{index}", tensors) for index, item in enumerate(state)]
        return items if isinstance(state, list) else {"$tuple": items}
    raise TypeError(f"{prefix}: a state may hold tensors, numbers, texts, lists and dicts, not {type(state).__name__}")


def join(json: Json, tensors: Mapping[str, Tensor]) -> Any:
    """The state that `split` took apart."""
    if isinstance(json, list):
        return [join(item, tensors) for item in json]
    if not isinstance(json, dict):
        return json
    if "$tensor" in json:
        return tensors[json["$tensor"]]
    if "$tuple" in json:
        return tuple(join(item, tensors) for item in json["$tuple"])
    if "$pairs" in json:
        return {join(key, tensors): join(item, tensors) for key, item in json["$pairs"]}
    return {key: join(item, tensors) for key, item in json.items()}


def seed_all(seed: int) -> None:
    """Seed every global random generator."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def host_generators() -> tuple[Any, ...]:
    """The states of Python's and NumPy's global random generators, to be compared and restored."""
    kind, keys, *others = np.random.get_state(legacy=True)
    return random.getstate(), (kind, tuple(map(int, keys)), *others)


def restore_host_generators(states: tuple[Any, ...]) -> None:
    """Put them back to where they were."""
    random.setstate(states[0])
    np.random.set_state(states[1])


def random_state() -> dict[str, Any]:
    """The state of every global random generator: Python's, NumPy's, and torch's on the CPU and this process's GPU."""
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every global random generator back to where it was."""
    random.setstate(state["python"])
    numpy_state = {**state["numpy"], "state": dict(state["numpy"]["state"])}
    numpy_state["state"]["key"] = numpy_state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy_state)
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        # The current device's, whatever its number was when it was saved.
        torch.cuda.set_rng_state(state["cuda"][0])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
