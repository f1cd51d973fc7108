"""Fixtures for all tests: the repository, the command line, and small pictures on disk."""

from __future__ import annotations

import functools
import gc
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]

# Processes side by side starve each other with OpenMP threads, and bit-identity needs a fixed number of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# What trials and dry runs find is kept for these tests alone.
CACHE = Path(tempfile.gettempdir()) / f"ganforge-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
os.environ["GANFORGE_CACHE"] = str(CACHE)
_numbers = itertools.count()


LONG = ("test_packaging", "test_new", "test_misbehaving_parts", "test_launching", "test_learning", "test_kill")
"""Modules with tests of half a minute: where one of these comes last, one process works while the others have gone."""


def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`: ranks, launchers and kills wait more than they compute, and others work meanwhile."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it for garbage, again and again, takes a twentieth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test finds out of the machine decides nothing in another one; its dry runs are remembered."""
    cache = CACHE / f"{os.getpid()}-{next(_numbers)}"
    cache.mkdir(parents=True)
    plans = CACHE / "plans"
    plans.mkdir(exist_ok=True)
    (cache / "plans").symlink_to(plans)  # a dry run is known by all that it depends on: one is enough for all tests
    monkeypatch.setenv("GANFORGE_CACHE", str(cache))


@pytest.fixture(scope="session", autouse=True)
def _signatures_read_once() -> Iterator[None]:
    """Commands in this process load plugins anew, which takes half as long where installed parts are read once."""
    from ganforge.plugins import registry

    read = registry.read_signature
    known = functools.cache(read)

    def read_once(kind: str, factory: Callable[..., Any]) -> Any:
        plain = type(factory) in (type, types.FunctionType) and factory.__module__.startswith("ganforge")
        return (known if plain else read)(kind, factory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "read_signature", read_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _descriptions_read_once() -> Iterator[None]:
    """Whoever loads plugins asks what distributions say of themselves, torch too: files that stay as they are."""
    parsed = PathDistribution.metadata.fget
    assert parsed is not None
    known: dict[tuple[str, int], Any] = {}

    def read_once(self: PathDistribution) -> Any:
        file = Path(str(self._path), "METADATA")  # type: ignore[attr-defined]
        try:
            key = str(file), file.stat().st_mtime_ns
        except OSError:
            return parsed(self)
        return known.get(key) or known.setdefault(key, parsed(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PathDistribution, "metadata", property(read_once), raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobody_pulls_the_plug() -> Iterator[None]:
    """Files need not be on the disk before a test goes on: the system writes them, even if a process is killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def rehearsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings ask for the dry run of a recipe once in all such tests: they are about what comes after it."""
    import rehearsed

    for module in ("ganforge.testing.parity", "ganforge.rehearsal.known_plans"):
        monkeypatch.setattr(f"{module}.dry_run", rehearsed.dry_run)


@dataclass
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture
def ganforge(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process, where torch is imported already."""
    from ganforge.cli import main

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def ganforge_process(tmp_path: Path) -> Callable[..., Outcome]:
    """Run the installed command in a process of its own, in an empty folder."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> Outcome:
        command = [sys.executable, "-m", "ganforge", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd or tmp_path, timeout=600, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that is filled by whichever process of the tests needs it first: the others wait, and read it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def filled(name: str, fill: Callable[[Path], None]) -> Path:
        folder, whole = shared / name, shared / f"{name}.whole"
        with FileLock(shared / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return filled


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def picture_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny unpaired dataset: trainA, trainB, testA, testB."""
    return pictures(tmp_path_factory.mktemp("pictures"), {"trainA": 5, "trainB": 4, "testA": 2, "testB": 3})


@pytest.fixture(scope="session")
def pair_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny dataset of pairs side by side: train and test."""
    return pictures(tmp_path_factory.mktemp("pairs"), {"train": 5, "test": 2}, size=(80, 40))


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny pictures for each of three classes."""
    return pictures(tmp_path_factory.mktemp("classes"), {"ant": 3, "bee": 4, "cat": 3})


def pictures(root: Path, folders: dict[str, int], size: tuple[int, int] = (48, 40)) -> Path:
    """Folders with so many pictures of noise each."""
    width, height = size
    for folder, count in folders.items():
        (root / folder).mkdir()
        for index in range(count):
            seeded = torch.Generator().manual_seed(index)
            noise = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=seeded)
            Image.fromarray(noise.numpy()).save(root / folder / f"{index}.jpg")
    return root
