"""Samples that a validation set has more than once: the shorter of two folders starts over till the longer one ends."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from ganforge.api.datasets import Sample


class Repeats:
    """Tells which samples of a batch are new, as far as some of their fields go."""

    def __init__(self) -> None:
        self._samples: Sequence[Sample] = ()
        self._new: dict[frozenset[str], list[int]] = {}
        self._seen: dict[frozenset[str], set[bytes]] = defaultdict(set)

    def begin(self, samples: Sequence[Sample]) -> None:
        """Take up the next batch."""
        self._samples, self._new = samples, {}

    def new(self, fields: frozenset[str]) -> list[int]:
        """The samples of this batch whose fields differ from those of all before; without fields, every sample."""
        if fields not in self._new:
            numbered = enumerate(self._samples)
            self._new[fields] = [n for n, sample in numbered if not fields or self._is_new(fields, sample)]
        return self._new[fields]

    def _is_new(self, fields: frozenset[str], sample: Sample) -> bool:
        digest = hashlib.sha256()
        for name in sorted(fields):
            digest.update(sample[name].cpu().contiguous().numpy().tobytes())
        seen, key = self._seen[fields], digest.digest()
        if key in seen:
            return False
        seen.add(key)
        return True
