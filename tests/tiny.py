"""The tiny twins of the shipped recipes."""

from pathlib import Path

TINY = Path(__file__).resolve().parents[1] / "recipes" / "tiny"
RECIPES = sorted(path.stem for path in TINY.glob("*.yaml"))
