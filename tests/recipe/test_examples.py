"""The example that `ganforge parts` gives of a part is valid: it is pasted into a recipe and read."""

from __future__ import annotations

import pytest

from ganforge.errors import Source
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import KINDS_IN_RECIPES, Part
from ganforge.recipe.examples import called, example
from ganforge.recipe.merge import merge
from ganforge.recipe.nodes import Node, parse
from ganforge.recipe.reading import read_recipe

REGISTRY = load_plugins().registry
PARTS = [part for part in REGISTRY.parts.values() if part.kind in KINDS_IN_RECIPES]
RECIPE = """
data: {type: shapes, size_px: 32}
networks: {some_network: {type: cyclegan.patch_discriminator, channels: 8}}
signals: {some_signal: some_network(noise(8))}
players: {some_player: {networks: [some_network], optimizer: adam}}
phases: [{train: some_player, losses: {some_loss: {type: l2, input: some_signal, target: some_signal}}}]
run: {steps: 1}
"""


def node(text: str) -> Node:
    return parse(Source("example", text))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.full_name}")
def test_an_example_can_be_pasted(part: Part) -> None:
    pasted = merge(node(RECIPE), node(example(part)))
    if part.kind == "networks":  # who trains it is for the recipe to say
        pasted = merge(pasted, node("networks: {my_network: {frozen: true}}"))
    recipe = read_recipe(pasted, REGISTRY, "example")
    assert (
        part
        in {
            "datasets": [recipe.data.part],
            "augmentations": [each.use.part for each in recipe.augment],
            "networks": [use.part for use in recipe.networks.values()],
            "ops": [*(use.part for use in recipe.ops.values()), *recipe.functions.values()],
            "schedules": [use.part for use in recipe.schedules.values()],
            "optimizers": [player.optimizer.part for player in recipe.players.values()],
            "losses": [loss.use.part for phase in recipe.phases for loss in phase.losses],
            "metrics": [metric.use.part for metric in recipe.metrics],
            "callbacks": [use.part for use in recipe.callbacks.values() if use],
        }[part.kind]
    )


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (
            "losses",
            "l1",
            "phases:\n  - train: some_player\n    losses:\n      my_loss: {type: l1, input: some_signal, ",
        ),
        ("networks", "resnet_generator", "networks:\n  my_network: {type: cyclegan.resnet_generator, channels: 64, "),
        ("ops", "noise", "signals: {my_signal: noise(8)}"),
        (
            "ops",
            "replay_buffer",
            "ops:\n  my_op: {type: cyclegan.replay_buffer, size: 50}\nsignals: {my_signal: my_op(",
        ),
        ("schedules", "warmup", 'schedules:\n  my_schedule: {type: warmup, over: "50%", start: 0.0}'),
        ("datasets", "image_folder", "data: {type: image_folder, root: some_root, "),
    ],
)
def test_an_example_says_where_it_belongs(kind: str, name: str, expected: str) -> None:
    assert example(REGISTRY.find(kind, name)).startswith(expected)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("networks", "resnet_generator", "my_network(images)"),
        ("ops", "one_hot", "one_hot(labels, classes)"),
        ("ops", "replay_buffer", "my_op(images)"),
        ("losses", "l1", ""),
    ],
)
def test_how_expressions_call_a_part(kind: str, name: str, expected: str) -> None:
    assert called(REGISTRY.find(kind, name)) == expected
