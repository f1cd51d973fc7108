"""Published weights: from a file or the user's cache, checked before they are read, never fetched unasked.

They are read as plain tensors: no pickle of theirs is run.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from ganforge import EnvironmentFault
from ganforge.core.files import sha256_of
from ganforge.images.looks import looked_at


@dataclass(frozen=True)
class Weights:
    """A file of weights."""

    what: str
    """What needs the weights."""
    url: str
    sha256: str
    """All of it, or as much as is published: torch's own downloads have its first 8 digits in their names."""

    def find(self, path: Path | None = None) -> Path:
        """The file, at the path given or in torch's cache, after its hash was checked.

        Raises:
            EnvironmentFault: it is not there, or is another file.
        """
        place = path.expanduser() if path else Path(torch.hub.get_dir()) / "checkpoints" / self.url.rpartition("/")[2]
        if not place.is_file():
            raise EnvironmentFault(
                f"{self.what} needs weights that are not on this machine; nothing is downloaded unasked",
                f"  from     {self.url}\n"
                f"  to       {place}\n"
                f"  SHA-256  {self.sha256}{'' if len(self.sha256) == 64 else '...'}\n"
                f"or give {self.what} the file's place as an option, weights: {place.name}",
            )
        found = sha256_of(place)
        if not found.startswith(self.sha256):
            raise EnvironmentFault(
                f"{place} is not what {self.what} needs: its SHA-256 begins with {found[: len(self.sha256)]}, "
                f"not with {self.sha256}",
                f"delete it, and fetch it anew from {self.url}",
            )
        return place

    def read(self, path: Path | None = None) -> dict[str, Tensor]:
        """The tensors of the file, by name.

        Raises:
            EnvironmentFault: as `find`; it holds more than tensors.
        """
        place = self.find(path)
        try:
            return torch.load(place, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            cure = f"delete it, and fetch it anew from {self.url}"
            raise EnvironmentFault(f"{place} holds more than tensors, and is not read", cure) from error


def need(package: str, what: str) -> None:
    """Make sure that a package of the extra `metrics` is installed.

    Raises:
        EnvironmentFault: it is not.
    """
    if find_spec(package) is None:
        raise EnvironmentFault(f"{what} needs {package}, which is not installed: pip install 'ganforge[metrics]'")


def tell_of_channels(metric: str, has: int, channels: tuple[int, ...] | None) -> None:
    """Warn that a network of colour pictures does not see all channels."""
    listed = ", ".join(map(str, looked_at(has, channels)))
    warnings.warn(f"{metric} looks at channel {listed} of {has}; `channels` names others", stacklevel=3)
