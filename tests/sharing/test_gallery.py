"""`ganforge gallery`: its folder, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from sharing.conftest import written_run

from ganforge.cli import cli
from ganforge.sharing.gallery import Comparison, Frame, Page, Section, frames, render
from ganforge.sharing.records import Record

if TYPE_CHECKING:
    from playwright.sync_api import Page as Tab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()  # noqa: SIM905
HOSTILE = "<script>document.title='bad'</script><img src=x onerror=document.title='bad'>\"'&"


@pytest.fixture(scope="module")
def gallery(shapes_run: Path) -> Path:
    """Of the tiny run, with a hostile name in its record."""
    record = json.loads((shapes_run / "run.json").read_text())
    run = shapes_run.parent.parent / "hostile" / "0001"
    shutil.copytree(shapes_run, run)
    diagnosis = {"step": HOSTILE, "name": "x", "message": HOSTILE, "cure": HOSTILE}
    changed = {**record, "recipe": HOSTILE, "status": HOSTILE, "diagnoses": [diagnosis], "machine": {"device": HOSTILE}}
    (run / "run.json").write_text(json.dumps(changed))
    cli.main(["gallery", str(run), "-n", "3"], standalone_mode=False)
    return run / "gallery"


# The folder


def test_it_holds_all_that_the_page_needs(gallery: Path) -> None:
    assert {path.name for path in gallery.iterdir()} == {"index.html", "style.css", "script.js", "pictures", "panels"}
    text = (gallery / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="([^"#:]+)"', text))
    assert {"style.css", "script.js"} < named
    assert all((gallery / name).is_file() for name in named)
    assert len(list((gallery / "pictures").iterdir())) == 2 * 2 * 3  # directions, before and after, pictures
    assert len(list((gallery / "panels").iterdir())) == 2 * 3  # directions, steps 0, 2 and 4
    assert "http" not in text.replace("http-equiv", "")


def test_before_is_the_picture_and_after_its_translation(gallery: Path, shapes_run: Path, ganforge: Callable) -> None:
    """Small pictures are kept exactly: `translate` makes the same of what the gallery shows."""
    before = gallery / "pictures/0_001_before.webp"
    after = gallery / "pictures/0_001_after.webp"
    out = gallery.parent / "translated"
    assert ganforge("translate", shapes_run, before, "-o", out).code == 0
    with Image.open(out / "0_001_before.png") as ours, Image.open(after) as shown:
        assert ours.tobytes() == shown.tobytes()


def test_an_older_gallery_is_replaced_and_nothing_else(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    arguments = ("gallery", shapes_run, "-n", "1", "-o", "page")
    assert ganforge(*arguments).code == 0
    Path("page/pictures/stale.webp").write_bytes(b"")
    assert ganforge(*arguments).code == 0
    assert not Path("page/pictures/stale.webp").exists()
    Path("page/notes.txt").write_text("mine")
    outcome = ganforge(*arguments)
    assert outcome.code == 2
    assert "page is there already, and holds more than a gallery" in outcome.err
    assert Path("page/notes.txt").read_text() == "mine"
    assert [path.name for path in in_tmp.iterdir()] == ["page"]


def test_a_failure_leaves_no_half_gallery(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    Path("broken.png").write_bytes(b"no picture")
    outcome = ganforge("gallery", shapes_run, "--pictures", "broken.png", "-o", "page")
    assert outcome.code == 3
    assert [path.name for path in in_tmp.iterdir()] == ["broken.png"]


def test_pictures_of_ones_own_with_any_name(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    Path("mine").mkdir()
    for name in ('<b>&".png', "x.png", "y.png"):
        Image.new("RGB", (40, 24), "red").save(Path("mine", name), "PNG")
    outcome = ganforge("gallery", shapes_run, "--pictures", "mine", "-n", "2", "-o", "page")
    assert outcome.code == 0, outcome.err
    assert "the first 2 of 3 pictures; -n 3 shows all" in outcome.out
    text = Path("page/index.html").read_text()
    assert "<figcaption>&lt;b&gt;&amp;&quot;.png</figcaption>" in text
    with Image.open("page/pictures/0_000_after.webp") as after:
        assert after.size == (40, 24)


def test_pictures_that_are_not_there(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    Path("empty").mkdir()
    for given, told in (("nowhere", "there is no nowhere"), ("empty", "there are no pictures in empty")):
        outcome = ganforge("gallery", shapes_run, "--pictures", given, "-o", "page")
        assert (outcome.code, told in outcome.err) == (2, True)


def test_without_the_dataset_the_panels_remain(folders_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    run = in_tmp / "runs/r/0001"
    shutil.copytree(folders_run, run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(re.sub(r"root: [^,}\n]+", "root: gone", recipe))
    outcome = ganforge("gallery", run)
    assert outcome.code == 0, outcome.err
    assert "The dataset is not on this machine, so only the panels are shown: " in outcome.out
    text = (run / "gallery/index.html").read_text()
    assert "The dataset is not on this machine" in text
    assert 'class="timeline"' in text
    assert 'class="compare"' not in text


def test_of_a_bundle(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("bundle", shapes_run, "-o", "shapes.ganforge.zip").code == 0
    assert ganforge("gallery", "shapes.ganforge.zip", "-n", "1").code == 0
    text = Path("shapes_gallery/index.html").read_text()
    assert text.count('class="compare') == 2
    assert text.count("<output>step 4</output>") == 2


def test_what_has_nothing_to_show(ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("gallery", in_tmp).code == 2
    written_run(in_tmp / "runs/r/0001")
    outcome = ganforge("gallery", "runs/r/0001")
    assert outcome.code == 2
    assert "has neither panels nor pictures to show" in outcome.err
    assert not Path("runs/r/0001/gallery").exists()


def test_of_many_panels_evenly_spread_ones_are_shown(in_tmp: Path) -> None:
    for step in range(0, 1010, 10):
        path = in_tmp / f"images/a2b/step_{step:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (in_tmp / "images/a2b/notes.png").touch()
    for most, steps in ((1, [1000]), (2, [0, 1000]), (5, [0, 250, 500, 750, 1000]), (500, list(range(0, 1010, 10)))):
        shown = [step for step, _ in frames(in_tmp, most)["a2b"]]
        assert shown[-1] == 1000
        assert shown == steps or most == 1


def test_pictures_made_of_noise_have_no_slider(in_tmp: Path) -> None:
    record = Record(in_tmp, {"recipe": "toy", "total_steps": 5, "step": 3})
    made = [Comparison(None, "a.webp", "sample 1", 32, 32)]
    section = Section("fake", "fake = G(z)", "", "fake", made, [Frame(3, "p.webp", 9, 9)])
    text = render(Page(record, "", "", [section]))
    assert 'class="made sharp"' in text
    assert 'type="range"' not in text  # neither on the picture nor on a timeline of one step
    assert "3 of 5" in text


# The page in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, gallery: Path) -> Iterator[Tab]:
    """The page, from the disk; anything that it complains of is a failure."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda request: complaints.append(request.url))
    opened.goto((gallery / "index.html").as_uri())
    yield opened
    assert complaints == []
    opened.close()


