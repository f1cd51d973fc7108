"""Takes the pictures of docs/dashboards.md: each tab of a TensorBoard that `ganforge board` has started.

    ganforge board runs/cyclegan_shapes &
    uv run python docs/screenshots.py http://127.0.0.1:6006

It needs playwright, of the development group, and a Chromium.
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path

import click

FOLDER = Path(__file__).parent / "images" / "dashboards"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
TABS = {
    "time_series": "timeseries",
    "scalars": "scalars",
    "custom_scalars": "custom_scalars",
    "images": "images",
    "histograms": "histograms",
    "distributions": "distributions",
    "text": "text",
    "hparams": "hparams",
}


@click.command()
@click.argument("board")
@click.option("--chromium", default="/usr/bin/chromium", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(TABS)))
def main(board: str, chromium: str, only: tuple[str, ...]) -> None:
    """Write a PNG for each tab of the TensorBoard at BOARD."""
    from playwright.sync_api import sync_playwright

    with urllib.request.urlopen(f"{board}/data/plugin/images/tags") as answer:
        runs = json.load(answer)
    newest = max(runs)
    cards: list[dict[str, object]] = [
        {"plugin": "images", "tag": tag, "runId": f"defaultExperimentId/{newest}", "sample": 0} for tag in runs[newest]
    ]
    cards += [{"plugin": "scalars", "tag": tag} for tag in ("scores/D_b/real", "losses/cycle_a")]
    FOLDER.mkdir(exist_ok=True, parents=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        for name in only or TABS:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            query = {"forceSvg": "true", "smoothing": "0.6"}
            if name == "time_series":
                query["pinnedCards"] = json.dumps(cards)
            page.goto(f"{board}/?{urllib.parse.urlencode(query)}#{TABS[name]}")
            page.wait_for_timeout(9000)
            page.screenshot(path=FOLDER / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
