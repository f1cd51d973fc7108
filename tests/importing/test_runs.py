"""What is imported is a run: it translates, is judged, and learns on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing.references import cut_generator, judge, projections, resnet, unet
from PIL import Image
from torch import Tensor, nn

from ganforge.inference.trained_run import Trained, open_trained
from ganforge.plugins.loading import load_plugins
from ganforge.runs.checkpoint.files import load_checkpoint

SMALL = ("data.crop_px=32", "data.load_px=36", "data.workers=0", "run.precision=fp32")
MAPS = Path("runs/maps/0001")


def opened(run: Path = MAPS) -> Trained:
    return open_trained(run, load_plugins().registry, device="cpu")


def noise(channels: int = 3) -> Tensor:
    return torch.rand(1, channels, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def recorded() -> dict[str, Any]:
    return json.loads((MAPS / "run.json").read_text())


def same(ours: nn.Module, theirs: nn.Module, channels: int = 3) -> bool:
    """Whether two networks make the same of a picture."""
    with torch.no_grad():
        return torch.equal(ours.eval()(noise(channels)), theirs.eval()(noise(channels)))


def test_all_the_networks_of_a_reference(ganforge: Callable, write: Callable) -> None:
    published = {name: resnet() if name[0] == "G" else judge() for name in ("G_A", "G_B", "D_A", "D_B")}
    paths = [write(f"latest_net_{name}", network) for name, network in published.items()]
    outcome = ganforge("import", "cyclegan", *paths, *SMALL)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (
        "G_ab: cyclegan.resnet_generator (channels 4, blocks 1, in_channels 3, out_channels 3, norm instance)\n"
        "G_ba: cyclegan.resnet_generator (channels 4, blocks 1, in_channels 3, out_channels 3, norm instance)\n"
        "D_b: cyclegan.patch_discriminator (layers 3, channels 4, in_channels 3, norm instance)\n"
        "D_a: cyclegan.patch_discriminator (layers 3, channels 4, in_channels 3, norm instance)\n"
        "runs/maps/0001 is ready\n"
        "  ganforge translate runs/maps/0001 PICTURES -o RESULTS\n"
        "  ganforge run runs/maps/0001 --resume data.root=PICTURES\n"
    )
    networks = opened().cast.networks
    # The reference's D_A judges what its G_A makes: domain B.
    for ours, theirs in {"G_ab": "G_A", "G_ba": "G_B", "D_b": "D_A", "D_a": "D_B"}.items():
        assert same(networks[ours], published[theirs])
    record = recorded()
    assert (record["status"], record["step"], record["fresh"]) == ("imported", 0, [])
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert {source["file"]: source["sha256"] for source in record["sources"]} == sums
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize(
    ("file", "direction", "fresh"),
    [
        ("horse2zebra", "a2b", "G_ba, D_a, D_b"),
        ("latest_net_G_B", "b2a", "G_ab, D_a, D_b"),
    ],
)
def test_one_direction_translates(
    file: str, direction: str, fresh: str, ganforge: Callable, write: Callable, in_tmp: Path
) -> None:
    published = resnet()
    outcome = ganforge("import", "cyclegan", write(file, published), "--name", "maps", *SMALL)
    assert f"fresh, for want of a file: {fresh}\n" in outcome.out
    assert recorded()["fresh"] == fresh.split(", ")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(in_tmp / "x.png")
    done = ganforge("translate", MAPS, "x.png", "-o", "out", "--direction", direction)
    assert done.code == 0, done.err
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = ((published.eval()(x)[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
    assert np.abs(np.asarray(Image.open(in_tmp / "out/x.png")) - expected).max() <= 1


def test_runs_are_named_after_the_file_or_its_folder(ganforge: Callable, write: Callable, in_tmp: Path) -> None:
    named, unnamed = write("summer2winter", resnet()), write("latest_net_G_A", resnet())
    for arguments in ((named,), (unnamed, "--name", "mine", "-o", "elsewhere")):
        assert ganforge("import", "cyclegan", *arguments, *SMALL).code == 0
    made = {str(path.parent.relative_to(in_tmp)) for path in in_tmp.rglob("run.json")}
    assert made == {"runs/summer2winter/0001", "elsewhere/mine/0001"}
    assert ganforge("import", "cyclegan", named, "--name", "../mine").code == 2


def test_it_learns_on(ganforge: Callable, write: Callable, picture_folders: Path) -> None:
    published = resnet()
    rate = "players.generators.optimizer.lr=1e-3"
    assert ganforge("import", "cyclegan", write("latest_net_G_A", published), rate, *SMALL).code == 0
    before = load_checkpoint(MAPS / "checkpoints/step_0000000").networks
    more = ("run.epochs=null", "run.steps=2", f"data.root={picture_folders}")
    outcome = ganforge("run", MAPS, "--resume", *more)
    assert outcome.code == 0, outcome.err
    after = load_checkpoint(MAPS / "checkpoints/step_0000002").networks
    for name, weight in published.state_dict().items():
        assert torch.equal(before[f"G_ab.{name}"], weight)
    moved = (after["G_ab.model.1.weight"] - before["G_ab.model.1.weight"]).abs().max()
    assert 1e-3 < float(moved) < 2.1e-3  # two steps of Adam from its very beginning
    record = recorded()
    assert (record["status"], record["step"], record["samples"]) == ("finished", 2, 5)
    assert [source["file"] for source in record["sources"]] == ["latest_net_G_A.pth"]
    assert len(list((MAPS / "images").rglob("step_0000000.png"))) == 2  # what it began with
    assert ganforge("run", MAPS, "--resume", "run.steps=3").code == 0


def test_it_is_judged(ganforge: Callable, write: Callable, pair_folders: Path) -> None:
    published = resnet()
    side = ("data.crop_px=40", "data.load_px=40")
    assert ganforge("import", "pix2pix", write("latest_net_G", published), *SMALL, *side).code == 0
    outcome = ganforge("evaluate", MAPS, f"data.root={pair_folders}")
    assert outcome.code == 0, outcome.err
    errors = []
    for path in sorted((pair_folders / "test").iterdir()):
        pair = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            errors.append(float((published.eval()(pair[..., :40]) - pair[..., 40:]).abs().mean()))
    (judged,) = json.loads((MAPS / "evaluation.json").read_text())["checkpoints"]
    assert judged == {"step": 0, "figures": {"error": pytest.approx(sum(errors) / len(errors), rel=1e-5)}}


@pytest.mark.parametrize(("make", "with_judge"), [(unet, True), (resnet, False)])
def test_pix2pix(make: Callable, with_judge: bool, ganforge: Callable, write: Callable) -> None:
    grey = 1 if make is resnet else 3
    published = make(norm="batch", in_channels=grey)
    published.train()(noise(grey))  # the running statistics say something
    paths = [write("latest_net_G", published)]
    if with_judge:
        paths.append(write("latest_net_D", judge(in_channels=6, norm="batch", layers=2)))
    outcome = ganforge("import", "pix2pix", *paths, *SMALL)
    assert outcome.code == 0, outcome.err
    trained = opened()
    assert same(trained.cast.networks["G"], published, grey)
    options = {name: use.options for name, use in trained.recipe.networks.items()}
    assert options["G"].get("dropout") == (0.5 if make is unet else None)
    assert options["G"]["norm"] == options["D"]["norm"] == "batch"
    assert options["D"]["in_channels"] == grey + 3
    assert options["D"].get("layers") == (2 if with_judge else None)


def test_a_unet_gets_pictures_of_the_size_it_was_trained_on(ganforge: Callable, write: Callable) -> None:
    assert ganforge("import", "pix2pix", write("latest_net_G", unet(downs=7))).code == 0
    assert opened().recipe.dataset.shapes()["real_a"] == (3, 128, 128)


def test_cut(ganforge: Callable, write: Callable) -> None:
    published = cut_generator(layers=(0, 4, 8, 12, 13))
    heads = projections(published)
    blurred = {**judge().state_dict(), "model.2.filt": torch.ones(4, 1, 3, 3)}
    paths = [write(f"latest_net_{n}", w) for n, w in {"G": published, "F": heads, "D": blurred}.items()]
    outcome = ganforge("import", "cut", *paths, *SMALL)
    assert outcome.code == 0, outcome.err
    assert outcome.err == (
        f"warning: {paths[2]} was left out: its discriminator halves behind a blur, and the recipe's does not: "
        "D starts fresh\n"
    )
    networks = opened().cast.networks
    with torch.no_grad():
        assert torch.equal(networks["G"](noise()).image, published(noise()).image)
    for name, weight in networks["F"].state_dict().items():
        assert torch.equal(weight, heads[name.replace("heads.", "mlp_", 1)])


def test_cut_without_blurs_learns_on(ganforge: Callable, write: Callable, picture_folders: Path) -> None:
    paths = [write("latest_net_G", cut_generator(antialias=False, layers=(0, 4))), write("latest_net_D", judge())]
    outcome = ganforge("import", "cut", *paths, *SMALL)
    assert outcome.out.splitlines()[2] == "fresh, for want of a file: F"
    more = ("run.epochs=null", "run.steps=1", f"data.root={picture_folders}")
    assert ganforge("run", MAPS, "--resume", *more).code == 0


def test_weights_that_do_not_fit(ganforge: Callable, write: Callable, in_tmp: Path) -> None:
    weights = resnet().state_dict()
    del weights["model.4.bias"]
    weights["model.7.weight"] = weights["model.7.weight"][:, :3]
    weights["model.99.scale"] = weights["model.98.scale"] = torch.ones(1)
    outcome = ganforge("import", "cyclegan", write("latest_net_G_A", weights), *SMALL)
    assert outcome.code == 2
    assert outcome.err == (
        "error: the weights for G_ab do not fit cyclegan.resnet_generator (channels 4, blocks 1, in_channels 3, "
        "out_channels 3, norm instance):\n"
        "  model.4.bias is missing\n"
        "  model.7.weight is [16, 3, 3, 3], the network's is [16, 8, 3, 3]\n"
        "  model.99.scale is not in the network\n"
        "  and 1 more\n"
    )
    assert not (in_tmp / "runs").exists()


def batch_normed() -> nn.Module:
    return resnet(norm="batch")


@pytest.mark.parametrize(
    ("arguments", "content", "fault"),
    [
        (("cyclegn", "latest_net_G"), resnet, "nothing here imports 'cyclegn'; did you mean 'cyclegan'?"),
        (("stargan2", "latest_net_G"), resnet, "nothing here imports 'stargan2'; known: cut, cyclegan, pix2pix"),
        (("cyclegan", "latest_net_D_A"), judge, "no file is a generator: give latest_net_G_A.pth, latest_net_G_B.pth"),
        (("pix2pix", "latest_net_G_A"), resnet, "no file is a generator: give latest_net_G.pth"),
        (("cut", "latest_net_D"), judge, "no file is a generator: give latest_net_G.pth"),
        (
            ("cyclegan", "latest_net_G_A"),
            judge,
            "maps/latest_net_G_A.pth is no cyclegan.resnet_generator and no cyclegan.unet_generator: its weights begin "
            "with model.0.weight, model.0.bias, model.2.weight",
        ),
        (("cut", "latest_net_G"), batch_normed, "maps/latest_net_G.pth is no cut.generator: its"),
        (("cyclegan", "horse2zebra", "nonsense.blocks=3"), resnet, "command line:1:1: a recipe has no key 'nonsense'"),
        (("cyclegan", "data.root=x"), None, "no checkpoint was given; give one or more .pth files"),
    ],
)
def test_what_cannot_be_imported(
    arguments: tuple[str, ...], content: Any, fault: str, ganforge: Callable, write: Callable, in_tmp: Path
) -> None:
    family, file, *settings = arguments
    if content is not None:
        write(file, content())
        file = f"maps/{file}.pth"
    outcome = ganforge("import", family, file, *settings)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {fault}")
    assert not (in_tmp / "runs").exists()


def test_ruined_weights(ganforge: Callable, write: Callable, in_tmp: Path) -> None:
    weights = resnet().state_dict()
    weights["model.4.bias"][1] = torch.nan
    outcome = ganforge("import", "cyclegan", write("latest_net_G_A", weights), *SMALL)
    assert outcome.code == 2
    assert "the weights for G_ab are NaN or infinite in model.4.bias" in outcome.err
    assert not (in_tmp / "runs").exists()


def test_two_generators_of_one_direction(ganforge: Callable, write: Callable) -> None:
    outcome = ganforge("import", "cyclegan", write("latest_net_G_A", resnet()), write("horse2zebra", resnet()))
    assert outcome.code == 2
    assert outcome.err.startswith("error: two files are the generator from A to B: leave one out, or name the other")


def test_a_file_that_nobody_asked_for(ganforge: Callable, write: Callable) -> None:
    paths = [write("latest_net_G_A", resnet()), write("latest_net_E", resnet())]
    outcome = ganforge("import", "cyclegan", *paths)
    assert outcome.code == 2
    assert f"cyclegan knows no network 'E', which {paths[1]} would be by its name\n" in outcome.err


def test_a_generator_from_grey_to_colour(ganforge: Callable, write: Callable, picture_folders: Path) -> None:
    """It cannot be given colour, so the recipe has no identity losses."""
    outcome = ganforge("import", "cyclegan", write("latest_net_G_A", resnet(in_channels=1)), *SMALL)
    assert outcome.code == 0, outcome.err
    recipe = opened().recipe
    assert not {"same_a", "same_b"} & recipe.signals.keys()
    assert [loss.name for loss in recipe.phases[0].losses] == ["adv_ab", "adv_ba", "cycle_a", "cycle_b"]
    learnt = ganforge("run", MAPS, "--resume", f"data.root={picture_folders}", "run.steps=1", "run.epochs=null")
    assert learnt.code == 0, learnt.err
