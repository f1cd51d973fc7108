"""Which files of a dataset do not fit, told for all of them at once, before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ganforge import BadFile, images
from ganforge.builtin.datasets.framing import Framing
from ganforge.images.headers import Header, look, read_header

MOST = 5
"""How many files a message names."""
_VARIED = (".tif", ".tiff", ".npy", ".npz", ".dcm")  # whose files need not be plain pictures


def refuse_misfits(files: Mapping[images.Storage, Sequence[Path]], framing: Framing) -> None:
    """Look at the headers of files that may not fit: of all, where a recipe asks for more than plain pictures.

    Raises:
        BadFile: some do not fit; the message names them, and the cure.
    """
    found = [fault for storage, paths in files.items() for fault in _misfits(paths, storage, framing)]
    if not found:
        return
    first, *_ = found
    alike = [(path, text) for path, text, cure in found if cure == first[2]]
    shown = "\n".join(f"  {path}: {text}" for path, text in alike[:MOST])
    more = f"\n  and {len(alike) - MOST} more" if len(alike) > MOST else ""
    others = f"; {len(found) - len(alike)} do not fit for other reasons" if len(alike) < len(found) else ""
    count = "1 file does" if len(alike) == 1 else f"{len(alike)} files do"
    raise BadFile(f"{count} not fit{others}:\n{shown}{more}", first[2])


def refuse_two_sizes(samples: Sequence[Sequence[tuple[Path, images.Storage]]]) -> None:
    """Look at the headers of files that belong together, and are cropped as they are.

    Raises:
        BadFile: some are of different sizes; the message names them.
    """
    found = []
    for files in samples:
        headers = [(path, read_header(path, storage.channels)) for path, storage in files]
        if len({(header.height, header.width) for _, header in headers}) > 1:
            found.append(", ".join(f"{path} {header.width}x{header.height}" for path, header in headers))
    if found:
        shown = "\n".join(f"  {line}" for line in found[:MOST])
        more = f"\n  and {len(found) - MOST} more" if len(found) > MOST else ""
        message = f"pictures that belong together are of different sizes:\n{shown}{more}"
        raise BadFile(message, "make them of one size, or say a `fit` that scales them")


def _misfits(paths: Sequence[Path], storage: images.Storage, framing: Framing) -> Iterator[tuple[Path, str, str]]:
    plain = storage.range is None and storage.depth == 8 and storage.channels in (1, 2, 3, 4)
    for path in paths:
        if plain and framing.one_size and path.suffix.lower() not in _VARIED:
            continue
        header = look(path, storage)
        if not isinstance(header, Header):
            yield path, *header
        elif not framing.one_size:
            height, width = framing.scaled(header.height, header.width)
            if height < framing.crop[0] or width < framing.crop[1]:
                scaled = f", scaled to {width} x {height}" if framing.scale_px else ""
                wanted = f"a sample is {framing.crop[1]} x {framing.crop[0]}"
                yield path, f"it is {header.width} x {header.height}{scaled}, and {wanted} (width x height)", CURE


CURE = "lower `crop_px`, raise `scale_px`, or say `fit: cover`, which enlarges them; or take them out"
