"""Using what a run has learnt: pictures in, pictures out."""

from ganforge.engine.translation.translator import Translator, load

__all__ = ["Translator", "load"]
