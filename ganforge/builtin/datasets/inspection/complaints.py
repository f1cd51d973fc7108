"""What decoders written in C print: the only sign that a corrupt JPEG was decoded all the same."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType

from ganforge import EnvironmentFault, images

_OF_LIBJPEG = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression")


class Complaints:
    """While it is open, what this process writes on file descriptor 2 is kept back here."""

    def __enter__(self) -> Complaints:
        self._stderr = os.dup(2)
        self._kept = TemporaryFile()
        os.dup2(self._kept.fileno(), 2)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.dup2(self._stderr, 2)
        os.close(self._stderr)
        self._kept.close()

    def taken(self) -> list[str]:
        """libjpeg's complaints since the last call; others' are dropped."""
        self._kept.seek(0)
        lines = self._kept.read().decode(errors="replace").splitlines()
        self._kept.truncate(0)
        self._kept.seek(0)  # file descriptor 2 writes where this one stands
        return [line for line in lines if line.startswith(_OF_LIBJPEG)]

    def about(self, jpeg: Path) -> str:
        """libjpeg's first complaint about a file; nothing else may decode meanwhile."""
        self.taken()
        with suppress(EnvironmentFault):
            images.read_image(jpeg)
        return next(iter(self.taken()), "")
