"""The command line as a whole: quick help, exit codes, and the small commands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganforge.cli import COMMANDS, main
from ganforge.sharing.process import began, is_at_work, this_process

TINY = Path(__file__).resolve().parents[1] / "recipes" / "tiny" / "cyclegan_shapes.yaml"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_imports_neither_torch_nor_plugins(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom ganforge.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "print([name for name in sys.modules if name in ('torch', 'ganforge_cyclegan', 'tensorboard', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example(name: str, ganforge: Callable) -> None:
    outcome = ganforge(name, "--help")
    assert outcome.code == 0
    assert f"ganforge {name}" in outcome.out.partition("Example")[2]


def test_unknown_commands_and_options_are_usage_errors(ganforge: Callable) -> None:
    for arguments in (["trian"], ["run"], ["run", "x", "--fast"]):
        outcome = ganforge(*arguments)
        assert outcome.code == 2
        assert "Traceback" not in outcome.err


def test_a_recipe_that_is_not_there(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("run", "cyclegan_shape")
    assert outcome.code == 2
    assert outcome.err == (
        "error: no recipe 'cyclegan_shape'; did you mean 'cyclegan_shapes'?\n"
        "  `ganforge ls` lists the recipes at hand\n"
    )
    assert list(in_tmp.iterdir()) == []


def test_a_recipe_of_two_plugins_wants_its_full_name(ganforge: Callable, in_tmp: Path) -> None:
    for name in ("one", "two"):
        (in_tmp / f"{name}.py").write_text(
            "from ganforge import hookimpl\n\n@hookimpl\ndef register_recipes(register):\n"
            f'    register("twin", {str(TINY)!r})\n'
        )
    files = ("-p", "one.py", "-p", "two.py")
    outcome = ganforge("check", "twin", *files)
    assert (outcome.code, outcome.err) == (
        2,
        "error: the recipe 'twin' comes with 2 plugins\n  write one.twin or two.twin\n",
    )
    assert ganforge("check", "one.twin", *files).code == 0


def test_missing_data_is_an_environment_fault_and_leaves_no_run(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("run", "cyclegan_horse2zebra", "data.root=nowhere", "data.download=null")
    assert outcome.code == 3
    assert "nowhere" in outcome.err
    assert not (in_tmp / "runs").exists()


def test_a_device_that_is_not_there(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("run", TINY, "run.device=cuda:99")
    assert outcome.code == 3
    assert "run.device=auto" in outcome.err


def test_dry_run_starts_nothing(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("run", TINY, "--dry-run")
    assert outcome.code == 0
    assert "forwards per step: D_a 1, D_b 1, G_ab 3, G_ba 3" in outcome.out
    assert list(in_tmp.iterdir()) == []


def test_show_gives_origins_and_reads_back(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("show", TINY, "run.seed=7")
    assert "seed: 7  # command line:1" in outcome.out
    assert "weight: 10" in outcome.out
    (in_tmp / "again.yaml").write_text(outcome.out)
    assert ganforge("check", "again.yaml").code == 0


def test_show_graph_tells_forwards_players_and_costs(ganforge: Callable) -> None:
    out = ganforge("show", TINY, "--graph").out
    for line in (
        "fake_b [2, 3, 32, 32] = G_ab(real_a)",
        "trains D_a, D_b",
        "G_ba: 3",
        "GFLOP",
        "learns with generators",
    ):
        assert line in out


def test_show_graph_names_what_a_signal_is_made_of(ganforge: Callable) -> None:
    out = ganforge("show", TINY.parent / "cut_shapes.yaml", "--graph").out
    assert "out image [2, 3, 32, 32], features (4 tensors) = G(real_a)" in out


def test_cp_copies_and_refuses_to_overwrite(ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("cp", "cyclegan_shapes", "mine.yaml").code == 0
    assert ganforge("check", "mine.yaml").code == 0
    again = ganforge("cp", "cyclegan_shapes", "mine.yaml")
    assert again.code == 2
    assert "--force" in again.err


def test_ls_names_every_shipped_recipe(ganforge: Callable, in_tmp: Path) -> None:
    out = ganforge("ls").out
    assert "cyclegan_horse2zebra" in out
    assert "cyclegan_shapes" in out


def test_plugins_as_text_and_json(ganforge: Callable) -> None:
    assert "cyclegan  ganforge-cyclegan" in ganforge("plugins").out
    listed = json.loads(ganforge("plugins", "--json").out)
    assert listed[0]["name"] == "ganforge"
    states = {plugin["name"]: plugin["state"] for plugin in listed}
    assert (states["ganforge"], states["classics"], states["cyclegan"]) == ("loaded",) * 3


def test_parts_lists_and_explains(ganforge: Callable) -> None:
    assert "classics.lsgan_g" in ganforge("parts", "losses").out
    explained = ganforge("parts", "resnet_generator").out
    assert "channels: int >= 1 = 64" in explained
    assert "residual blocks; the paper takes 6 for images of 128 pixels" in explained
    assert "my_network: {type: cyclegan.resnet_generator, channels: 64, blocks: 9}" in explained
    unknown = ganforge("parts", "resnet_generater")
    assert unknown.code == 2
    assert "did you mean 'resnet_generator'?" in unknown.err


def test_data_show_draws_what_training_sees(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("data", "show", TINY, "-o", "samples.png", "-n", "3")
    assert outcome.code == 0, outcome.err
    assert "training samples: 8" in outcome.out
    assert Image.open("samples.png").size[0] > 64


def test_data_show_of_points_draws_nothing(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("data", "show", "wgan_gp_ring", "-o", "samples.png")
    assert outcome.code == 0, outcome.err
    assert "no field is an image: nothing is drawn" in outcome.out
    assert list(in_tmp.iterdir()) == []


@pytest.fixture
def trained(ganforge: Callable, in_tmp: Path) -> Path:
    assert ganforge("run", TINY).code == 0
    return in_tmp / "runs" / "cyclegan_shapes" / "0001"


def test_translate_keeps_names_sizes_and_folders(ganforge: Callable, trained: Path, in_tmp: Path) -> None:
    (in_tmp / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (37, 50), "green").save(in_tmp / "in" / "one.jpg")
    Image.new("L", (64, 32), 99).save(in_tmp / "in" / "deep" / "two.png")
    outcome = ganforge("translate", trained, "in", "-o", "out", "--signal", "fake_a")
    assert outcome.code == 0, outcome.err
    assert "fake_a = G_ba(real_b)" in outcome.out
    assert Image.open(in_tmp / "out" / "one.png").size == (37, 50)
    assert Image.open(in_tmp / "out" / "deep" / "two.png").size == (64, 32)


@pytest.mark.parametrize(("how", "levels"), [(("--compile",), 1), (("--precision", "bf16"), 8)])
def test_translate_faster_gives_the_same_pictures(
    how: tuple[str, ...], levels: int, ganforge: Callable, trained: Path, in_tmp: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(in_tmp / "x.png")
    pictures = []
    for out, options in (("plain", ()), ("fast", how)):
        outcome = ganforge("translate", trained, "x.png", "-o", out, *options)
        assert outcome.code == 0, outcome.err
        pictures.append(np.asarray(Image.open(in_tmp / out / "x.png")).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= levels


def test_translate_skips_a_broken_picture_and_says_so(ganforge: Callable, trained: Path, in_tmp: Path) -> None:
    (in_tmp / "in").mkdir()
    (in_tmp / "in" / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (32, 32)).save(in_tmp / "in" / "whole.png")
    outcome = ganforge("translate", trained, "in", "-o", "out")
    assert outcome.code == 3
    assert "broken.jpg" in outcome.err
    assert (in_tmp / "out" / "whole.png").is_file()


def test_translate_takes_an_image_among_the_signals(ganforge: Callable, in_tmp: Path) -> None:
    """The first signal of this recipe is an image with its features."""
    assert ganforge("run", TINY.parent / "cut_shapes.yaml").code == 0
    Image.new("RGB", (40, 32)).save(in_tmp / "x.png")
    run = in_tmp / "runs/cut_shapes/0001"
    outcome = ganforge("translate", run, "x.png", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "fake_b = out.image" in outcome.out
    assert Image.open(in_tmp / "out" / "x.png").size == (40, 32)
    other = ganforge("translate", run, "x.png", "-o", "out", "--signal", "patches")
    assert other.code == 2
    assert "'patches' is no signal of cut_shapes that one picture gives" in other.err


def test_translate_says_what_is_wrong(ganforge: Callable, trained: Path, in_tmp: Path) -> None:
    Image.new("RGB", (32, 32)).save(in_tmp / "x.png")
    unknown = ganforge("translate", trained, "x.png", "-o", "out", "--signal", "fake_c")
    assert unknown.code == 2
    assert "fake_a, fake_b" in unknown.err.replace("fake_b, fake_a", "fake_a, fake_b")
    assert ganforge("translate", in_tmp, "x.png", "-o", "out").code == 2
    assert ganforge("translate", trained, "missing.png", "-o", "out").code == 2


def test_resume_refuses_another_recipe(ganforge: Callable, trained: Path) -> None:
    outcome = ganforge("run", TINY, "--resume", "networks.G_ab.channels=5")
    assert outcome.code == 2
    assert "networks.G_ab.channels: 4 -> 5" in outcome.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_a_run_is_not_resumed_beside_the_process_that_trains_it(ganforge: Callable, trained: Path) -> None:
    record = json.loads((trained / "run.json").read_text())
    with subprocess.Popen(["sleep", "3600"]) as other:
        process = {**this_process(), "pid": other.pid, "began": began(other.pid)}
        (trained / "run.json").write_text(json.dumps(record | {"status": "running", "process": process}))
        refused = ganforge("run", TINY, "--resume", "run.steps=6")
        assert refused.code == 2
        assert f"is being trained by process {other.pid}: two would write over each other" in refused.err
        other.kill()
        limit = time.monotonic() + 600
        while is_at_work(process) and time.monotonic() < limit:  # it is dead, though nobody has asked for its end
            time.sleep(0.01)
        assert ganforge("run", TINY, "--resume", "run.steps=6").code == 0


def test_resume_of_a_finished_run_takes_a_new_length(ganforge: Callable, trained: Path) -> None:
    assert "finished" in ganforge("run", TINY, "--resume").out
    assert ganforge("run", trained, "--resume", "run.steps=6").code == 0
    assert json.loads((trained / "run.json").read_text())["step"] == 6


def test_board_refuses_a_folder_that_is_not_there(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("board", "nowhere")
    assert outcome.code == 2
    assert "nowhere" in outcome.err


def test_a_process_ends_with_the_same_codes(
    ganforge_process: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")  # clusters set it for whatever they start
    (tmp_path / "bad.yaml").write_text("networks: {}\nnetwork: {}\n")
    outcome = ganforge_process("check", "bad.yaml")
    assert outcome.code == 2
    assert "bad.yaml:2:1: a recipe has no key 'network'" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_rank_that_was_asked_to_stop_only_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would wait for threads, and take those of torch apart, which now and then aborts."""
    monkeypatch.setenv("RANK", "1")
    code = (
        "import sys, threading, time; from ganforge import cli\n"
        "threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "cli.cli.main = lambda *_, **__: sys.exit(143)\n"
        "cli.main()"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=600, check=False).returncode == 143


def test_a_command_may_leave_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.cli.cli.main", lambda *_, **__: sys.exit("enough"))
    with pytest.raises(SystemExit, match="enough"):
        main([])


def test_board_shows_runs_by_recipe_and_number_and_pins_their_panels(tmp_path: Path) -> None:
    from ganforge.commands.board import _arrange, link

    for name in ("x/a/0001", "x/a/0002", "y/a/0001"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    shown = tmp_path / "shown"
    shown.mkdir()
    assert sorted(_arrange((tmp_path / "x", tmp_path / "x/a/0001", tmp_path / "y/a/0001"), shown)) == [
        "a/0001",
        "a/0001_",
        "a/0002",
    ]
    assert sorted(path.name for path in (shown / "a").iterdir()) == ["0001", "0001_", "0002"]
    (tmp_path / "x/a/0002/images/a2b").mkdir(parents=True)
    page = link("127.0.0.1", 6006, {"a/0002": tmp_path / "x/a/0002"})
    assert "defaultExperimentId%2Fa%2F0002" in page
    assert "images%2Fa2b" in page
