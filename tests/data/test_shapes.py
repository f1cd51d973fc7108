import random

import torch

from ganforge.builtin.datasets import Shapes
from ganforge.builtin.datasets.shapes import Disc, draw_scene


def test_fields_have_the_promised_shapes() -> None:
    dataset = Shapes(size_px=32, count=3, validation=2)
    train, validation = dataset.train(), dataset.validation()
    assert (len(train), len(validation)) == (3, 2)
    for samples, shapes in ((train, dataset.shapes()), (validation, dataset.validation_shapes())):
        sample = samples.sample(1, random.Random(0))
        assert {name: tuple(image.shape) for name, image in sample.items()} == dict(shapes)
        assert all(image.dtype == torch.uint8 and image.min() < image.max() for image in sample.values())


def test_pictures_depend_on_their_index_alone() -> None:
    torch.manual_seed(1)
    one = Shapes(size_px=32, count=2).train()
    torch.manual_seed(2)
    random.seed(2)
    other = Shapes(size_px=32, count=4).train()  # more of them changes none
    for index in range(2):
        left, right = one.sample(index, random.Random(0)), other.sample(index, random.Random(5))
        assert torch.equal(left["real_a"], right["real_a"])
    pictures = {other.sample(0, random.Random(seed))["real_b"].numpy().tobytes() for seed in range(40)}
    assert len(pictures) == 4  # B's picture is drawn


def test_the_truth_is_the_same_scene_in_the_other_domain() -> None:
    validation = Shapes(validation=8).validation()
    for index in range(8):
        sample = validation.sample(index, random.Random(0))
        for left, right in (("real_a", "true_b"), ("true_a", "real_b")):
            changed = (sample[left] != sample[right]).any(0)
            assert 0.01 < changed.float().mean() < 0.6
            assert torch.equal(sample[left][:, ~changed], sample[right][:, ~changed])  # the ground stays
        assert not torch.equal(sample["real_a"], sample["true_a"])


def test_domains_are_brown_and_white_on_green() -> None:
    for seed in range(10):
        in_a, in_b = (image.float() / 255 for image in draw_scene(random.Random(seed), 64))
        disc = (in_a != in_b).any(0)
        red, green, _ = in_a[:, disc].mean(1)
        assert red > green + 0.1
        assert in_b[:, disc].amin(0).max() > 0.85  # white
        assert in_b[:, disc].amax(0).min() < 0.25  # rim
        ground = in_a[:, ~disc]
        assert ground[1].mean() > ground[0].mean() > ground[2].mean()
        assert 0.005 < ground.std(1).max() < 0.08  # a texture, of a narrow palette


def test_training_and_validation_scenes_differ() -> None:
    dataset = Shapes(size_px=32, count=4, validation=4)
    train = [dataset.train().sample(i, random.Random(0))["real_a"] for i in range(4)]
    unseen = [dataset.validation().sample(i, random.Random(0))["real_a"] for i in range(4)]
    assert not any(torch.equal(left, right) for left in train for right in unseen)


def test_discs_do_not_overlap() -> None:
    assert Disc(0.5, 0.5, 0.1).meets(Disc(0.65, 0.5, 0.1))
    assert not Disc(0.5, 0.5, 0.1).meets(Disc(0.75, 0.5, 0.1))
