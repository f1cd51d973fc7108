"""Pictures of every kind, from the inspection of their files to an exported network: the recipes of docs/data.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from documents import blocks
from PIL import Image
from tiny import TINY
from torch import Tensor

from ganforge import UsageError, images, load

SIZE = (40, 70)


def smooth(seed: int, channels: int, size: tuple[int, int] = SIZE) -> Tensor:
    """Floats in `[0, 1]`, `[channels, H, W]`."""
    coarse = torch.rand(1, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear")[0]


def bytes_of(picture: Tensor) -> Tensor:
    return (picture * 255).round().to(torch.uint8)


def deep_of(picture: Tensor, white: int = 65535) -> Tensor:
    return (picture * white).round().to(torch.int32).to(torch.uint16)


def floats_of(picture: Tensor) -> Tensor:
    return picture.mean(0, keepdim=True) * 50 - 10


@dataclass(frozen=True)
class Kind:
    """Pictures of a recipe in the documents."""

    suffixes: tuple[str, str]
    a: Callable[[Tensor], Tensor]
    b: Callable[[Tensor], Tensor]
    channels: int
    result: tuple[str, int, torch.dtype]
    settings: list[str] = field(default_factory=list)


SMALL = ["data.load_px=[18,34]", "data.crop_px=[16,32]"]
KINDS = {
    "photos": Kind((".jpg", ".png"), bytes_of, bytes_of, 3, (".png", 3, torch.uint8), SMALL),
    "bands": Kind((".tiff", ".tiff"), lambda p: deep_of(p, 10000), floats_of, 5, (".tiff", 1, torch.float32)),
    "icons": Kind((".png", ".png"), bytes_of, bytes_of, 4, (".png", 4, torch.uint8)),
    "infrared": Kind((".png", ".jpg"), deep_of, lambda p: bytes_of(p.repeat(3, 1, 1)), 1, (".png", 3, torch.uint8)),
}


@pytest.fixture
def recipe(request: pytest.FixtureRequest, in_tmp: Path, repository: Path) -> Path:
    """A recipe of the documents, on the small twin of what it extends, beside pictures for it."""
    name = request.param
    kind = KINDS[name]
    for folder, count in (("train", 4), ("test", 2)):
        for domain, suffix, made in zip("AB", kind.suffixes, (kind.a, kind.b), strict=True):
            (in_tmp / name / f"{folder}{domain}").mkdir(parents=True)
            for number in range(count):
                picture = made(smooth(number + 10 * (domain == "B"), kind.channels))
                images.write_image(in_tmp / name / f"{folder}{domain}/{number}{suffix}", picture)
    return documented(name, in_tmp, repository)


def documented(name: str, folder: Path, repository: Path) -> Path:
    """A recipe of the documents, on the small twin of what it extends."""
    text = next(code for _, code in blocks(repository / "docs/data.md") if code.startswith(f"# {name}.yaml"))
    small = re.sub(r"extends: (\w+)", lambda found: f"extends: {TINY}/{found[1]}.yaml", text)
    path = folder / f"{name}.yaml"
    path.write_text(small)
    return path


def done(outcome: object) -> str:
    assert outcome.code == 0, outcome.err  # type: ignore[attr-defined]
    return str(outcome.out)  # type: ignore[attr-defined]


@pytest.mark.parametrize("recipe", KINDS, indirect=True)
def test_every_kind_goes_the_whole_way(recipe: Path, in_tmp: Path, ganforge: Callable) -> None:
    name, kind, cycles = recipe.stem, KINDS[recipe.stem], "cyclegan" in recipe.read_text()
    settings = ["run.device=cpu", *kind.settings]
    inspected = done(ganforge("data", "inspect", recipe, *settings))
    assert "12 pictures" in inspected
    assert "cannot be read" not in inspected
    assert "training sample" in done(ganforge("data", "show", recipe, *settings, "-o", "samples.png"))
    done(ganforge("check", recipe, "--data", *settings))
    done(ganforge("run", recipe, *settings, "run.steps=2"))
    done(ganforge("run", recipe, *settings, "run.steps=4", "--resume"))
    run = f"runs/{name}/0001"
    done(ganforge("translate", run, f"{name}/testA", "-o", "out", "--compare"))
    suffix, channels, dtype = kind.result
    results = sorted(Path("out").glob("*.*"))
    assert [path.name for path in results if path.suffix != ".jsonl"] == [f"0{suffix}", f"1{suffix}"]
    depth = {torch.uint8: 8, torch.uint16: 16, torch.float32: "float"}[dtype]
    storage = images.Storage(channels, depth, "file" if dtype == torch.float32 else None)  # type: ignore[arg-type]
    assert storage.read(results[0]).shape == (channels, *SIZE)
    if dtype == torch.float32:
        values = np.array(Image.open(results[0]))
        assert values.min() >= -10
        assert values.max() <= 40
    measured = ["metrics.error={type: absolute_error, input: rec_a, target: real_a}"] if cycles else []
    done(ganforge("evaluate", run, *measured))
    done(ganforge("gallery", run, "-o", "page.html"))
    done(ganforge("export", run, "-f", "onnx", "-o", "model.onnx"))


CROP = ["data.crop_px=32", "data.workers=0"]


@pytest.fixture
def rooms(in_tmp: Path, repository: Path) -> Path:
    for split, count in (("train", 4), ("test", 2)):
        for number in range(count):
            there = smooth(number, 3)
            depth = deep_of(there[:1], 10000)
            mask = bytes_of((there[:1] > 0.5).float())
            made = {"photos": bytes_of(there), "depths": depth, "masks": mask, "normals": bytes_of(1 - there)}
            for folder, picture in made.items():
                (in_tmp / f"rooms/{split}/{folder}").mkdir(parents=True, exist_ok=True)
                images.write_image(in_tmp / f"rooms/{split}/{folder}/{number}.png", picture)
    return documented("rooms", in_tmp, repository)


def test_two_pictures_and_a_mask_go_the_whole_way(rooms: Path, ganforge: Callable) -> None:
    done(ganforge("data", "show", rooms, *CROP, "-o", "samples.png"))
    done(ganforge("check", rooms, *CROP, "--data"))
    turned = "data.augment=[{type: rotate, degrees: 15}, {type: colour, brightness: 0.2, fields: [photo]}]"
    done(ganforge("run", rooms, *CROP, turned, "run.steps=2"))
    done(ganforge("run", rooms, *CROP, turned, "run.steps=4", "--resume"))
    others = ["--input", "depth=rooms/test/depths", "--input", "inside=rooms/test/masks"]
    missing = ganforge("translate", "runs/rooms/0001", "rooms/test/photos", "-o", "out", *others[:2])
    assert missing.code == 2
    assert "'fake_b' also takes inside\n" in missing.err
    done(ganforge("translate", "runs/rooms/0001", "rooms/test/photos", "-o", "out", *others))
    done(ganforge("evaluate", "runs/rooms/0001"))
    done(ganforge("gallery", "runs/rooms/0001", "-o", "page.html"))
    done(ganforge("export", "runs/rooms/0001", "-f", "onnx", "-o", "model.onnx"))

    import onnxruntime

    session = onnxruntime.InferenceSession("model.onnx")
    assert [given.name for given in session.get_inputs()] == ["photo", "depth", "inside"]
    translate = load("runs/rooms/0001", device="cpu")
    made = translate("rooms/test/photos/0.png", depth="rooms/test/depths/0.png", inside="rooms/test/masks/0.png")
    assert np.array_equal(np.array(made), np.array(Image.open("out/0.png")))
    with pytest.raises(UsageError, match="the picture is 70x40, and depth is 7x4"):
        translate("rooms/test/photos/0.png", depth=np.zeros((4, 7), np.uint16), inside="rooms/test/masks/0.png")
    with pytest.raises(UsageError, match="'fake_b' takes no 'dept'"):
        translate("rooms/test/photos/0.png", dept=1)


def test_what_has_no_partner_is_told_and_the_others_go_on(rooms: Path, ganforge: Callable) -> None:
    done(ganforge("run", rooms, *CROP, "run.steps=1"))
    Path("rooms/test/depths/1.png").unlink()
    others = ["--input", "depth=rooms/test/depths", "--input", "inside=rooms/test/masks"]
    outcome = ganforge("translate", "runs/rooms/0001", "rooms/test/photos", "-o", "out", *others)
    assert outcome.code == 3
    assert "rooms/test/photos/1.png has no depth of its name in rooms/test/depths" in outcome.err
    assert "1 of 2 pictures are in out" in outcome.out


def test_classes_of_a_table_go_the_whole_way(in_tmp: Path, repository: Path, ganforge: Callable) -> None:
    moods = ("angry", "calm", "happy")
    (in_tmp / "faces/photos").mkdir(parents=True)
    lines = ["file,mood"]
    for number in range(6):
        images.write_image(in_tmp / f"faces/photos/{number}.png", bytes_of(smooth(number, 3)))
        lines.append(f"photos/{number}.png,{moods[number % 3]}")
    (in_tmp / "faces/faces.csv").write_text("\n".join(lines))
    recipe = documented("faces", in_tmp, repository)
    settings = ["data.crop_px=16", "data.fields.label.classes=[angry,calm,happy]"]
    done(ganforge("check", recipe, "--data", *settings))
    done(ganforge("run", recipe, *settings, "run.steps=2"))
    done(ganforge("run", recipe, *settings, "run.steps=4", "--resume"))
    for mood in ("happy", "2", "calm"):
        done(ganforge("translate", "runs/faces/0001", "faces/photos", "-o", mood, "--input", f"label={mood}"))
    happy, same, calm = (np.array(Image.open(f"{folder}/0.png")) for folder in ("happy", "2", "calm"))
    assert np.array_equal(happy, same)
    assert not np.array_equal(happy, calm)
    wrong = ganforge("translate", "runs/faces/0001", "faces/photos", "-o", "x", "--input", "label=glad")
    assert wrong.code == 2
    assert "label is one of angry, calm, happy, and 'glad' was given" in wrong.err
    done(ganforge("export", "runs/faces/0001", "-f", "onnx", "-o", "model.onnx", "--signal", "to_1"))


def test_folders_of_inputs_are_looked_at_once(rooms: Path, ganforge: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    done(ganforge("run", rooms, *CROP, "run.steps=1"))
    listed: list[str] = []
    iterdir = Path.iterdir

    def listing(self: Path) -> object:
        listed.append(self.name)
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", listing)
    others = ["--input", "depth=rooms/train/depths", "--input", "inside=rooms/train/masks"]
    done(ganforge("translate", "runs/rooms/0001", "rooms/train/photos", "-o", "out", *others))
    assert (listed.count("depths"), listed.count("masks")) == (1, 1)
    assert len(list(Path("out").glob("*.png"))) == 4
