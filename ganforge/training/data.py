"""How everything that reads the data of a recipe gets at it."""

from __future__ import annotations

from pathlib import Path

from ganforge.api.datasets import Samples
from ganforge.errors import Problem, RecipeError
from ganforge.images.listing import did_you_mean
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import Node
from ganforge.rehearsal.random_data import RandomData
from ganforge.training.bad_files import Skipping


def prepare_data(recipe: Recipe) -> None:
    """Find the recipe's data, or download them, but into the recipe's own folder only.

    Raises:
        RecipeError: they would be downloaded into a folder that is not there, and that was named elsewhere than the
            download: it may be mistyped.
        EnvironmentFault: something is missing or broken.
    """
    if not isinstance(recipe.dataset, RandomData):
        _refuse_strange_download(recipe)
    recipe.dataset.prepare()


def training_samples(recipe: Recipe) -> Samples:
    """The training samples; bad files are skipped if the recipe says so."""
    return _skipping(recipe, recipe.dataset.train())


def validation_samples(recipe: Recipe) -> Samples | None:
    """The validation samples, if there are some; bad files are skipped if the recipe says so."""
    samples = recipe.dataset.validation()
    return None if samples is None else _skipping(recipe, samples)


def _skipping(recipe: Recipe, samples: Samples) -> Samples:
    return Skipping(samples) if recipe.loader.on_bad_file == "skip" else samples


def _refuse_strange_download(recipe: Recipe) -> None:
    entries = recipe.node.mapping()["data"].mapping()
    root, download = entries.get("root"), entries.get("download")
    if not _is_text(root) or not _is_text(download) or root.mark.source.name == download.mark.source.name:  # type: ignore[union-attr]
        return
    assert root is not None
    assert download is not None
    folder = Path(root.text()).expanduser()
    if folder.is_dir() and any(folder.iterdir()):
        return
    problem = Problem(
        f"there is nothing in '{root.value}', and '{download.value}' is not downloaded into a folder that was named "
        f"elsewhere than the download{did_you_mean(folder)}",
        root.mark,
        f"correct data.root; or download it there on purpose:\n"
        f"ganforge data download {download.value} --root {root.value}",
    )
    raise RecipeError([problem])


def _is_text(node: Node | None) -> bool:
    return node is not None and isinstance(node.value, str)
