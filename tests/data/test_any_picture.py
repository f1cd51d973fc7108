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

from ganforge import images

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
    text = next(code for _, code in blocks(repository / "docs/data.md") if code.startswith(f"# {name}.yaml"))
    small = re.sub(r"extends: (\w+)", lambda found: f"extends: {TINY}/{found[1]}.yaml", text)
    path = in_tmp / f"{name}.yaml"
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
