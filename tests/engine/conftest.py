"""Recipes as text, through the real reader, to a trainer or a run; and what hand-written loops are compared with."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge.engine.cast import build_cast
from ganforge.engine.device import Precision
from ganforge.engine.dryrun import dry_run
from ganforge.engine.folder import RunFolder, open_run_folder
from ganforge.engine.lazy import create_lazy_parameters
from ganforge.engine.run import Run
from ganforge.engine.training import Trainer
from ganforge.errors import Source
from ganforge.parts import Progress
from ganforge.plugins import load_plugins
from ganforge.recipe.merge import load
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import parse
from ganforge.recipe.reading import read_recipe
from ganforge.registry import Registry

Batch = Mapping[str, Tensor]
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_plugins([HERE / "toys.py"]).registry


@pytest.fixture
def read(registry: Registry) -> Callable[[str], Recipe]:
    return lambda text: read_recipe(parse(Source("test.yaml", text)), registry, "test")


class Bench:
    """A trainer beside a copy of its networks, which a hand-written loop trains."""

    def __init__(self, recipe: Recipe, steps_per_epoch: int = 100) -> None:
        precision = Precision(recipe.run.precision, torch.device("cpu"))
        cast = build_cast(recipe, precision.place)
        if dry_run(recipe).lazy:
            create_lazy_parameters(recipe, cast, precision)
        self.trainer = Trainer(recipe, cast, precision, Progress(0, steps_per_epoch, 10 * steps_per_epoch))
        self.reference: dict[str, Any] = {name: copy.deepcopy(net) for name, net in cast.networks.items()}
        self.forwards: Counter[str] = Counter()
        for name, network in cast.networks.items():
            network.register_forward_hook(lambda *_, name=name: self.forwards.update([name]))

    def train(self, batches: Sequence[Batch], seed: int = 1) -> None:
        """A step on each batch."""
        torch.manual_seed(seed)
        for batch in batches:
            self.trainer.step([batch])

    def difference(self) -> float:
        """The largest one between a weight or buffer and the reference's."""
        pairs = [
            (ours, self.reference[name].state_dict()[key])
            for name, network in self.trainer.cast.networks.items()
            for key, ours in network.state_dict().items()
        ]
        return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


@pytest.fixture
def bench(read: Callable[[str], Recipe]) -> Callable[..., Bench]:
    return lambda text, **options: Bench(read(text), **options)


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
