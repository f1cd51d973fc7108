"""The recipes learn: shortened trainings come near the true distribution. See the README for whole ones."""

from __future__ import annotations

from ganforge.testing import run_recipe


def test_a_short_wgan_gp_finds_all_modes() -> None:
    """1,500 of 10,000 steps. Proves that the critic and the generator play together, not how far they get."""
    shortened = [f"players.{player}.schedule.steps=1500" for player in ("generator", "discriminator")]
    figures = run_recipe("wgan_gp_ring", *shortened, "data.validation=1000", steps=1500).metrics
    assert figures["ring/modes"] >= 6
    assert figures["ring/distance"] < 0.06
