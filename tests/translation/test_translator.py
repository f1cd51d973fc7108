"""`ganforge.load(path)(image)`: every kind of picture, every size, every direction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from translation.pictures import noise, scenery

import ganforge
from ganforge import images
from ganforge.errors import UsageError
from ganforge.inference.translate import Translator
from ganforge.inference.translate.padding import continued, scale_of


@pytest.fixture(scope="module")
def translate(unpaired: Path) -> Translator:
    return ganforge.load(unpaired, device="cpu")


def network(translator: Translator, name: str) -> torch.nn.Module:
    return translator.trained.cast.networks[name]


def test_floats_are_what_the_network_makes_of_them(translate: Translator) -> None:
    picture = scenery(32, 40)
    with torch.inference_mode():
        expected = network(translate, "G_ab")(picture)
    assert torch.equal(translate(picture), expected)
    assert torch.equal(translate(picture[0]), expected[0])
    assert torch.equal(translate(picture[0].double()), expected[0].double())


def test_each_kind_of_picture_gives_its_own_kind(translate: Translator, tmp_path: Path) -> None:
    tensor = noise(36, 28)
    made = translate(tensor)
    assert made.dtype == torch.uint8
    assert torch.equal(made, images.to_uint8(translate(images.to_float(tensor))))
    array = tensor.permute(1, 2, 0).numpy()
    assert np.array_equal(translate(array), made.permute(1, 2, 0).numpy())
    assert translate(array.astype(np.uint16) * 257).dtype == np.uint16
    pillow = Image.fromarray(array)
    assert np.array_equal(np.asarray(translate(pillow)), translate(array))
    pillow.save(tmp_path / "x.png")
    for path in (tmp_path / "x.png", str(tmp_path / "x.png")):
        assert np.array_equal(np.asarray(translate(path)), translate(array))


def test_16_bits_are_not_rounded_to_8(translate: Translator) -> None:
    deep = (noise(32, 32).to(torch.int32) * 257 + 100).clamp(max=65535).to(torch.uint16)
    made = translate(deep)
    exact = translate(images.to_float(deep))
    assert made.dtype == torch.uint16
    assert (images.to_float(made) - exact).abs().max() < 1 / 65535 + 1e-6


def test_grey_pictures_for_a_network_of_colours_and_back(translate: Translator) -> None:
    grey = noise(32, 32, 1)
    assert torch.equal(translate(grey), translate(grey.repeat(3, 1, 1)))
    assert translate(grey[0].numpy()).shape == (32, 32, 3)
    single = ganforge.load(translate.trained.folder)
    single.trained.recipe.dataset.shapes = lambda: {"real_a": (1, 32, 32)}  # type: ignore[method-assign]
    assert single.channels == 1


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (3, "this is no picture: int"),
        (np.zeros((4, 4, 3)), r"this is no picture: ndarray float64 \[4, 4, 3\]"),
        (torch.zeros(4, 4), r"this is no picture: Tensor torch.float32 \[4, 4\]"),
        (torch.zeros(2, 4, 4), "this picture has 2 channels, and the networks take 3"),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused(translate: Translator, thing: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        translate(thing)
    assert "a path, a Pillow image" in str(refused.value)


def test_directions_and_signals(unpaired: Path) -> None:
    assert ganforge.load(unpaired).signal == "fake_b"
    back = ganforge.load(unpaired, direction="b2a")
    assert (back.signal, back.choice.field) == ("fake_a", "real_b")
    picture = scenery(32, 32)
    with torch.inference_mode():
        assert torch.equal(back(picture), network(back, "G_ba")(picture))
    both = ganforge.load(unpaired, signal="rec_a")
    there = ganforge.load(unpaired)
    assert torch.allclose(both(picture), back(there(picture)), atol=1e-6)
    assert there.back is not None
    assert torch.equal(there.back(picture), both(picture))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"direction": "a2c"}, "'a2c' is no direction of unpaired; did you mean 'a2b'?"),
        ({"direction": "up"}, "'up' is no direction of unpaired; known: a2b, b2a"),
        ({"signal": "fake_c"}, "'fake_c' is no signal of unpaired that one picture gives; such are: fake_b"),
        ({"direction": "a2b", "signal": "fake_b"}, "give a direction or a signal, not both"),
    ],
    ids=str,
)
def test_what_a_recipe_does_not_have(unpaired: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        ganforge.load(unpaired, **options)  # type: ignore[arg-type]
    assert told in str(refused.value)


def test_a_signal_that_draws_gives_each_picture_the_same_style(styled: Path) -> None:
    translate = ganforge.load(styled)
    assert translate.choice.draws
    batch = torch.cat((scenery(32, 32), scenery(32, 32)))
    state = torch.random.get_rng_state()
    made = translate(batch)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made, translate(batch))
    assert not torch.equal(ganforge.load(styled, seed=1)(batch), made)


def test_tiles_with_a_style_are_as_the_whole(styled: Path) -> None:
    picture = scenery(150, 130)
    whole = ganforge.load(styled, tile="off")(picture)
    assert (ganforge.load(styled, tile=64)(picture) - whole).abs().max() < 1e-4


def test_learnt_weights_in_tiles_are_as_the_whole(translate: Translator, unpaired: Path) -> None:
    picture = scenery(200, 180)
    told: list[str] = []
    tiled = Translator.open(unpaired, _registry(), tile=64, tell=told.append)
    assert (tiled(picture) - translate(picture)).abs().max() < 1e-4
    assert told == ["fake_b of large pictures: tiles of 64 pixels, with the whole picture's statistics, in 8 passes"]


def _registry() -> Any:
    from ganforge.plugins.loading import load_plugins

    return load_plugins(()).registry


def test_large_pictures_are_tiled_by_themselves(unpaired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganforge.inference.translate import translator

    monkeypatch.setattr(translator, "WHOLE_PIXELS", 128 * 128)
    told: list[str] = []
    translate = Translator.open(unpaired, _registry(), tell=told.append)
    translate(scenery(128, 128))
    assert told == []
    translate(scenery(128, 132))
    translate(scenery(132, 128))
    assert len(told) == 1


@pytest.mark.parametrize("size", [(33, 50), (64, 31)], ids=str)
@pytest.mark.parametrize("tile", ["off", 64])
def test_sizes_that_a_network_does_not_take_are_continued(halving: Path, size: tuple[int, int], tile: Any) -> None:
    translate = ganforge.load(halving, tile=tile)
    assert translate(noise(*size)).shape[1:] == size


def test_continued_is_reflected_at_the_end() -> None:
    row = torch.tensor([[[1, 2, 3]]])
    assert continued(row, 4).tolist() == [[[1, 2, 3, 2]] + [[1, 2, 3, 2]] * 3]
    assert torch.equal(continued(row, 1), row)
    assert continued(torch.zeros(1, 3, 3, dtype=torch.uint16), 8).shape == (1, 8, 8)
    wide = torch.rand(1, 1, 4, 6)
    assert torch.equal(continued(wide, 4)[..., :], torch.nn.functional.pad(wide, (0, 2, 0, 0), mode="reflect"))


@pytest.mark.parametrize(
    ("given", "made", "scale"),
    [((37, 50), (40, 52), 1), ((10, 10), (20, 20), 2), ((10, 10), (5, 5), 0.5), ((50, 50), (48, 48), None)],
)
def test_the_scale_of_a_result(given: tuple[int, int], made: tuple[int, int], scale: float | None) -> None:
    assert scale_of(torch.zeros(given), torch.zeros(made)) == scale


def test_a_size_that_does_not_fit_at_all(unpaired: Path) -> None:
    translate = ganforge.load(unpaired)
    network(translate, "G_ab").forward = _refuse  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"cannot take a picture of 8 x 9 pixels: I want 7\n  try --size 256"):
        translate(noise(8, 9))


def _refuse(picture: torch.Tensor) -> torch.Tensor:
    raise ValueError("I want 7")


def test_too_little_memory_is_told(unpaired: Path) -> None:
    def full(picture: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    translate = ganforge.load(unpaired)
    network(translate, "G_ab").forward = full  # type: ignore[method-assign]
    with pytest.raises(ganforge.EnvironmentFault, match="memory does not suffice for 1 x 8 x 9 pixels"):
        translate(noise(8, 9))


def test_loading_says_nothing_and_three_lines_suffice(unpaired: Path, tmp_path: Path) -> None:
    images.write_image(tmp_path / "x.png", noise(24, 20))
    program = (
        f"import ganforge\ntranslate = ganforge.load({str(unpaired)!r})\n"
        f"translate({str(tmp_path / 'x.png')!r}).save({str(tmp_path / 'y.png')!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert Image.open(tmp_path / "y.png").size == (20, 24)


def test_a_missing_plugin_is_named(unpaired: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(unpaired, run)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("cyclegan.resnet_generator", "elsewhere.resnet_generator"))
    with pytest.raises(ganforge.RecipeError, match="elsewhere"):
        ganforge.load(run)
