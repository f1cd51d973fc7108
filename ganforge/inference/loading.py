"""`ganforge.load`: a trained run, from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ganforge.inference.translate.translator import Tile, Translator
from ganforge.plugins.loading import load_plugins
from ganforge.sharing.locate import run_in


def load(
    path: str | os.PathLike[str],
    *,
    direction: str | None = None,
    signal: str | None = None,
    device: str = "auto",
    averaged: bool = True,
    precision: str = "auto",
    tile: Tile = "auto",
    seed: int = 0,
    whole: bool = False,
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> Translator:
    """A trained run, ready to translate: `translate = ganforge.load("runs/x/0001"); result = translate(image)`.

    Args:
        path: the run's folder, or a checkpoint's, or a bundle.
        plugins: plain files to load as plugins, beside those that are installed.
        direction, signal, device, averaged, precision, tile, seed, whole: as `Translator.open`.

    Raises:
        UsageError: the run has no checkpoint, or no such direction or signal.
        RecipeError: a plugin that its recipe names is not installed.
    """
    registry = load_plugins([Path(file) for file in plugins]).registry
    return Translator.open(
        run_in(Path(path), registry),
        registry,
        direction=direction,
        signal=signal,
        device=device,
        averaged=averaged,
        precision=precision,
        tile=tile,
        seed=seed,
        whole=whole,
    )
