"""Python processes that need not import torch: each is forked from one that has, with a command line of its own.

`Forked` is `subprocess.Popen` for commands of `sys.executable`, with `-m`, `-c` or a script, and `run` what
`subprocess.run` is to it. The ranks that such a command launches are forked as well. This file is also what the
prepared process runs. Tests of how a command begins, or of what finds a process by its command line, take real ones.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import random
import runpy
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PREPARED = (
    *("torch.distributed", "torch.utils.data", "torchvision.transforms.v2", "ganforge.builtin", "ganforge.runs.run"),
)
NOTICED_S = 0.02
"""How late the end of a process may be noticed."""


class Forked(subprocess.Popen[str]):
    """A process like any other, but for its first seconds. `cwd`, `env` and pipes are given as ever."""

    def _execute_child(self, args: Sequence[str], *details: Any) -> None:
        cwd, environment, (*pipes,), session = details[4], details[5], details[9:15], details[20]
        given, _, _, out, _, err = pipes
        ending, ended = os.pipe()
        self._ending = open(ending, "rb", buffering=0)  # noqa: SIM115 - as long as the process is of interest
        request = {
            "words": list(map(str, args))[1:],
            "cwd": os.fspath(cwd or Path.cwd()),
            "environment": dict(os.environ if environment is None else environment),
            "session": session,
        }
        streams = [own if piped == -1 else piped for own, piped in enumerate((given, out, err))]
        self.pid = _ask(request, [ended, *streams])
        self._child_created = True
        os.close(ended)
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        patience = 0 if wait_flags & os.WNOHANG else None
        if not select.select([self._ending], [], [], patience)[0]:
            return 0, 0
        told = self._ending.read()
        return self.pid, int(told) if told else 1 << 8  # nothing, where the prepared process is gone itself

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            number, status = self._try_wait(os.WNOHANG)
            if number:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def run(command: Sequence[str | Path], timeout: float = 600, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command from its beginning to its end: what it told, and how it ended."""
    words = list(map(str, command))
    with Forked(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def _ask(request: dict[str, Any], streams: list[int]) -> int:
    """Have a process forked; its number."""
    server = _prepared(os.getpid())
    text = json.dumps(request).encode()
    socket.send_fds(server, [len(text).to_bytes(8, "big")], streams)
    server.sendall(text)
    return int.from_bytes(_received(server, 8), "big")


@functools.cache
def _prepared(_: int) -> socket.socket:
    """Where the prepared process of this one listens; it ends with this one."""
    if _inherited:
        return _inherited[0]
    ours, theirs = socket.socketpair()
    with theirs:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}  # as `ganforge run` would
        command = [sys.executable, __file__, str(theirs.fileno())]
        _started.append(subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment))
    return ours


_started: list[subprocess.Popen[bytes]] = []
_inherited: list[socket.socket] = []
"""Of a launcher that was forked itself: where its own prepared process listens."""


def _received(connection: socket.socket, count: int) -> bytes:
    told = b""
    while len(told) < count:
        piece = connection.recv(count - len(told))
        if not piece:
            raise EOFError
        told += piece
    return told


def serve(connection: socket.socket) -> list[str]:
    """Fork whatever is asked for; comes back in each of the forked processes, with its words."""
    living: dict[int, int] = {}
    while True:
        if select.select([connection], [], [], NOTICED_S if living else None)[0]:
            head, streams, *_ = socket.recv_fds(connection, 8, 4)
            if not head:
                os._exit(0)
            length = head + _received(connection, 8 - len(head))
            request = json.loads(_received(connection, int.from_bytes(length, "big")))
            if not (number := os.fork()):
                connection.close()
                for other in living.values():
                    os.close(other)
                return begin(request, streams)
            living[number] = streams[0]
            for stream in streams[1:]:
                os.close(stream)
            connection.sendall(number.to_bytes(8, "big"))
        tell_the_ended(living)


def tell_the_ended(living: dict[int, int]) -> None:
    for number, ended in list(living.items()):
        gone, status = os.waitpid(number, os.WNOHANG)
        if gone:
            try:
                os.write(ended, str(status).encode())
            except BrokenPipeError:  # nobody waits for it any more
                pass
            finally:
                os.close(living.pop(number))


def begin(request: dict[str, Any], streams: list[int]) -> list[str]:
    """Be the process that was asked for."""
    ended, *given = streams
    os.close(ended)
    if request["session"]:
        os.setsid()
    for place, stream in enumerate(given):
        os.dup2(stream, place)
        os.close(stream)
    # A process that this one forks has others, whose end closes nothing.
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    random.seed()
    words = list(request["words"])
    return prepare_ranks() or words if "--nproc" in words else words


def prepare_ranks() -> list[str]:
    """Let torch's launcher fork its ranks, from a process without its threads; comes back in each of them, too.

    They end with the launcher as its children would: the process that they stem from ends with it, and is itself no
    child of the launcher, which looks for ranks among those.
    """
    ours, theirs = socket.socketpair()
    if not (between := os.fork()):
        if os.fork():
            os._exit(0)
        ours.close()
        return serve(theirs)
    os.waitpid(between, 0)
    theirs.close()
    _inherited[:] = [ours]
    handler = importlib.import_module("torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler")
    handler.Popen = Forked  # type: ignore[attr-defined]
    return []


def main() -> None:
    from ganforge.core.torch_internals.postponing import postpone_compiler

    postpone_compiler()  # as commands do: one that needs it imports it
    for name in PREPARED:
        importlib.import_module(name)
    gc.freeze()
    first, *others = serve(socket.socket(fileno=int(sys.argv[1])))
    if first == "-m":
        name, *others = others
        sys.argv, sys.path[0] = [name, *others], os.getcwd()
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    elif first == "-c":
        code, *others = others
        sys.argv, sys.path[0] = ["-c", *others], ""
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = [first, *others], str(Path(first).parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
