"""What is in the lowest bits of a picture is learnt: it could not be, if anything rounded on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tiny import TINY

from ganforge import images
from ganforge.images import Storage

BASE = 0x8000
"""The upper 8 bits of all values."""


def write(path: Path, seed: int, bright: bool) -> None:
    """Values whose upper 8 bits are all the same; the lower ones are dark, or bright."""
    coarse = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    low = torch.nn.functional.interpolate(coarse, (24, 24), mode="bilinear")[0] * 100 + (155 if bright else 0)
    images.write_image(path, (low.round().int() + BASE).to(torch.uint16))


def test_a_cyclegan_learns_what_only_the_lowest_bits_carry(in_tmp: Path, ganforge: Callable) -> None:
    for split, count in (("train", 12), ("test", 3)):
        for bright, domain in enumerate("AB"):
            (in_tmp / f"low/{split}{domain}").mkdir(parents=True)
            for number in range(count):
                write(in_tmp / f"low/{split}{domain}/{number}.png", number + 100 * bright, bool(bright))
    range_ = f"[{BASE}, {BASE + 255}]"
    (in_tmp / "low.yaml").write_text(
        f"""
extends: {TINY}/cyclegan_horse2zebra.yaml
data:
  {{root: low, load_px: 16, crop_px: 16, batch_size: 4, channels_a: 1, channels_b: 1, cache: memory,
   depth_a: 16, depth_b: 16, range_a: {range_}, range_b: {range_}}}
networks:
  G_ab: &G {{channels: 8, in_channels: 1, out_channels: 1}}
  G_ba: *G
  D_a: &D {{channels: 8, in_channels: 1}}
  D_b: *D
players:
  generators: {{optimizer: {{lr: 2e-3}}, schedule: null}}
  discriminators: {{optimizer: {{lr: 2e-3}}, schedule: null}}
run: {{steps: 150, images: [], checkpoint_every: 150, log_every: 50, images_every: 150}}
"""
    )
    done = ganforge("run", "low.yaml", "phases.0.losses.identity_a=null", "phases.0.losses.identity_b=null")
    assert done.code == 0, done.err
    assert ganforge("translate", "runs/low/0001", "low/testA", "-o", "out").code == 0
    made = torch.stack([Storage(1, 16).read(path).int() for path in sorted(Path("out").glob("*.png"))])
    assert len(made) == 3
    assert (made >> 8).unique().tolist() == [BASE >> 8]
    dark, bright = (
        torch.stack([Storage(1, 16).read(path).int() for path in sorted(Path(f"low/test{d}").iterdir())]) for d in "AB"
    )
    # From about 50 to about 205 of 255: nearer to the bright than to the dark ones.
    assert float(made.float().mean()) > (float(dark.float().mean()) + float(bright.float().mean())) / 2
