"""What stands behind `torch.compile`: its settings, and its generator of code."""

from __future__ import annotations

from typing import Any

import torch._functorch.config as functorch_config

from ganforge.core.torch_internals.postponing import compiler


def prepare_compiler(graphs: int) -> None:
    """Let so many graphs be compiled of one function, and memory be read again after a backward pass."""
    # Networks of one class share what torch counts: frozen or not, with and without a graph, for each batch size.
    limits = compiler().config
    limits.recompile_limit = max(graphs, limits.recompile_limit)
    # Memory that a backward pass gives away cannot be read again, as a step that is examined does, loss by loss.
    functorch_config.donated_buffer = False


def generate(graph: Any, inputs: list[Any], options: dict[str, Any]) -> Any:
    """Generate code for a graph."""
    from torch._inductor.compile_fx import compile_fx

    return compile_fx(graph, inputs, config_patches=options)