def clip(tab: Tab, number: int = 0) -> str:
    """Of the original that lies on the translation: `inset(0px 50% 0px 0px)`."""
    return str(tab.locator(".compare .before").nth(number).evaluate("image => getComputedStyle(image).clipPath"))


def test_the_mouse_moves_the_border(tab: Tab) -> None:
    assert "50%" in clip(tab)
    box = tab.locator(".compare").first.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2, steps=5)
    tab.mouse.up()
    found = re.search(r"(\d+)%", clip(tab))
    assert found is not None
    assert abs(int(found[1]) - 75) <= 2
    assert "50%" in clip(tab, 1)
    line = tab.locator(".compare .line").first.bounding_box()
    assert line is not None
    assert abs(line["x"] + line["width"] / 2 - (box["x"] + box["width"] * 0.25)) <= 0.02 * box["width"] + 1


def test_the_keyboard_moves_it(tab: Tab) -> None:
    tab.locator(".compare input").first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    assert "47%" in clip(tab)
    tab.keyboard.press("End")
    assert "high" in str(tab.locator(".compare").first.get_attribute("class"))


def test_one_slider_moves_all_of_its_direction(tab: Tab) -> None:
    tab.locator(".all input").first.evaluate("input => { input.value = 10; input.dispatchEvent(new Event('input')); }")
    assert ["90%" in clip(tab, number) for number in range(6)] == [True] * 3 + [False] * 3


def test_the_timeline_shows_the_panel_of_its_step(tab: Tab) -> None:
    timeline = tab.locator(".timeline").first
    image, output = timeline.locator("img"), timeline.locator("output")
    assert (image.get_attribute("src"), output.text_content()) == ("panels/0_0000004.webp", "step 4")
    timeline.locator("input").focus()
    tab.keyboard.press("ArrowLeft")
    assert (image.get_attribute("src"), output.text_content()) == ("panels/0_0000002.webp", "step 2")
    assert timeline.locator("input").get_attribute("aria-valuetext") == "step 2"
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_play_goes_through_it_and_stops(tab: Tab) -> None:
    timeline = tab.locator(".timeline").first
    seen = timeline.evaluate(
        """timeline => new Promise(resolve => {
            const seen = [], play = timeline.querySelector(".play");
            new MutationObserver(() => seen.push(timeline.querySelector("output").textContent))
                .observe(timeline.querySelector("output"), { childList: true });
            new MutationObserver(() => play.classList.contains("on") || resolve(seen))
                .observe(play, { attributes: true, attributeFilter: ["class"] });
            play.click();
        })"""
    )
    assert seen == ["step 0", "step 2", "step 4"]
    assert timeline.locator(".play").get_attribute("aria-label") == "Play"


def test_names_are_text_and_nothing_else(tab: Tab) -> None:
    assert tab.title() == f"{HOSTILE} · 0001"
    assert HOSTILE in str(tab.locator("h1").text_content())
    assert tab.locator("script").count() == 1
    assert tab.locator("img[src=x]").count() == 0


def test_no_script_but_its_own_would_run(tab: Tab, gallery: Path) -> None:
    """Should something get through after all, the page's policy stops it."""
    policy = tab.locator("meta[http-equiv]").get_attribute("content")
    assert "script-src 'self'" in str(policy)
    assert "unsafe" not in str(policy)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser: Any, gallery: Path, scheme: str) -> None:
    phone = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    phone.goto((gallery / "index.html").as_uri())
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    red, *_ = map(int, re.findall(r"\d+", phone.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert (red < 60) == (scheme == "dark")
    phone.close()
