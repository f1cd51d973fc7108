"""What the engine makes of `data.augment`: which fields, by which draws, and the same whoever makes a batch."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from documents import blocks
from safetensors.torch import load_file
from tiny import TINY
from torch import Tensor

from ganforge import Dataset, Pixels, Sample, Samples, images, traits
from ganforge.errors import Mark, Source
from ganforge.failures.fault import PartFailed
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import Part
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.recipe.augment_reader import groups_of
from ganforge.recipe.building import Watched
from ganforge.recipe.model import AugmentUse, PartUse
from ganforge.step.augmenting import Augmenter
from ganforge.training.data import Augmented, Skipping, taken
from ganforge.training.loader import Loader

CPU = Precision("fp32", torch.device("cpu"))
REGISTRY = load_plugins().registry
MARK = Mark(Source("test", ""), 0, 0)


class Fields(Dataset):
    """Fields of every type."""

    kinds: Mapping[str, Callable[[random.Random], Tensor]] = {
        "bytes": lambda rng: torch.tensor([rng.randrange(256) for _ in range(3 * 81)]).view(3, 9, 9).to(torch.uint8),
        "deep": lambda rng: torch.tensor([rng.randrange(65536) for _ in range(81)]).view(1, 9, 9).to(torch.uint16),
        "floats": lambda rng: torch.tensor([rng.uniform(-1, 1) for _ in range(5 * 81)]).view(5, 9, 9),
        "mask": lambda rng: torch.tensor([float(rng.random() < 0.5) for _ in range(81)]).view(1, 9, 9),
        "classes": lambda rng: torch.tensor([rng.randrange(9) for _ in range(81)]).view(9, 9),
        "label": lambda rng: torch.tensor(rng.randrange(9)),
    }

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(made(random.Random(0)).shape) for name, made in self.kinds.items()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"mask": torch.float32, "classes": torch.int64, "label": torch.int64}

    def groups(self) -> Sequence[Sequence[str]]:
        return [("bytes", "deep", "mask", "classes")]

    def train(self) -> Samples:
        return Made(self)


class Made(Samples):
    def __init__(self, dataset: Fields) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return 12

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {name: made(rng) for name, made in self.dataset.kinds.items()}


def use(part: Callable[..., Any] | str, *groups: tuple[str, ...], probability: float = 1, **options: Any) -> AugmentUse:
    found = REGISTRY.find("augmentations", part) if isinstance(part, str) else Part("augmentations", "own", "own", part)
    return AugmentUse(PartUse(found, options, MARK), probability, groups)


def by(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    def part(picture: Tensor) -> Tensor:
        return function(picture)

    return part


ALL = ("bytes", "deep", "mask", "classes")
PICTURES = ("bytes", "deep"), ("floats",)
EVERYTHING = [
    use("rotate", ALL, ("floats",), degrees=180.0),
    use("elastic", ALL, ("floats",)),
    use("flip_horizontal", ALL, ("floats",), probability=0.5),
    use("colour", *PICTURES),
    use("gamma", *PICTURES, probability=0.7),
    use("blur", *PICTURES),
    use("noise", *PICTURES),
    use("cutout", *PICTURES),
    use("jpeg", ("bytes",)),
]


def samples(*uses: AugmentUse) -> Samples:
    return Augmented(Made(Fields()), Augmenter(uses, Fields()))


def equal(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_types_and_shapes_stay_and_what_a_part_leaves_is_left_bit_by_bit() -> None:
    same = use(by(lambda picture: picture), ALL, ("floats",))
    for index in range(4):
        before = Made(Fields()).sample(index, random.Random(index))
        assert equal(samples(same).sample(index, random.Random(index)), before)
        after = samples(*EVERYTHING).sample(index, random.Random(index))
        for name, value in before.items():
            assert (after[name].shape, after[name].dtype) == (value.shape, value.dtype)
            assert torch.equal(after[name], value) == (name == "label")
        assert set(after["mask"].unique().tolist()) <= {0, 1}


def test_each_group_has_a_draw_of_its_own_and_its_fields_one() -> None:
    seen: dict[str, list[float]] = {}

    @traits(moves_pixels=True)
    def spy(picture: Tensor, rng: random.Random, *, pixels: Pixels) -> Tensor:
        kind = f"{picture.shape[0]} {picture.dtype} {pixels.smooth} {pixels.black}"
        seen.setdefault(kind, []).append(rng.random())
        [rng.random() for _ in range(picture.shape[0])]  # that it draws more changes nothing for others
        return picture

    samples(use(spy, ALL, ("floats",))).sample(0, random.Random(0))
    first, second, third, fourth, other = seen.values()
    assert first == second == third == fourth != other
    assert list(seen) == [
        "3 torch.float32 True -1.0",
        "1 torch.float32 True -1.0",
        "1 torch.float32 False 0.0",
        "1 torch.int64 False 0.0",
        "5 torch.float32 True -1.0",
    ]
    assert len({value for values in seen.values() for value in values}) == 2


def test_how_often_it_is_applied() -> None:
    def black(picture: Tensor) -> Tensor:
        return torch.full_like(picture, -1)

    some = samples(use(black, ("bytes", "deep"), ("floats",), probability=0.3))
    drawn = [some.sample(0, random.Random(seed)) for seed in range(300)]
    hit = [
        [bool((sample[name].float() == low).all()) for name, low in (("bytes", 0), ("floats", -1))] for sample in drawn
    ]
    assert all(
        bool((sample["deep"].int() == 0).all()) == of_bytes for sample, (of_bytes, _) in zip(drawn, hit, strict=True)
    )
    assert 65 < sum(a for a, _ in hit) < 115
    assert 65 < sum(b for _, b in hit) < 115
    assert sum(a and b for a, b in hit) < 50


def test_what_comes_before_changes_nothing_of_what_comes_after() -> None:
    """Options of one may be changed, and others draw what they drew."""
    plain = samples(use("noise", *PICTURES, most=0.0), use("colour", *PICTURES)).sample(0, random.Random(3))
    other = samples(use("invert", *PICTURES, probability=0.0), use("colour", *PICTURES)).sample(0, random.Random(3))
    assert equal(plain, other)


def test_a_part_may_write_into_what_it_is_given() -> None:
    held = torch.zeros(1, 4, 4)

    class Held(Fields):
        kinds = MappingProxyType({"floats": lambda rng: held})

        def groups(self) -> Sequence[Sequence[str]]:
            return ()

    wrapped = Augmented(Made(Held()), Augmenter([use(by(lambda picture: picture.fill_(0.5)), ("floats",))], Held()))
    assert wrapped.sample(0, random.Random(0))["floats"].unique().tolist() == [0.5]
    assert held.unique().tolist() == [0]


def test_pictures_stay_between_black_and_white() -> None:
    changed = samples(use(by(lambda picture: picture * 3), *PICTURES)).sample(0, random.Random(0))
    assert changed["floats"].abs().max() == 1
    assert changed["bytes"].unique().tolist()[0] == 0


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            lambda picture: picture[:, :4],
            r"it is given a tensor \[3, 9, 9\] and gives a tensor \[3, 4, 9\]: shape, type and device",
        ),
        (lambda picture: picture.double(), r"it is given torch.float32 and gives torch.float64"),
        (lambda picture: None, r"it gives nothing \(None\), not the picture changed"),
    ],
)
def test_what_comes_out_must_be_what_went_in(part: Callable[..., Any], message: str) -> None:
    with pytest.raises(PartFailed, match=message):
        samples(use(by(part), ("bytes",))).sample(0, random.Random(0))


# Whoever makes a batch


def batches(
    count: int, position: int = 0, workers: int = 0, division: Division | None = None
) -> list[dict[str, Tensor]]:
    loader = Loader(samples(*EVERYTHING), division or Division(2), workers, 5, CPU)
    with closing(loader.batches(position)) as made:
        return list(itertools.islice(made, count))


def test_workers_threads_and_resuming_change_nothing() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = batches(8)
        assert torch.get_num_threads() == 2
        helped = batches(8, workers=2)
    finally:
        torch.set_num_threads(threads)
    for ours, theirs in zip(alone, helped, strict=True):
        assert equal(ours, theirs)
    assert equal(batches(1, position=7)[0], alone[7])
    assert not torch.equal(alone[0]["bytes"], batches(1, position=6)[0]["bytes"])  # another epoch, other draws


@pytest.mark.parametrize("ranks", [1, 2])
def test_lanes_and_ranks_change_nothing(ranks: int) -> None:
    whole = batches(2, division=Division(4))
    parts = [batches(4 // ranks, division=Division(2, lanes=2, ranks=ranks, rank=rank)) for rank in range(ranks)]
    made = [each for step in range(2) for part in parts for each in part[step * 2 // ranks : (step + 1) * 2 // ranks]]
    for step, batch in enumerate(whole):
        halves = made[2 * step : 2 * step + 2]
        assert equal(batch, {name: torch.cat([half[name] for half in halves]) for name in batch})


def test_a_batch_is_its_samples() -> None:
    some = samples(*EVERYTHING)
    batch = some.batch([3, 1], [random.Random(3), random.Random(1)])
    for row, index in enumerate((3, 1)):
        assert equal(some.sample(index, random.Random(index)), {name: value[row] for name, value in batch.items()})


def test_bad_files_are_told_through_it() -> None:
    skipping = Skipping(Made(Fields()))
    skipping.met.append("cannot read 3")
    assert taken(Augmented(skipping, Augmenter(EVERYTHING, Fields()))) == ("cannot read 3",)


# Which fields belong together


def test_the_groups_of_datasets() -> None:
    def groups(name: str, **options: Any) -> tuple[tuple[str, ...], ...]:
        part = REGISTRY.find("datasets", name)
        options = part.signature.check({**options, "root": "nowhere"})[0]
        return groups_of(Watched(part.factory(**options), PartUse(part, options, MARK)))

    masked = {"fit": "contain", "mask": True}
    assert groups("unpaired_folders") == (("real_a",), ("real_b",))
    assert groups("unpaired_folders", **masked) == (("real_a", "mask_a"), ("real_b", "mask_b"))
    assert groups("unpaired_shards", **masked) == (("real_a", "mask_a"), ("real_b", "mask_b"))
    assert groups("paired_folders") == groups("paired_shards") == (("real_a", "real_b"),)
    assert groups("paired_folders", **masked) == (("real_a", "mask_a", "real_b", "mask_b"),)
    assert groups("image_folder", **masked) == (("real", "mask"),)
    assert groups("class_folders", classes=3) == (("real",),)
    assert groups_of(Fields()) == (ALL, ("floats",))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([("bytes", "depth")], "groups() names 'depth', and shapes() does not"),
        (
            [("bytes", "deep"), ("deep", "mask")],
            "groups() has 'deep' twice: what corresponds to all of it is one group",
        ),
        ([("bytes", "label")], "cannot correspond pixel by pixel: 'bytes' [3, 9, 9], 'label' []"),
    ],
)
def test_faulty_groups_are_told(groups: list[tuple[str, ...]], message: str) -> None:
    dataset = Fields()
    dataset.groups = lambda: groups  # type: ignore[method-assign]
    with pytest.raises(PartFailed) as refused:
        Watched(dataset, PartUse(Part("datasets", "fields", "own", Fields), {}, MARK)).groups()
    assert message in str(refused.value)


# Told before anything runs

SHRINKING = """
import random
from torch import Tensor
from ganforge import Register, hookimpl

