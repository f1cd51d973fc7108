"""Published weights: from a file or the user's cache, checked before they are read, never fetched unasked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from ganforge import EnvironmentFault


@dataclass(frozen=True)
class Weights:
    """A file of weights; like torch's own downloads it has the first digits of its SHA-256 in its name."""

    what: str
    url: str
    sha256: str
    """Its first digits."""
    option: str = ""
    """The option that gives the file another place, if there is one."""

    def find(self, path: Path | None = None) -> Path:
        """The file, at the path given or in torch's cache, after its hash was checked.

        Raises:
            EnvironmentFault: it is not there, or is another file.
        """
        place = path or Path(torch.hub.get_dir()) / "checkpoints" / self.url.rpartition("/")[2]
        if not place.is_file():
            other = f", or give its path as {self.option}" if self.option else ""
            raise EnvironmentFault(
                f"{self.what} needs weights that are not on this machine: {place}\n"
                f"  fetch them once from {self.url}\n  and put them there{other}; nothing is downloaded unasked"
            )
        with place.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(self.sha256):
            raise EnvironmentFault(
                f"{place} is not what {self.what} needs: its SHA-256 begins with {found[: len(self.sha256)]}, "
                f"not with {self.sha256}\n  delete it, and fetch it anew from {self.url}"
            )
        return place


def need(package: str, what: str) -> None:
    """Make sure that a package of the extra `metrics` is installed.

    Raises:
        EnvironmentFault: it is not.
    """
    if find_spec(package) is None:
        raise EnvironmentFault(f"{what} needs {package}, which is not installed: pip install 'ganforge[metrics]'")
