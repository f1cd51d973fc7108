"""Runs of wicks that were published in 2019."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganforge import Imported, Recognise, Recognised, UsageError


def import_lantern(weights: Mapping[str, Mapping[str, Tensor]], recognise: Recognise) -> Imported:
    """The wick `G`.

    Raises:
        UsageError: there is none.
    """
    if "G" not in weights:
        raise UsageError("no file is a wick: give one")
    wick: Recognised = recognise("G", "lantern.wick")
    return Imported("lantern.lantern", {"G": wick}, {"run.steps": 5})