def halve(picture: Tensor) -> Tensor:
    return picture[:, ::2, ::2]

def crash(picture: Tensor, rng: random.Random, most: int = 3) -> Tensor:
    return picture[:, 1000 + rng.randrange(most)]

class Moody:
    def __init__(self, mood: int = 0) -> None:
        raise ValueError("mood is 0; give it another one")

    def __call__(self, picture: Tensor) -> Tensor:
        return picture

@hookimpl
def register_augmentations(register: Register) -> None:
    for part in (halve, crash, Moody):
        register(part.__name__, part)
"""


def test_what_a_part_does_wrong_is_told_by_check_with_its_line(
    in_tmp: Path, repository: Path, ganforge: Callable
) -> None:
    (in_tmp / "shrinking.py").write_text(SHRINKING)
    recipe = repository / "recipes/tiny/cyclegan_shapes.yaml"
    told = ganforge("check", recipe, "-p", "shrinking.py", "data.augment=[halve, crash, {type: Moody}]")
    assert told.code == 2
    assert (
        "halve cannot change 'real_a' [3, 32, 32]: it is given a tensor [3, 32, 32] and gives a tensor [3, 16, 16]"
        in told.err
    )
    assert "crash cannot change 'real_a' [3, 32, 32]: IndexError: index 100" in told.err
    assert "shrinking.py:10 in crash" in told.err
    assert "ganforge.testing.check_augmentation tries it alone" in told.err
    assert "Moody: mood is 0" in told.err
    assert "give it another one" in told.err
    assert told.err.count("data.augment=[halve, crash, {type: Moody}]") == 3  # with a caret below each
    assert ganforge("run", recipe, "-p", "shrinking.py", "data.augment=[halve]").code == 2


def test_what_a_part_does_wrong_in_training_is_told_too(in_tmp: Path, repository: Path, ganforge: Callable) -> None:
    (in_tmp / "late.py").write_text(
        "import random\nfrom torch import Tensor\nfrom ganforge import hookimpl\n\n"
        "calls = []\n\ndef late(picture: Tensor, rng: random.Random) -> Tensor:\n    calls.append(1)\n"
        "    return picture / (len(calls) < 20) if len(calls) < 20 else 1 / 0\n\n"
        "@hookimpl\ndef register_augmentations(register):\n    register('late', late)\n"
    )
    recipe = repository / "recipes/tiny/cyclegan_shapes.yaml"
    told = ganforge("run", recipe, "-p", "late.py", "data.augment=[late]", "run.steps=30")
    assert told.code == 4
    assert "ZeroDivisionError" in told.err
    assert "late.py:9 in late" in told.err
    assert "of a sample cannot be augmented" in told.err


# Whole runs

AUGMENT = (
    "data.augment=[{type: rotate, degrees: 20}, {type: flip_vertical}, {type: colour, fields: [real_a]}, "
    "{type: noise, probability: 0.5}]"
)
STEPS = 6


@pytest.fixture
def run(in_tmp: Path, pair_folders: Path, repository: Path, ganforge: Callable) -> Callable:
    recipe = repository / "recipes/tiny/pix2pix_facades.yaml"
    every = (f"data.root={pair_folders}", "run.checkpoint_every=2", "run.images_every=100", "data.batch_size=2")

    def of(*options: str, out: str = "runs", steps: int = STEPS) -> Any:
        return ganforge("run", recipe, *every, f"run.steps={steps}", "--out", out, *options)

    return of


def weights(out: str) -> dict[str, Tensor]:
    return load_file(Path(out, "pix2pix_facades/0001/checkpoints", f"step_{STEPS:07}", "networks.safetensors"))


@pytest.mark.parametrize("more", [(), ("data.workers=2",), ("data.cache=memory",)])
def test_a_resumed_run_ends_as_one_that_never_stopped(more: tuple[str, ...], run: Callable, ganforge: Callable) -> None:
    done = run(AUGMENT, out="whole")
    assert done.code == 0, done.err
    assert run(AUGMENT, *more, out="parts", steps=2).code == 0
    assert ganforge("run", "parts/pix2pix_facades/0001", "--resume", f"run.steps={STEPS}").code == 0
    assert equal(weights("parts"), weights("whole"))
    assert run(out="plain").code == 0
    assert not equal(weights("plain"), weights("whole"))


def test_other_augmentations_are_another_training(run: Callable, ganforge: Callable) -> None:
    assert run("data.augment=[flip_vertical, {type: rotate, degrees: 20}]", steps=2).code == 0
    folder = "runs/pix2pix_facades/0001"
    resume = ("run", folder, "--resume", f"run.steps={STEPS}")
    refused = ganforge(*resume, "data.augment.1.degrees=10")
    assert refused.code == 2
    assert "data.augment.1.degrees: 20 -> 10" in refused.err
    refused = ganforge(*resume, "data.augment=[{type: flip_vertical}]")
    assert refused.code == 2
    assert "data.augment.0" not in refused.err  # a part that is only named is one without options
    command = next(line for line in refused.err.splitlines() if "--accept-changes" in line).partition("ganforge ")[2]
    assert "data.augment=[" in command
    accepted = ganforge(*resume, "data.augment=[{type: flip_vertical}]", "--accept-changes")
    assert accepted.code == 0, accepted.err
    assert ganforge("run", folder, "--resume", f"run.steps={STEPS + 1}").code == 0


def test_validation_samples_are_as_they_are(run: Callable, ganforge: Callable, in_tmp: Path) -> None:
    from ganforge.recipe import open_recipe
    from ganforge.training.data import augmented, prepare_data, training_samples, validation_samples

    assert run(AUGMENT, steps=2).code == 0
    recipe = open_recipe("runs/pix2pix_facades/0001", (), REGISTRY)
    prepare_data(recipe)
    plain, held_out = training_samples(recipe), validation_samples(recipe)
    assert held_out is not None
    assert equal(held_out.sample(0, random.Random(0)), recipe.dataset.validation().sample(0, random.Random(0)))  # type: ignore[union-attr]
    changed = augmented(recipe, plain).sample(0, random.Random(0))
    assert not equal(plain.sample(0, random.Random(0)), changed)
    bare = open_recipe("runs/pix2pix_facades/0001", ("data.augment=null",), REGISTRY)
    assert augmented(bare, plain) is plain


def test_pictures_of_pairs_stay_aligned() -> None:
    """A picture and its copy, beside a mask that tells the same."""

    picture = images.to_uint8(torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    mask = (images.to_float(picture)[:1] > 0).float()

    class Copies(Fields):
        kinds = MappingProxyType({"one": lambda _: picture, "other": lambda _: picture, "mask": lambda _: mask})

        def groups(self) -> Sequence[Sequence[str]]:
            return [("one", "other", "mask")]

    moved = ("one", "other", "mask")
    uses = [use("rotate_90", moved), use("flip_horizontal", moved, probability=0.5), use("elastic", moved)]
    wrapped = Augmented(Made(Copies()), Augmenter([*uses[:2], use("colour", ("one", "other"))], Copies()))
    exact = Augmented(Made(Copies()), Augmenter(uses[:2], Copies()))
    for seed in range(10):
        sample = wrapped.sample(0, random.Random(seed))
        assert torch.equal(sample["one"], sample["other"])
        sample = exact.sample(0, random.Random(seed))
        assert torch.equal((images.to_float(sample["one"])[:1] > 0).float(), sample["mask"])


def test_the_recipe_of_the_documents_trains(
    in_tmp: Path, pair_folders: Path, repository: Path, ganforge: Callable
) -> None:
    text = next(code for _, code in blocks(repository / "docs/data.md") if code.startswith("# drones.yaml"))
    (in_tmp / "drones.yaml").write_text(text.replace("pix2pix_facades", f"{TINY}/pix2pix_facades.yaml"))
    overrides = (f"data.root={pair_folders}", "run.steps=2")
    assert ganforge("check", "drones.yaml", *overrides, "--data").code == 0
    done = ganforge("run", "drones.yaml", *overrides)
    assert done.code == 0, done.err
