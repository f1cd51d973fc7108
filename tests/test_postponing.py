"""No command imports torch's compiler for a question or two, and whoever needs it gets the real one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Python = Callable[[str], str]
LOADED = "sorted(name for name in sys.modules if name == 'triton' or name.startswith('torch._dynamo'))"
STAND_INS = ["torch._dynamo", "torch._dynamo.config", "torch._dynamo.utils"]


FORKING = """
import os, sys, torch
while asked := sys.stdin.readline():
    if not os.fork():
        folder, code, out, err = eval(asked)
        os.chdir(folder)
        for number, file in ((1, out), (2, err)):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def torch_process() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported torch, which takes long, and nothing of ganforge; it forks whatever it is told."""
    command = [sys.executable, "-c", FORKING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def python(torch_process: subprocess.Popen[str], tmp_path: Path) -> Callable[[str], str]:
    """Runs code in a process that has just imported torch: what it prints."""

    def run(code: str) -> str:
        out, err = tmp_path / "out", tmp_path / "err"
        assert torch_process.stdin is not None
        assert torch_process.stdout is not None
        print(repr((str(tmp_path), code, str(out), str(err))), file=torch_process.stdin, flush=True)
        assert torch_process.stdout.readline() == "0\n", err.read_text()
        return out.read_text()

    return run


@pytest.mark.parametrize("words", [["check", "cyclegan_shapes"], ["run", "cyclegan_shapes", "run.steps=1"]])
def test_commands_do_without(words: list[str], python: Python) -> None:
    small = [f"networks.{name}.channels=2" for name in ("G_ab", "G_ba", "D_a", "D_b")] if words[0] == "run" else []
    more = ["data.size_px=16", "data.count=4", "run.images_count=1"] if words[0] == "run" else []
    code = f"""
import os, sys
os.environ["GANFORGE_CACHE"] = "cache"
from ganforge.cli import main
try:
    main({[*words, *small, *more]!r})
except SystemExit as ended:
    assert not ended.code
print({LOADED})
"""
    assert python(code).splitlines()[-1] == str(STAND_INS)


BEGIN = "import sys, torch; from ganforge.core.torch_internals import postponing; postponing.postpone_compiler()\n"


@pytest.mark.parametrize(
    "asked",
    [
        "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2)",
        "from torch._dynamo.utils import counters; print(counters is torch._dynamo.utils.counters)",
        "from torch._dynamo.utils import is_compile_supported as known; print(known('cpu') in (True, False))",
    ],
)
def test_whatever_is_asked_of_it_brings_the_real_one(asked: str, python: Python) -> None:
    told = python(f"{BEGIN}{asked}\nprint(type(torch._dynamo).__name__, type(sys.modules['torch._dynamo']).__name__)")
    assert told.split() == ["True", "module", "module"]


def test_what_was_set_of_it_still_holds(python: Python) -> None:
    code = """
torch._dynamo.config.recompile_limit = 77
torch._dynamo.config.verbose = True
config = postponing.compiler().config
import torch._dynamo
print(config.recompile_limit, config.verbose, torch._dynamo.config is config, torch._dynamo.config.recompile_limit)
"""
    assert python(BEGIN + code).split() == ["77", "True", "True", "77"]


def test_what_ran_before_is_not_traced_after(python: Python) -> None:
    """An optimizer's methods are kept out of compiled code, though a stand-in had answered for them before."""
    code = """
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.Adam([weight])
weight.sum().backward(); optimizer.step()
told = [f for f in postponing.sys.modules["torch._dynamo"]._told]
assert told and all(hasattr(f, "__dynamo_disable") for f in told)
postponing.compiler()
print(any(hasattr(f, "__dynamo_disable") for f in told))
weight.sum().backward(); optimizer.step()
print(torch.compile(lambda x: (x @ x).sin(), backend="eager")(torch.eye(2)).shape)
"""
    assert python(BEGIN + code).split() == ["False", "torch.Size([2,", "2])"]


def test_one_that_is_there_already_stays(python: Python) -> None:
    code = "import sys, torch._dynamo; from ganforge.core.torch_internals import postponing; real = torch._dynamo\n"
    code += "postponing.postpone_compiler(); print(torch._dynamo is real, postponing.compiler() is real)"
    assert python(code).split() == ["True", "True"]


def test_formulas_are_torchs_own(python: Python) -> None:
    code = """
import sys
from ganforge.core.torch_internals.postponing import flop_formulas
found = flop_formulas()
print('triton' in sys.modules, 'triton.runtime.jit' in sys.modules)
from torch.utils.flop_counter import flop_registry
print(found is flop_registry)
"""
    assert python(code).split() == ["False", "False", "True"]
