"""A network as a folder that the Hugging Face hub's mixin reads: weights, its constructor's options, a model card."""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganforge.errors import UsageError
from ganforge.inference.export.exportable import Exportable
from ganforge.inference.export.formats import Format, Runner
from ganforge.recipe.expressions import Attribute, Call, Expression, Name
from ganforge.recipe.model import PartUse, Recipe
from ganforge.recipe.name_checks import dependencies
from ganforge.rehearsal.signals import possible_signals

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


class Hub(Format):
    """`model.safetensors`, `config.json` and `README.md`; nothing of the hub's is needed to write them."""

    def check(self, exportable: Exportable) -> None:
        """A signal must be one call of one network, whose class and options a file can name."""
        use = _network(exportable)
        _config(use)
        (network,) = exportable.graph.networks.values()
        if others := [name for name, value in network.state_dict().items() if not isinstance(value, Tensor)]:
            raise UsageError(
                f"the hub's file holds tensors only, and {use.part.name} keeps something else as well: {others[0]}",
                "export to ONNX or torch.export instead",
            )

    def write(self, exportable: Exportable, path: Path) -> Exportable:
        path.mkdir()
        (network,) = exportable.graph.networks.values()
        # Tensors of their own memory: safetensors refuses those that share it.
        weights = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
        about = exportable.metadata()
        header = {"format": "pt", **{f"ganforge.{key}": str(value) for key, value in about.items()}}
        save_file(weights, path / WEIGHTS, metadata=header)
        (path / WEIGHTS).chmod(0o644)  # safetensors leaves 0600
        use = _network(exportable)
        (path / CONFIG).write_text(json.dumps(_config(use), indent=2) + "\n", encoding="utf-8")
        (path / CARD).write_text(_card(exportable, use), encoding="utf-8")
        return exportable

    def open(self, exportable: Exportable, path: Path) -> Runner:
        use, graph = _network(exportable), copy.copy(exportable.graph)
        network: nn.Module = use.part.factory(**json.loads((path / CONFIG).read_text(encoding="utf-8")))
        network.load_state_dict(load_file(path / WEIGHTS))
        (name,) = exportable.graph.networks
        graph.networks = nn.ModuleDict({name: network.eval()})
        return lambda inputs: graph(*inputs)


def _network(exportable: Exportable) -> PartUse:
    """The one network whose call the signal is.

    Raises:
        UsageError: it is something else.
    """
    recipe, signal = exportable.trained.recipe, exportable.graph.signal
    call = _single(recipe, signal)
    if call is None:
        single = [
            name for name in possible_signals(recipe, exportable.trained.plan, noise=True) if _single(recipe, name)
        ]
        raise UsageError(
            f"the hub takes one network, and {signal} = {exportable.graph.text} is more than one call of one",
            f"such signals are: {', '.join(single) or 'none'}; ONNX and torch.export take any",
        )
    return recipe.networks[call.name]


def _single(recipe: Recipe, signal: str) -> Call | None:
    """The network's call that a signal is, if no other call is in it."""
    call = _call(recipe, Name.of(signal))
    if call is None or any(dependencies(recipe, each) & set(recipe.networks) for each in call.children):
        return None
    return call


def _call(recipe: Recipe, expression: Expression) -> Call | None:
    """The network's call that this is the result of, or a part of the result."""
    match expression:
        case Attribute(value=inner):
            return _call(recipe, inner)
        case Name(name=name) if name in recipe.signals:
            return _call(recipe, recipe.signals[name].expression)
        case Call(name=name) if name in recipe.networks:
            return expression
    return None


def _config(use: PartUse) -> dict[str, Any]:
    """The constructor's options, its defaults among them: these may change one day.

    Raises:
        UsageError: the network is no class, or an option no JSON.
    """
    if not (inspect.isclass(use.part.factory) and issubclass(use.part.factory, nn.Module)):
        raise UsageError(f"the hub's mixin needs a class, and {use.part.name} is a function; export to ONNX instead")
    parameters = inspect.signature(use.part.factory).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
    config = defaults | use.options
    try:
        return json.loads(json.dumps(config))
    except TypeError as error:
        raise UsageError(f"an option of {use.part.name} cannot be written as JSON: {error}") from error


def _card(exportable: Exportable, use: PartUse) -> str:
    about = exportable.metadata()
    package, name = use.part.factory.__module__, use.part.factory.__qualname__
    distribution = package.partition(".")[0].replace("_", "-")
    rows = "\n".join(f"| {key} | {value} |" for key, value in about.items() if value)
    return f"""---
library_name: ganforge
pipeline_tag: {"image-to-image" if exportable.graph.field else "unconditional-image-generation"}
tags:
  - gan
  - ganforge
  - model_hub_mixin
---

# {about["recipe"]}, {exportable.direction or exportable.graph.signal}

`{about["signal"]}`, where `{next(iter(exportable.graph.networks))}` is this network.

```python
# pip install {distribution} huggingface-hub
from huggingface_hub import PyTorchModelHubMixin
from {package} import {name}

class Pretrained({name}, PyTorchModelHubMixin):
    pass

network = Pretrained.from_pretrained("this folder, or its name on the hub").eval()
```

| | |
|---|---|
{rows}
"""
