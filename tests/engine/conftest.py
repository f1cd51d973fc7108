"""Recipes as text, through the real reader, to a trainer or a run; and what hand-written loops are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganforge.errors import Source
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import Registry
from ganforge.recipe.merge import load
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import parse
from ganforge.recipe.reading import read_recipe
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder, open_run_folder
from ganforge.testing import Parity

Batch = Mapping[str, Tensor]
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_plugins([HERE / "toys.py"]).registry


@pytest.fixture
def read(registry: Registry) -> Callable[[str], Recipe]:
    return lambda text: read_recipe(parse(Source("test.yaml", text)), registry, "test")


@pytest.fixture
def bench(read: Callable[[str], Recipe]) -> Callable[..., Parity]:
    return lambda text, **options: Parity(read(text), **options)


def adam(*networks: nn.Module) -> torch.optim.Adam:
    """The optimizer of all these recipes."""
    return torch.optim.Adam([p for network in networks for p in network.parameters()], lr=1e-2, betas=(0.5, 0.999))


@pytest.fixture(name="adam")
def adam_fixture() -> Callable[..., torch.optim.Adam]:
    return adam


def images(*fields: str, count: int, batch: int = 2, seed: int = 0) -> list[dict[str, Tensor]]:
    """Batches of images `[N, 3, 16, 16]` in `[-1, 1]`, float64."""
    rng = torch.Generator().manual_seed(seed)
    shape = (batch, 3, 16, 16)
    return [{f: torch.rand(shape, generator=rng, dtype=torch.float64) * 2 - 1 for f in fields} for _ in range(count)]


@pytest.fixture(name="images")
def images_fixture() -> Callable[..., list[dict[str, Tensor]]]:
    return images


@pytest.fixture
def start(registry: Registry, tmp_path: Path) -> Callable[..., Run]:
    """A run of the toy CycleGAN in a folder of its own; `folder` names one to go on with."""

    def make(*overrides: str, folder: str = "run", recipe: Path = HERE / "toy_cyclegan.yaml") -> Run:
        checked = read_recipe(load(recipe, overrides), registry, recipe.stem)
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        place = open_run_folder(path) if (path / "run.json").exists() else RunFolder(path)
        run = Run(checked, place, registry)
        if not run.resume():
            run.start()
        return run

    return make
