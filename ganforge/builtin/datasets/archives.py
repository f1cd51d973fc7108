"""The published archives of the CycleGAN and pix2pix benchmarks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganforge.errors import suggest

HOST = "http://efrosgans.eecs.berkeley.edu"


@dataclass(frozen=True)
class Archive:
    """An archive: what `download:` calls it, where it is below the host, what it is, and the folders it must bring.

    Sizes are in bytes; a hash that its publisher does not state is None.
    """

    name: str
    path: PurePosixPath
    size: int
    sha256: str | None
    folders: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where to fetch it; the environment variable GANFORGE_ARCHIVES names another host, or a mirror's folder."""
        return f"{os.environ.get('GANFORGE_ARCHIVES', HOST).rstrip('/')}/{self.path}"

    @property
    def top(self) -> str:
        """The archive's only folder, which holds `folders`."""
        return self.path.name.split(".")[0]

    def is_whole(self, folder: Path) -> bool:
        """Whether the folder holds what the archive brings."""
        return all((folder / name).is_dir() and any((folder / name).iterdir()) for name in self.folders)


def _unpaired(name: str, size: int, sha256: str) -> Archive:
    path = PurePosixPath(f"cyclegan/datasets/{name}.zip")
    return Archive(name, path, size, sha256, ("trainA", "trainB", "testA", "testB"))


def _paired(name: str, size: int) -> Archive:
    return Archive(f"pix2pix_{name}", PurePosixPath(f"pix2pix/datasets/{name}.tar.gz"), size, None, ("train", "val"))


def _by_name(*archives: Archive) -> Mapping[str, Archive]:
    return {archive.name: archive for archive in archives}


# Sizes and hashes as TensorFlow Datasets records them. Cityscapes was withdrawn: its licence forbids passing it on.
UNPAIRED = _by_name(
    _unpaired("apple2orange", 78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"),
    _unpaired("cezanne2photo", 279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"),
    _unpaired("facades", 35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"),
    _unpaired("horse2zebra", 116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"),
    _unpaired("iphone2dslr_flower", 339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"),
    _unpaired("maps", 1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"),
    _unpaired("monet2photo", 305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
    _unpaired("summer2winter_yosemite", 132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"),
    _unpaired("ukiyoe2photo", 292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"),
    _unpaired("vangogh2photo", 306590349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"),
)
PAIRED = _by_name(_paired("facades", 30168306), _paired("maps", 250242400))
ARCHIVES = {**UNPAIRED, **PAIRED}


def archive(name: str, among: Mapping[str, Archive] = ARCHIVES) -> Archive:
    """The archive of that name.

    Raises:
        ValueError: there is none; the message lists the known ones.
    """
    if name not in among:
        raise ValueError(f"unknown benchmark '{name}'; {suggest(name, among)}")
    return among[name]
