"""What is exported: a signal of a trained recipe, the sizes it takes, and what its file says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganforge._version import __version__
from ganforge.errors import UsageError
from ganforge.inference.export.graph import Eager, Graph
from ganforge.inference.export.sizes import Sizes, find_sizes
from ganforge.inference.trained_run import Trained
from ganforge.rehearsal.directions import directions, result_storage, storage_of
from ganforge.rehearsal.signals import choose_signal


@dataclass(frozen=True)
class Exportable:
    """A signal, ready to become a file."""

    trained: Trained
    graph: Graph
    direction: str | None
    drawn: list[Tensor]
    """What ops drew at random for two samples."""
    sizes: Sizes | None
    """The sizes that the graph takes; None where no picture is given."""

    def metadata(self) -> dict[str, Any]:
        """What a user of the file has to know, as JSON."""
        return {
            "recipe": self.trained.recipe.name,
            "step": self.trained.step,
            "weights": "averaged (EMA)" if self.trained.averaged else "raw",
            "direction": self.direction or "",
            "signal": f"{self.graph.signal} = {self.graph.text}",
            "inputs": ", ".join(self.graph.names),
            "sizes": str(self.sizes) if self.sizes else "",
            "normalisation": f"pictures are float32 [N, C, H, W], {self._normalisation()}",
            "ganforge": __version__,
        }

    def _normalisation(self) -> str:
        recipe, graph = self.trained.recipe, self.graph
        given = result_storage(recipe, self.trained.plan.shapes, graph.signal, graph.field)
        taken = storage_of(recipe, graph.field) if graph.field else given
        kinds = {1: "grey", 3: "RGB", 4: "RGBA"}
        named = [f"{kinds.get(each.channels, f'C = {each.channels}')}, {each.scaling}" for each in (taken, given)]
        return f"{named[0]}, in and out" if named[0] == named[1] else f"{named[0]}, in; {named[1]}, out"

    def eager(self, pictures: Tensor, seed: int) -> tuple[Tensor, list[Tensor]]:
        """What the engine itself makes of pictures, and all the graph's inputs, by which a file should make the same.

        Args:
            pictures: `[N, C, H, W]`; for a signal without a picture anything of N rows.
            seed: of what ops draw.
        """
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            batch = self._batch(pictures)
            scene = Eager(self.trained, batch or {"count": pictures})
            value = scene.compute(self.graph.signal)
        return value, [*batch.values(), *scene.drawn]

    def _batch(self, pictures: Tensor) -> dict[str, Tensor]:
        """Fields to go with pictures, always the same: of other pictures their brightness, of classes all in turn."""
        dataset, batch = self.trained.recipe.dataset, dict.fromkeys(self.graph.fields[:1], pictures)
        for field in self.graph.fields[1:]:
            shape, dtype = dataset.shapes()[field], dataset.dtypes().get(field, torch.float32)
            if self.graph.is_sized(field):
                bright = pictures.mean(1, keepdim=True).expand(-1, shape[0], -1, -1).contiguous()
                batch[field] = (bright > 0).float() if field in dataset.dtypes() else bright
            else:
                numbers = torch.arange(len(pictures)).view(-1, *[1] * len(shape)).expand(-1, *shape)
                many = len(dataset.ranges().get(field, range(2)))
                batch[field] = (numbers % many).to(dtype).contiguous()
        return batch

    def example(self) -> list[Tensor]:
        """Inputs of three samples, of unequal sides: of what is equal by chance, tracing would make a rule."""
        if self.sizes is None:
            return self.graph.blank(3, (1, 1), self.drawn)
        height, width = self.sizes.three()[0]
        more = self.sizes.multiple or 0
        return self.graph.blank(3, (height + more, width + 2 * more), self.drawn)


def prepare(trained: Trained, direction: str | None, signal: str | None) -> Exportable:
    """Choose a signal and find what it needs.

    Raises:
        UsageError: there is no such signal, or none that can be exported.
    """
    recipe = trained.recipe
    name, fields = choose_signal(recipe, trained.plan, direction, signal, noise=True)
    shapes, dtypes = recipe.dataset.shapes(), recipe.dataset.dtypes()
    batch = {each: torch.zeros(2, *shapes[each], dtype=dtypes.get(each, torch.float32)) for each in fields}
    with torch.random.fork_rng([]):
        scene = Eager(trained, batch or {"count": torch.zeros(2)})
        scene.compute(name)
    graph = Graph(trained, name, fields, scene.calls)
    _refuse_hidden_draws(graph, [*batch.values(), *scene.drawn])
    crop = shapes[fields[0]][1:] if fields else ()
    sizes = find_sizes(graph, (crop[0], crop[1]), scene.drawn) if fields else None
    way = next((each.name for each in directions(recipe, trained.plan.shapes) if each.translated == name), None)
    return Exportable(trained, graph, way, scene.drawn, sizes)


def _refuse_hidden_draws(graph: Graph, inputs: list[Tensor]) -> None:
    with torch.no_grad(), torch.random.fork_rng([]):
        before = torch.get_rng_state()
        graph(*inputs)
        if not torch.equal(before, torch.get_rng_state()):
            raise UsageError(
                f"'{graph.signal}' cannot be exported: its networks ({', '.join(graph.networks)}) draw random numbers "
                "of their own, so that a file could not be compared with them",
                "give them their noise as an argument, from an op",
            )
