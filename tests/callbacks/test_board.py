"""A real TensorBoard, asked over HTTP what its pages ask."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

TINY = Path(__file__).resolve().parents[2] / "recipes/tiny/cyclegan_shapes.yaml"
RUN = "cyclegan_shapes/0001"
Ask = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two runs and `ganforge board` on them: where it answers, and the link that it printed."""
    folder = tmp_path_factory.mktemp("board")
    for rate in ("6e-4", "1e-4"):
        train = [sys.executable, "-m", "ganforge", "run", str(TINY), f"players.generators.optimizer.lr={rate}"]
        forked.run(train, cwd=folder).check_returncode()
    port = free_port()
    serve = [sys.executable, "-m", "ganforge", "board", "--port", str(port)]
    process = subprocess.Popen(serve, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    link = process.stdout.readline().removeprefix("TensorBoard: ").strip()
    where = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{where}/data/plugin/scalars/tags", process)
        yield where, link
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=600)


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    """Until TensorBoard answers, and has read both runs."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                tags = json.load(answer)
            if len(tags) == 2 and all(any(t.startswith("metrics/") for t in of_run) for of_run in tags.values()):
                return
        except (urllib.error.URLError, TimeoutError):
            pass
        time.sleep(0.3)
    pytest.fail(f"TensorBoard did not come up: {process.poll()}")


@pytest.fixture
def ask(board: tuple[str, str]) -> Ask:
    def get(path: str, body: Any = None, **query: str) -> Any:
        url = f"{board[0]}/data/plugin/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
        with urllib.request.urlopen(request, timeout=600) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    return get


def test_scalars_of_both_runs_answer_what_people_ask(ask: Ask) -> None:
    tags = ask("scalars/tags")
    assert set(tags) == {"cyclegan_shapes/0001", "cyclegan_shapes/0002"}
    expected = {
        *(f"scores/{judge}/{what}" for judge in ("D_a", "D_b") for what in ("real", "fake", "pooled")),
        *(f"accuracy/{judge}/{what}" for judge in ("D_a", "D_b") for what in ("real", "fake", "pooled")),
        *(f"shares/generators/{loss}" for loss in ("adv_ab", "adv_ba", "cycle_a", "identity_b")),
        *(f"ops/past_a/{what}" for what in ("kept", "mean_age", "longest_age")),
        "gradients/generators",
        "learning_rate/discriminators",
        "losses/judge_a",
        "metrics/a_to_b/times_lower",
        "speed/images_per_second",
        "speed/data_wait_share",
        "memory/resident_GiB",
    }
    assert expected <= set(tags[RUN])
    values = ask("scalars/scalars", run=RUN, tag="shares/generators/cycle_a")
    assert [step for _, step, _ in values] == [1, 2, 4]
    assert all(0 < value < 1 for _, _, value in values)


def test_panels_are_pictures_of_every_step(ask: Ask) -> None:
    assert set(ask("images/tags")[RUN]) == {"images/a2b", "images/b2a"}
    drawn = ask("images/images", run=RUN, tag="images/a2b", sample="0")
    assert [each["step"] for each in drawn] == [0, 2, 4]
    picture = ask(f"images/individualImage?{drawn[-1]['query']}")
    assert picture.startswith(b"\x89PNG")


def test_verdicts_are_histograms(ask: Ask) -> None:
    assert {"logits/D_b/real", "logits/D_b/fake", "logits/D_b/pooled"} <= set(ask("histograms/tags")[RUN])
    steps = [step for _, step, _ in ask("histograms/histograms", run=RUN, tag="logits/D_b/real")]
    assert steps == [1, 2, 4]


def test_charts_stand_side_by_side_and_each_finds_its_lines(ask: Ask) -> None:
    layout = ask("custom_scalars/layout")
    charts = {c["title"]: {chart["title"]: chart for chart in c["chart"]} for c in layout["category"]}
    assert list(charts) == [
        "scores: real against fake",
        "accuracy: how much a judge gets right",
        "losses: player against player",
        "losses: neighbours in one domain",
        "losses of generators",
        "losses of discriminators",
        "shares of the gradient, generators",
        "shares of the gradient, discriminators",
        "speed: throughput against waiting for data",
    ]
    assert charts["losses: neighbours in one domain"]["a"]["multiline"]["tag"] == [
        "^losses/cycle_a$",
        "^losses/identity_a$",
    ]
    for category in charts.values():
        for chart in category.values():
            for pattern in chart["multiline"]["tag"]:
                found = ask("custom_scalars/scalars", tag=pattern, run=RUN)
                assert found["regex_valid"]
                assert len(found["tag_to_events"]) == 1, pattern


def test_texts_say_what_ran_where(ask: Ask) -> None:
    assert {f"{name}/text_summary" for name in ("recipe", "machine", "networks")} <= set(ask("text/tags")[RUN])
    (recipe,) = ask("text/text", run=RUN, tag="recipe/text_summary")
    assert "generators" in recipe["text"]
    (machine,) = ask("text/text", run=RUN, tag="machine/text_summary")
    assert "<table>" in machine["text"]


def test_runs_are_compared_by_hyperparameters_with_their_true_status(ask: Ask) -> None:
    experiment = ask("hparams/experiment", body={"experimentName": ""})
    rate = "players.generators.optimizer.lr"
    first = [info["name"] for info in experiment["hparamInfos"]][:2]
    assert first == ["players.discriminators.optimizer.lr", rate]  # TensorBoard shows five
    wanted = {
        "colParams": [{"hparam": rate, "includeInResult": True}],
        "allowedStatuses": ["STATUS_SUCCESS"],
        "startIndex": 0,
        "sliceSize": 10,
    }
    groups = ask("hparams/session_groups", body=wanted)["sessionGroups"]
    assert sorted(group["hparams"][rate] for group in groups) == [1e-4, 6e-4]


def test_the_link_pins_what_exists(board: tuple[str, str], ask: Ask) -> None:
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(board[1]).query)
    cards = json.loads(query["pinnedCards"][0])
    images = {(card["runId"], card["tag"]) for card in cards if card["plugin"] == "images"}
    runs = [f"defaultExperimentId/cyclegan_shapes/000{number}" for number in (1, 2)]
    assert images == {(run, f"images/{direction}") for run in runs for direction in ("a2b", "b2a")}
    scalars = [card["tag"] for card in cards if card["plugin"] == "scalars"]
    assert scalars == [
        "scores/D_b/fake",
        "scores/D_b/real",
        "losses/cycle_a",
        "losses/cycle_b",
        "metrics/a_to_b/mean_absolute_error",
        "metrics/a_to_b/untouched",
    ]
    assert set(scalars) <= set(ask("scalars/tags")[RUN])
