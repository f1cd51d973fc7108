"""A real run of a toy GAN, in a second."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ganforge.plugins.loading import Plugins, load_plugins
from ganforge.recipe.merge import load
from ganforge.recipe.reading import read_recipe
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder

RECIPE = """
data: {type: shapes, size_px: 8, count: 8, validation: 2, batch_size: 2}
networks:
  G_ab: {type: toy.paint}
  D_b: {type: toy.judge}
signals: {fake_b: G_ab(real_a)}
players:
  generator: {networks: [G_ab], optimizer: {type: sgd, lr: 2e-3}}
  discriminator: {networks: [D_b], optimizer: {type: sgd, lr: 1e-3}}
phases:
  - train: generator
    losses:
      adversarial: {type: fool, fake: D_b(fake_b)}
      colour_a: {type: l1, input: fake_b, target: real_a, weight: 5}
      colour_b: {type: l2, input: fake_b, target: real_a}
      colour_c: {type: l2, input: fake_b, target: real_a}
      colour_d: {type: smooth_l1, input: fake_b, target: real_a}
  - train: discriminator
    losses: {judge: {type: catch, real: D_b(real_b), fake: D_b(fake_b)}}
metrics:
  a_to_b: {type: translation_error, translated: fake_b, original: real_a, truth: true_b}
  light: {type: brightness, input: fake_b}
run:
  steps: 6
  device: cpu
  images: [real_a, fake_b]
  images_every: 2
  log_every: 1
  metrics_every: 3
  checkpoint_every: 2
"""

MakeRun = Callable[..., Run]


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load_plugins([Path(__file__).with_name("toy.py")])


@pytest.fixture
def make_run(plugins: Plugins, tmp_path: Path) -> Iterator[MakeRun]:
    """Makes a run in the folder `tmp_path / "run"`, as `ganforge run` does; with `resume`, one that goes on there."""

    def make(*overrides: str, resume: bool = False) -> Run:
        path = tmp_path / "toy.yaml"
        path.write_text(RECIPE)
        recipe = read_recipe(load(path, overrides), plugins.registry, "toy")
        folder = RunFolder(tmp_path / "run", {"machine": {"device": "cpu"}, "versions": {}})
        folder.path.mkdir(exist_ok=True)
        run = Run(recipe, folder, plugins.registry)
        if not resume or not run.resume():
            run.start()
        return run

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make
    torch.set_num_threads(threads)


@pytest.fixture
def finished(make_run: MakeRun) -> Run:
    """A run that has ended well."""
    run = make_run()
    assert run.train() == "finished"
    return run
