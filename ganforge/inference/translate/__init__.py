"""Translating with what a run has learnt: pictures in, pictures out."""

from ganforge.inference.translate.translator import Translator

__all__ = ["Translator"]
