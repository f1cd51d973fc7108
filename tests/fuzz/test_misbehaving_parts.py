"""Whatever a part of a plugin does, the command ends well or with a message: where, whose, and what to do.

Some examples run each time. `GANFORGE_FUZZ=2000 pytest tests/fuzz` tries so many, others each time; a failure prints
the example as the environment's `ODD`, with which `ganforge check tests/fuzz/odd.yaml -p tests/fuzz/odd.py` repeats it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from misbehaving import ODD, outcome
from PIL import Image

EXAMPLES = int(os.environ.get("GANFORGE_FUZZ", 0))
CALLED = ["state_dict", "load_state_dict", "__deepcopy__", "__repr__", "__len__", "__getattr__", "__eq__", "__hash__"]
MODULE = [
    *CALLED,
    *("__init__", "forward", "__call__", "train", "eval", "to", "parameters", "named_parameters", "buffers"),
    *("modules", "named_modules", "children", "requires_grad_", "_apply", "zero_grad", "get_extra_state", "__bool__"),
]
METHODS = {
    "network": MODULE,
    "loss": ["call"],
    "loss class": MODULE,
    "op": ["call"],
    "op class": [*CALLED, "__init__", "__call__", "statistics", "prepare", "__bool__"],
    "metric": ["call"],
    "metric class": ["__init__", "update", "compute", "prepare", "remarks", "__repr__", "__len__", "__bool__"],
    "optimizer": [*CALLED, "__init__", "step", "zero_grad", "add_param_group"],
    "schedule": ["call"],
    "samples": ["__len__", "sample", "batch", "order", "__repr__", "__bool__", "__getattr__"],
    "dataset": [
        *("__init__", "shapes", "dtypes", "validation_shapes", "prepare", "files", "train", "validation", "truths"),
        "groups",
        *("__repr__", "__len__", "__bool__", "__getattr__"),
    ],
    "augmentation": ["call"],
    "augmentation class": ["__init__", "__call__", "__repr__", "__bool__", "__getattr__", "__eq__"],
    "callback": [
        *("__init__", "run_started", "step_ended", "statistics_read", "distributions_read", "images_drawn"),
        *("metrics_computed", "checkpoint_saved", "run_ended", "__repr__", "__len__", "__bool__", "__getattr__"),
    ],
}
ACTIONS = [
    *("ValueError", "RuntimeError", "TypeError", "KeyError", "AttributeError", "ZeroDivisionError", "OSError"),
    *("NotImplementedError", "AssertionError", "MemoryError", "SystemExit", "SystemExit text", "StopIteration"),
    *("GeneratorExit", "Outside", "Strange", "Stubborn", "ExceptionGroup", "UserWarning", "UnicodeDecodeError"),
    *("recursion", "torch", "memory"),
    *("none", "text", "true", "zero", "minus one", "large", "nan", "infinite", "complex", "object", "a function"),
    *("a class", "a module", "list", "dict", "a strange dict", "generator", "the value in a list"),
    *("the value in a dict", "an iterator of the value", "nan tensor", "complex tensor", "double", "half", "long"),
    *("bool tensor", "empty", "scalar", "another shape", "fewer", "meta", "sparse", "a leaf", "a parameter"),
    *("detached", "numpy", "expanded", "in place"),
]
SIGNATURES = [
    *("bare", "many", "named", "unresolved", "wrong default", "shared default", "object default", "positional"),
    *("keywords", "generates", "waits", "of a callable", "partial", "lambda", "called", "class", "a module"),
    *("of torch", "built in", "type", "a none", "a text", "a number", "side effects", "exception"),
]
KINDS = ["networks", "losses", "ops", "metrics", "optimizers", "schedules", "datasets", "augmentations", "callbacks"]
MOMENTS = ["check", "run", "run", "run", "resume", "resume", "translate", "evaluate", "show", "gallery", "bundle"]

places = st.sampled_from([f"{kind}.{method}" for kind, methods in METHODS.items() for method in methods])
deeds = st.fixed_dictionaries(
    {"place": places, "action": st.sampled_from(ACTIONS), "at": st.sampled_from([None, None, 1, 2, 3, 4, 5, 7])}
)
signatures = st.builds(lambda kind, name: {kind: name}, st.sampled_from(KINDS), st.sampled_from(SIGNATURES))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of sound parts, and a picture."""
    folder = tmp_path_factory.mktemp("trained")
    code, said = outcome("run", ODD / "odd.yaml", "--out", folder / "runs", "run.steps=2")
    assert code == 0, said
    Image.new("RGB", (8, 8)).save(folder / "picture.png")
    return folder


def tried(moment: str, odd: dict[str, Any], trained: Path, folder: Path) -> tuple[int, str]:
    """How a command ends where a part misbehaves."""
    run = trained / "runs" / "odd" / "0001"
    if moment == "check":
        return outcome("check", ODD / "odd.yaml", odd=odd)
    if moment == "run":
        return outcome("run", ODD / "odd.yaml", "--out", folder / "runs", odd=odd)
    if moment == "resume":
        shutil.copytree(run, folder / "run")
        return outcome("run", folder / "run", "--resume", "run.steps=4", odd=odd)
    if moment == "show":
        return outcome("show", ODD / "odd.yaml", "--graph", odd=odd)
    if moment == "gallery":
        return outcome("gallery", run, "-o", folder / "page", odd=odd)
    if moment == "bundle":
        return outcome("bundle", run, "-o", folder / "odd.zip", odd=odd)
    if moment == "translate":
        return outcome("translate", run, trained / "picture.png", "-o", folder / "out", "--signal", "fake", odd=odd)
    return outcome("evaluate", run, "-o", folder / "card", odd=odd)


def judge(code: int, said: str, odd: dict[str, Any]) -> None:
    """A command ended well, or with a message that says where, whose fault it is, and what to do."""
    lies = code == 3 and "fewer than a step takes" in said  # of how many samples it has
    assert code in (0, 2, 4) or lies, f"exit code {code}\n{said}"
    assert "Traceback" not in said, said
    assert "should have been told better" not in said
    if code == 0:
        return
    assert "error: " in said
    told = said[said.index("error: ") :]
    assert re.search(
        r"odd\.py:\d+|(odd|recipe)\.yaml:\d+:\d+|step \d+:|plugin \S+odd\.py:|cannot be saved: \S+", told
    ), said
    assert "\n  " in told or "; " in told or "cannot be saved" in told, f"no cure\n{said}"
    if odd.get("action", "")[:1].isupper() or odd.get("action") == "recursion":
        assert re.search(r"odd\.py:\d+", told), f"no line of the plugin\n{said}"


@settings(
    max_examples=EXAMPLES or 70,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
)
@given(odd=st.one_of(deeds, deeds, deeds, deeds, signatures), moment=st.sampled_from(MOMENTS))
def test_whatever_a_part_does_is_told(
    odd: dict[str, Any], moment: str, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    try:
        code, said = tried(moment, odd, trained, folder)
        note(f"{moment}: ODD='{json.dumps(odd)}' ended with {code}\n{said}")
        judge(code, said, odd)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
