"""What torch would import for a question or two: its compiler, and Triton. A command starts twice as fast without.

Fake tensors read its settings, optimizers and modes of dispatch tell it what not to trace: each of them imports all of
`torch._dynamo` for that, which takes about as long as importing torch. Until something is compiled a stand-in answers
them. Nothing here is needed for what is computed: of another torch, or where anything is amiss, all is imported at
once.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Mapping, MutableSequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"
CONFIG, UTILS = f"{NAME}.config", f"{NAME}.utils"
JIT = "triton.runtime.jit"


def postpone_compiler() -> None:
    """Let a stand-in take the compiler's place until anything but its few answers is asked for.

    Where the compiler is imported already, or torch has it somewhere else, nothing happens.
    """
    if NAME in sys.modules:
        return
    found = importlib.util.find_spec("torch")
    places = [f"{place}/_dynamo/config.py" for place in (found.submodule_search_locations or ())] if found else []
    spec = next((s for place in places if (s := importlib.util.spec_from_file_location(CONFIG, place))), None)
    if spec is None or spec.loader is None:
        return
    stand_in = _StandIn(NAME)
    sys.modules[NAME] = stand_in
    torch._dynamo = stand_in
    try:
        stand_in.config = sys.modules[CONFIG] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(stand_in.config)
        stand_in.utils = sys.modules[UTILS] = _Utils(UTILS)
        stand_in.begun_with = stand_in.config.get_config_copy()
    except Exception:  # of another torch: it is imported at once
        stand_in.give_way()
        return
    sys.meta_path.insert(0, _Finder(stand_in))


def compiler() -> ModuleType:
    """`torch._dynamo` itself, with the settings that were made while it was postponed."""
    known = sys.modules.get(NAME)
    return known.give_way() if isinstance(known, _StandIn) else importlib.import_module(NAME)


def flop_formulas() -> Mapping[Any, Callable[..., int]]:
    """Torch's formulas for floating-point operations, by operation.

    The module that has them imports Triton, too, to know Triton's kernels when it meets them; none is met here.
    """
    logger = logging.getLogger("torch.utils.flop_counter")
    level, absent = logger.level, "triton" not in sys.modules
    if absent:
        sys.modules[JIT] = None  # type: ignore[assignment]  # an import of it fails, and the module does without
        logger.setLevel(logging.ERROR)
    try:
        return importlib.import_module(logger.name).flop_registry
    finally:
        logger.setLevel(level)
        if absent:
            with suppress(KeyError):
                del sys.modules[JIT]


class _StandIn(ModuleType):
    """Answers for the compiler where nothing is compiled; for anything else it gives way to the real one."""

    config: ModuleType
    utils: ModuleType

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: MutableSequence[str] = []
        self._told: list[Callable[..., Any]] = []
        self.begun_with: Mapping[str, Any] = {}

    def disable(self, function: Callable[..., Any], recursive: bool = True, **_: Any) -> Callable[..., Any]:
        """Nothing is traced: the function as it is. Torch keeps the answer beside the function."""
        self._told.append(function)
        return function

    def graph_break(self, msg: str = "") -> None:
        """Do nothing: there is no graph to break."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks of any module
            raise AttributeError(name)
        return getattr(self.give_way(), name)

    def give_way(self) -> ModuleType:
        """Import the real module, as if nothing had been in its place."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
        if sys.modules.get(NAME) is self:
            for known in (NAME, CONFIG, UTILS):
                sys.modules.pop(known, None)
            for function in self._told:
                function.__dict__.pop("__dynamo_disable", None)
            torch.__dict__.pop("_dynamo", None)
        real = importlib.import_module(NAME)
        if self.begun_with:
            now = self.config.get_config_copy()
            for name in (name for name, value in now.items() if value != self.begun_with[name]):
                setattr(real.config, name, now[name])
            self.begun_with = {}
        return real


class _Utils(ModuleType):
    """The one of the compiler's tools that torchvision imports, though it may never call it."""

    @staticmethod
    def is_compile_supported(device_type: Any) -> bool:
        """What the real function of this name says."""
        return compiler().utils.is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(compiler().utils, name)


class _Finder:
    """Brings the real compiler as soon as anybody wants a module of it."""

    def __init__(self, stand_in: _StandIn) -> None:
        self.stand_in = stand_in

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module, as Python asks an importer to."""
        if not name.startswith(f"{NAME}."):
            return None
        self.stand_in.give_way()
        return importlib.util.find_spec(name)
