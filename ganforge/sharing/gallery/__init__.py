"""A run as a folder of plain HTML: it opens from the disk, and from any web server, and asks nobody for anything."""

from ganforge.sharing.gallery.folder import finished, frames, is_ours
from ganforge.sharing.gallery.page import Comparison, Frame, Page, Section, render

__all__ = ["Comparison", "Frame", "Page", "Section", "finished", "frames", "is_ours", "render"]
