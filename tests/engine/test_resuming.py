"""What may change between the parts of a run."""

from __future__ import annotations

from ganforge.runs.resume_checks import changes


def test_a_run_on_shards_goes_on_with_another_disk() -> None:
    before = {"type": "unpaired_shards", "root": "https://one.org", "cache_dir": "/scratch", "cache_gib": 100}
    now = before | {"root": "/packs", "cache_dir": "~/.cache", "cache_gib": 32}
    assert changes({"data": before}, {"data": now}) == {}
    assert changes({"data": before}, {"data": before | {"mix_shards": 2}}) == {"data.mix_shards": ("absent", 2)}
