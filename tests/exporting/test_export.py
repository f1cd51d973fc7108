"""Files for others: what they make is what the run makes, or they are not written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ganforge.images import write_image
from ganforge.inference.export import FORMATS
from ganforge.inference.export.exportable import prepare
from ganforge.inference.trained_run import open_trained
from ganforge.plugins.loading import load_plugins
from ganforge_cyclegan.generators import ResnetGenerator

SHAPES = [(1, 3, 32, 32), (2, 3, 16, 48), (3, 3, 44, 20)]


def generator(run: Path, weights: str, name: str = "G_ab") -> nn.Module:
    """The network of the tiny recipe with weights of the newest checkpoint, read by hand."""
    tensors = load_file(sorted((run / "checkpoints").iterdir())[-1] / f"{weights}.safetensors")
    network = ResnetGenerator(channels=4, blocks=1)
    network.load_state_dict({k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")})
    return network.eval()


def pictures(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) * 2 - 1


def assert_same(run: Callable[[Tensor], Tensor], network: nn.Module) -> None:
    for shape in SHAPES:
        with torch.no_grad():
            torch.testing.assert_close(run(pictures(shape)), network(pictures(shape)), atol=1e-4, rtol=0)


def onnx_session(path: Path) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_onnx_makes_the_same_pictures_in_onnxruntime(ganforge: Callable, unpaired: Path, in_tmp: Path) -> None:
    outcome = ganforge("export", unpaired, "--format", "onnx", "-o", "out.onnx")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[:3] == [
        "fake_b = G_ab(real_a), averaged weights of step_0000002",
        "pictures from 8 x 8 pixels on",
        "largest differences to the run, on samples of the recipe's data:",
    ]
    assert [line.split("   ")[0].strip() for line in lines[3:-1]] == [
        f"{count} x 3 x {size}" for size in ("32 x 32", "16 x 40", "40 x 32") for count in (1, 2)
    ]
    assert lines[-1] == "written to out.onnx"
    assert [path.name for path in in_tmp.iterdir()] == ["out.onnx"]
    session = onnx_session(in_tmp / "out.onnx")
    assert [(each.name, each.shape) for each in session.get_inputs()] == [("real_a", ["batch", 3, "height", "width"])]
    assert [each.name for each in session.get_outputs()] == ["fake_b"]
    about = session.get_modelmeta().custom_metadata_map
    assert about["ganforge.weights"] == "averaged (EMA)"
    assert about["ganforge.direction"] == "a2b"
    assert about["ganforge.step"] == "2"
    assert_same(lambda x: torch.from_numpy(session.run(None, {"real_a": x.numpy()})[0]), generator(unpaired, "ema"))


def test_torch_export_makes_the_same_pictures(ganforge: Callable, unpaired: Path, in_tmp: Path) -> None:
    outcome = ganforge("export", unpaired, "--format", "torch", "-o", "out.pt2", "--direction", "b2a")
    assert (outcome.code, outcome.err) == (0, "")
    extra = {"ganforge.json": ""}
    module = torch.export.load("out.pt2", extra_files=extra).module()
    assert json.loads(extra["ganforge.json"])["signal"] == "fake_a = G_ba(real_b)"
    assert_same(module, generator(unpaired, "ema", "G_ba"))


@pytest.mark.parametrize(("options", "weights"), [((), "ema"), (("--raw",), "networks")])
def test_the_hub_s_mixin_reads_the_folder(
    ganforge: Callable, unpaired: Path, in_tmp: Path, options: tuple[str, ...], weights: str
) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface-hub is not installed")
    outcome = ganforge("export", unpaired, "--format", "hub", "-o", "model", *options)
    assert (outcome.code, outcome.err) == (0, "")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (in_tmp / "model").iterdir())

    class Pretrained(ResnetGenerator, hub.PyTorchModelHubMixin):
        pass

    network = Pretrained.from_pretrained(in_tmp / "model", local_files_only=True).eval()
    expected = generator(unpaired, weights)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in network.state_dict().items())
    assert_same(network, expected)
    card = hub.ModelCard.load(in_tmp / "model" / "README.md")
    assert card.data.pipeline_tag == "image-to-image"
    assert "from ganforge_cyclegan.generators import ResnetGenerator" in card.text


def test_sizes_that_a_network_refuses_are_not_promised(ganforge: Callable, halving: Path, in_tmp: Path) -> None:
    outcome = ganforge("export", halving, "--format", "torch", "-o", "out.pt2")
    assert outcome.code == 0, outcome.err
    assert "pictures from 32 x 32 pixels on, multiples of 32" in outcome.out
    assert "on smooth random pictures" in outcome.out
    module = torch.export.load("out.pt2").module()
    assert module(torch.zeros(3, 3, 96, 32)).shape == (3, 3, 96, 32)
    with pytest.raises(AssertionError, match="Guard failed"):
        module(torch.zeros(1, 3, 48, 32))


def test_what_ops_draw_is_an_input(ganforge: Callable, from_noise: Path, in_tmp: Path) -> None:
    outcome = ganforge("export", from_noise, "--format", "torch", "-o", "noise.pt2")
    assert outcome.code == 0, outcome.err
    assert "on random numbers:\n  1 x 64" in outcome.out
    module = torch.export.load("noise.pt2").module()
    assert module(torch.zeros(5, 64)).shape == (5, 3, 16, 16)


def test_a_style_that_is_drawn_is_an_input_beside_the_picture(styled: Path) -> None:
    exportable = prepare(open_trained(styled, load_plugins([]).registry, device="cpu"), None, None)
    assert exportable.graph.names[0] == "real_a"
    assert len(exportable.graph.names) == 2
    expected, inputs = exportable.eager(pictures((2, 3, 32, 32)), seed=3)
    assert torch.equal(exportable.graph(*inputs), expected)
    assert not torch.equal(exportable.graph(inputs[0], inputs[1] + 1), expected)


def test_the_hub_takes_one_network_only(ganforge: Callable, styled: Path, unpaired: Path, in_tmp: Path) -> None:
    outcome = ganforge("export", styled, "--format", "hub", "-o", "model")
    assert outcome.code == 2
    assert "the hub takes one network, and fake_b = G_b.decode(code_a.content, " in outcome.err
    outcome = ganforge("export", unpaired, "--format", "hub", "-o", "model", "--signal", "rec_a")
    assert "such signals are: fake_b, fake_a, same_a, same_b" in outcome.err
    assert not list(in_tmp.iterdir())


def test_a_file_that_differs_is_not_written(
    ganforge: Callable, unpaired: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMATS["hub"]
    opened = form.open

    def wrong(*given: Any) -> Any:
        run = opened(*given)
        return lambda inputs: run(inputs) + 2e-4

    monkeypatch.setattr(form, "open", wrong, raising=False)
    (in_tmp / "model").mkdir()
    (in_tmp / "model" / "model.safetensors").write_text("what was there")
    outcome = ganforge("export", unpaired, "--format", "hub", "-o", "model", "--overwrite")
    assert outcome.code == 3
    assert "differ from the run's by up to 2.0e-04, and 1e-04 is allowed; nothing was written" in outcome.err
    assert [str(path.relative_to(in_tmp)) for path in in_tmp.rglob("*")] == ["model", "model/model.safetensors"]


def test_what_is_there_stays_unless_it_may_go(ganforge: Callable, unpaired: Path, in_tmp: Path) -> None:
    (in_tmp / "model").mkdir()
    (in_tmp / "model" / "thesis.txt").write_text("")
    arguments = ("export", unpaired, "--format", "hub", "-o", "model")
    assert "model exists already; --overwrite replaces it" in ganforge(*arguments).err
    outcome = ganforge(*arguments, "--overwrite")
    assert (outcome.code, "something else than an export" in outcome.err) == (2, True)
    (in_tmp / "model" / "thesis.txt").unlink()
    assert ganforge(*arguments, "--overwrite").code == 0
    assert ganforge(*arguments, "--overwrite").code == 0


def test_a_missing_package_is_told_before_any_work(
    ganforge: Callable, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = ganforge("export", "no/such/run", "--format", "onnx", "-o", "out.onnx")
    assert outcome.code == 3
    assert "this needs onnxruntime: pip install 'ganforge[export]'" in outcome.err


def test_names_that_are_wrong_are_told(ganforge: Callable, unpaired: Path, in_tmp: Path) -> None:
    def error(*arguments: str) -> str:
        outcome = ganforge("export", unpaired, "--format", "torch", *arguments)
        assert outcome.code == 2
        return outcome.err

    assert "should end in .pt2: -o out.pt2" in error("-o", "out.onnx")
    assert "'a2c' is no direction" in error("-o", "out.pt2", "--direction", "a2c")
    assert "'real_a' is no signal" in error("-o", "out.pt2", "--signal", "real_a")
    assert "not both" in error("-o", "out.pt2", "--direction", "a2b", "--signal", "fake_b")
    assert "there are no pictures in" in error("-o", "out.pt2", "--pictures", "nowhere")


def test_pictures_of_a_folder_are_compared(ganforge: Callable, unpaired: Path, in_tmp: Path) -> None:
    (in_tmp / "album").mkdir()
    write_image(in_tmp / "album" / "1.png", torch.full((3, 20, 30), 200, dtype=torch.uint8))
    outcome = ganforge("export", unpaired, "--format", "hub", "-o", "model", "--pictures", "album")
    assert "on pictures of album:" in outcome.out


def test_a_network_that_draws_by_itself_is_refused(ganforge: Callable, in_tmp: Path) -> None:
    (in_tmp / "noisy.py").write_text(NOISY)
    recipe = in_tmp / "noisy.yaml"
    recipe.write_text(RECIPE)
    assert ganforge("run", recipe, "-p", "noisy.py").code == 0
    outcome = ganforge("export", "runs/noisy/0001", "-p", "noisy.py", "--format", "torch", "-o", "out.pt2")
    assert outcome.code == 2
    assert "its networks (G) draw random numbers of their own" in outcome.err


NOISY = '''
import torch
from torch import Tensor, nn

from ganforge import hookimpl


class Noisy(nn.Module):
    """Adds noise.

    Args:
        scale: of it.
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Images to images."""
        return self.convolution(images) + self.scale * torch.randn_like(images)


@hookimpl
def register_networks(register) -> None:
    register("noisy", Noisy)
'''

RECIPE = """
data: {type: shapes, size_px: 16, count: 4, validation: 2}
networks: {G: {type: noisy}}
signals: {fake_b: G(real_a)}
players: {generator: {networks: [G], optimizer: {type: adam}}}
phases: [{train: generator, losses: {near: {type: l1, input: fake_b, target: real_b}}}]
run: {steps: 1, device: cpu}
"""
