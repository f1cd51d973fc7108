"""A recipe against a loop written by hand: the proof that a recipe means what its paper says."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.plugins.loading import load_plugins
from ganforge.ranks.device import Precision, untried
from ganforge.ranks.division import length
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.assembly import assemble
from ganforge.rehearsal.dry_run import dry_run
from ganforge.step.batch import Batch
from ganforge.testing.datasets import random_batch
from ganforge.training.levers.choosing import choose_levers, settle
from ganforge.training.trainer import Trainer


class Parity:
    """A recipe's training on a CPU in float64, beside copies of its networks for a plain loop to train.

    ```python
    parity = Parity("my_recipe.yaml", "networks.G.channels=4")
    batches = parity.batches(5)
    parity.train(batches)
    G, D = parity["G"], parity["D"]      # as they were before; now train them by hand, on the same batches
    ...
    assert parity.difference() < 1e-9
    assert parity.forwards == {"G": 10, "D": 15}
    ```

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: as on the command line: keep networks and pictures small.
        plugins: plain files to load as plugins.
        steps_per_epoch: what schedules are told of the data.

    Raises:
        RecipeError: the recipe is faulty.
    """

    def __init__(
        self,
        recipe: str | Path | Recipe,
        *overrides: str,
        plugins: Sequence[Path] = (),
        steps_per_epoch: int = 100,
    ) -> None:
        if not isinstance(recipe, Recipe):
            exact = ("run.precision=fp64", "run.device=cpu")
            recipe = open_recipe(str(recipe), (*overrides, *exact), load_plugins(plugins).registry)
        self.recipe = recipe
        plan, device = dry_run(recipe), torch.device("cpu")
        levers = choose_levers(recipe, plan, device, settle(recipe.run, device, 0, {}))
        precision = Precision(untried(recipe.run.precision), device, levers.channels_last)
        cast = assemble(recipe, precision)
        progress = Progress(0, steps_per_epoch, length(recipe, steps_per_epoch))
        self.trainer = Trainer(recipe, cast, precision, progress, levers)
        self.networks: dict[str, nn.Module] = {name: copy.deepcopy(net) for name, net in cast.networks.items()}
        """Copies of the networks, as they were before the training."""
        self.forwards: Counter[str] = Counter()
        """How often each network ran in `train`, in losses too; its methods, as `G.encode`, are counted apart."""
        for name, network in cast.networks.items():
            network.register_forward_hook(lambda *_, name=name: self.forwards.update([name]))

    def __getitem__(self, name: str) -> nn.Module:
        """The copy of a network."""
        return self.networks[name]

    def batches(self, count: int, seed: int = 0, classes: int = 2) -> list[dict[str, Tensor]]:
        """Batches of noise with the fields of the recipe's data: floats in `[-1, 1]`, labels in `[0, classes)`."""
        generator = torch.Generator().manual_seed(seed)
        size = self.recipe.loader.batch_size
        return [random_batch(self.recipe.dataset, size, generator, classes) for _ in range(count)]

    def train(self, batches: Sequence[Batch], seed: int = 1) -> None:
        """Let the engine take a step on each batch (on each `run.accumulate` batches); torch is seeded before."""
        torch.manual_seed(seed)
        share = self.recipe.run.accumulate
        self.trainer.program.calls.forwards.clear()
        for start in range(0, len(batches), share):
            micro = batches[start : start + share]
            arrange = self.trainer.precision.arrange
            self.trainer.step([{name: arrange(field) for name, field in batch.items()} for batch in micro])
        methods = {name: count for name, count in self.trainer.program.calls.forwards.items() if "." in name}
        self.forwards.update(methods)

    def difference(self, but: str = "(?!)") -> float:
        """The largest difference between a weight or buffer that the engine trained and that of the copy.

        Args:
            but: a regular expression of those to leave out, as `G.model.1.bias`: biases that a norm cancels have a
                gradient of nothing but rounding, which Adam amplifies.
        """
        pairs = [
            (ours, self.networks[name].state_dict()[key])
            for name, network in self.trainer.cast.networks.items()
            for key, ours in network.state_dict().items()
            if not re.fullmatch(but, f"{name}.{key}")
        ]
        return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)

    def average(self, network: str) -> nn.Module:
        """The moving average of a network that the engine trained.

        Raises:
            KeyError: it has none.
        """
        return next(p.ema[network].module for p in self.trainer.players.values() if network in p.networks)
