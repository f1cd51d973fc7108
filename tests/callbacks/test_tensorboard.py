import errno
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.summary.writer import event_file_writer
from tensorboard.summary.writer.record_writer import RecordWriter

from ganforge import Callback, Run
from ganforge.builtin.callbacks import TensorBoard
from ganforge.builtin.callbacks.charts import layout
from ganforge.builtin.callbacks.tensorboard import sort_before_now


class Stop(Callback):
    """Ends a run in the midst of step 5, when the last checkpoint is of step 4."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        if run.step == 5:
            raise self.error


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0, "tensors": 0})
    return events.Reload()


def text(events: EventAccumulator, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def hparams_content(events: EventAccumulator, tag: str) -> bytes:
    return events.PluginTagToContent("hparams")[tag]


def status(folder: Path) -> int:
    content = hparams_content(read(folder), metadata.SESSION_END_INFO_TAG)
    return metadata.parse_session_end_info_plugin_data(content).status


def charts(events: EventAccumulator) -> dict[str, dict[str, list[str]]]:
    event = events.Tensors("custom_scalars__config__")[0]
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    return {each.title: {chart.title: list(chart.multiline.tag) for chart in each.chart} for each in layout.category}


def test_every_scalar_metric_and_panel_has_its_steps(finished):
    events = read(finished.folder)
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    every = ["losses/judge", "scores/D_b/real", "scores/D_b/fake", "learning_rate/generator", "gradients/discriminator"]
    every += ["speed/images_per_second", "speed/seconds/step", "memory/resident_GiB", "losses/colour_d"]
    assert all(steps[tag] == [1, 2, 3, 4, 5, 6] for tag in every)
    assert steps["metrics/a_to_b/times_lower"] == steps["metrics/light"] == [0, 3, 6]
    assert [event.step for event in events.Images("images/a2b")] == [0, 2, 4, 6]
    assert events.Scalars("metrics/light")[-1].value == pytest.approx(finished.figures["light"])


def test_texts_say_what_ran_where(finished):
    events = read(finished.folder)
    recipe = (finished.folder / "recipe.yaml").read_text()
    assert text(events, "recipe") == f"```yaml\n{recipe}```"
    assert "| device | cpu |" in text(events, "machine")
    assert "| torch | " in text(events, "machine")
    assert "| G_ab | `toy.paint` | generator | 84 |" in text(events, "networks")


def test_charts_put_rivals_side_by_side(finished):
    events = read(finished.folder)
    assert charts(events) == {
        "scores: real against fake": {"D_b": ["^scores/D_b/fake$", "^scores/D_b/real$"]},
        "losses: player against player": {"D_b": ["^losses/adversarial$", "^losses/judge$"]},
        "losses of generator": {
            "adversarial": ["^losses/adversarial$"],
            "colour (1 of 2)": ["^losses/colour_a$", "^losses/colour_b$", "^losses/colour_c$"],
            "colour (2 of 2)": ["^losses/colour_d$"],
        },
        "losses of discriminator": {"judge": ["^losses/judge$"]},
        "shares of the gradient, generator": {
            "adversarial": ["^shares/generator/adversarial$"],
            "colour (1 of 2)": [f"^shares/generator/colour_{letter}$" for letter in "abc"],
            "colour (2 of 2)": ["^shares/generator/colour_d$"],
        },
        "speed: throughput against waiting for data": {
            "images a second": ["^speed/images_per_second$"],
            "share of a step that waits for data": ["^speed/data_wait_share$"],
        },
    }
    patterns = {p for category in charts(events).values() for chart in category.values() for p in chart}
    tags = events.Tags()["scalars"]
    assert all(sum(bool(re.search(pattern, tag)) for tag in tags) == 1 for pattern in patterns)


def test_charts_take_tags_literally(finished):
    ((_, (pattern,)),) = layout(finished, ["scores/D.b/real"])["scores: real against fake"].values()
    assert re.search(pattern, "scores/D.b/real")
    assert not re.search(pattern, "scores/D_b/real")
    assert not re.search(pattern, "more_scores/D.b/real_and_fake")


def test_hyperparameters_have_the_names_of_overrides(finished):
    events = read(finished.folder)
    start = metadata.parse_session_start_info_plugin_data(hparams_content(events, metadata.SESSION_START_INFO_TAG))
    values = {name: value.number_value or value.string_value for name, value in start.hparams.items()}
    assert values == {
        "data.batch_size": 2,
        "networks.G_ab.type": "toy.paint",
        "networks.D_b.type": "toy.judge",
        "players.generator.optimizer.type": "sgd",
        "players.generator.optimizer.lr": 2e-3,
        "players.discriminator.optimizer.type": "sgd",
        "players.discriminator.optimizer.lr": 1e-3,
        "phases.0.losses.adversarial.weight": 1,
        "phases.0.losses.colour_a.weight": 5,
        "phases.0.losses.colour_b.weight": 1,
        "phases.0.losses.colour_c.weight": 1,
        "phases.0.losses.colour_d.weight": 1,
        "phases.1.losses.judge.weight": 1,
        "run.accumulate": 1,
        "run.precision": "fp32",
        "run.seed": "",  # 0
    }
    columns = metadata.parse_experiment_plugin_data(hparams_content(events, metadata.EXPERIMENT_TAG))
    assert {info.name for info in columns.hparam_infos} == set(values)
    assert [info.name.tag for info in columns.metric_infos] == [f"metrics/{name}" for name in finished.figures]


def test_a_resumed_run_shows_no_step_twice_and_its_last_status(make_run):
    run = make_run()
    run.callbacks.append(Stop(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert status(run.folder) == api_pb2.STATUS_UNKNOWN
    first = read(run.folder)
    assert [event.step for event in first.Scalars("losses/judge")] == [1, 2, 3, 4, 5]

    resumed = make_run("run.log_every=2", "run.steps=8", resume=True)
    assert resumed.resumed_at == 4
    assert resumed.train() == "finished"
    events = read(run.folder)
    assert [event.step for event in events.Scalars("losses/judge")] == [1, 2, 3, 4, 6, 8]
    assert [event.step for event in events.Images("images/a2b")] == [0, 2, 4, 6, 8]
    assert len(events.Tensors("recipe/text_summary")) == 1
    assert status(run.folder) == api_pb2.STATUS_SUCCESS


def test_a_run_begun_anew_in_its_folder_hides_the_first_attempt(make_run):
    run = make_run("run.checkpoint_every=100")
    run.callbacks.append(Stop(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert make_run("run.steps=3", resume=True).train() == "finished"
    assert [event.step for event in read(run.folder).Scalars("losses/judge")] == [1, 2, 3]


def test_a_failed_run_says_so(make_run):
    run = make_run("run.strict=true")
    run.callbacks.append(Stop(ValueError))
    with pytest.raises(Exception, match=r"^step 5: callback 'Stop' raised in statistics_read: ValueError"):
        run.train()
    assert status(run.folder) == api_pb2.STATUS_FAILURE


def interrupt(run: Run, clock: pytest.MonkeyPatch, offset_s: float) -> None:
    """Train until the interruption, by a clock that is ahead or behind."""
    run.callbacks.append(Stop(KeyboardInterrupt))
    clock.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: time.time() + offset_s))
    with pytest.raises(KeyboardInterrupt):
        run.train()
    clock.undo()


def test_a_clock_that_was_ahead_does_not_hide_the_resumed_part(make_run, monkeypatch):
    run = make_run()
    interrupt(run, monkeypatch, offset_s=3600)
    make_run("run.log_every=2", "run.steps=8", resume=True).train()
    assert [event.step for event in read(run.folder).Scalars("losses/judge")] == [1, 2, 3, 4, 6, 8]


def test_a_tensorboard_that_is_open_follows_the_resumed_part(make_run, monkeypatch):
    run = make_run()
    interrupt(run, monkeypatch, offset_s=-3600)
    open_all_the_time = read(run.folder)
    make_run("run.log_every=2", "run.steps=8", resume=True).train()
    assert [event.step for event in open_all_the_time.Reload().Scalars("losses/judge")] == [1, 2, 3, 4, 6, 8]


def test_sorting_keeps_the_order_and_leaves_what_is_early_enough(tmp_path):
    now = int(time.time())
    names = [f"events.out.tfevents.{stamp:010d}.host.{pid}.0" for stamp, pid in ((17, 5), (now, 4), (now + 99, 3))]
    for name in (*names, "events.out.tfevents.profile-empty"):
        (tmp_path / name).touch()
    sort_before_now(tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found[0] == names[0]
    assert [name.split(".")[5] for name in found[:-1]] == ["5", "4", "3"]
    assert all(int(name.split(".")[3]) < time.time() for name in found[:-1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the writer's thread dies
def test_a_full_disk_warns_once_and_training_goes_on(make_run, monkeypatch):
    written = 0

    def write(self: RecordWriter, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > 20:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", write)
    run = make_run()
    with pytest.warns(UserWarning, match="TensorBoard shows no more") as caught:
        assert run.train() == "finished"
    assert len([w for w in caught if "TensorBoard" in str(w.message)]) == 1


def test_an_end_without_a_start_is_no_fault(make_run):
    run = make_run()
    TensorBoard().run_ended(run, "failed")
    assert not list(run.folder.glob("events*"))
