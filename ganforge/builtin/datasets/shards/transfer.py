"""Bringing a file over HTTP: goes on where a connection broke off, waits where the server is down, and gives up."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from typing import BinaryIO

from ganforge import EnvironmentFault
from ganforge.builtin.datasets.download import NETWORK_FAULTS, TIMEOUT_S

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # between attempts that brought nothing
_CHUNK = 1 << 20
_PASSING = frozenset((http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS))


def transfer(url: str, file: BinaryIO, most: int) -> None:
    """Write what is at a URL into a file, from its beginning on.

    Raises:
        EnvironmentFault: it is not there, larger than `most` bytes, or the network is down for longer than the pauses.
        OSError: the disk is full.
    """
    had, barren = 0, 0
    while True:
        before = had
        try:
            had, whole = _attempt(url, file, had, most)
            if whole:
                file.truncate(had)
                return
            reason = "the connection broke off"
        except NETWORK_FAULTS as error:
            had = file.tell()
            reason = str(error).removeprefix("<urlopen error ").removesuffix(">")
            if _is_final(error):
                raise _unreachable(url, reason) from error
        if had > before:
            barren = 0
        elif barren < len(PAUSES_S):
            time.sleep(PAUSES_S[barren])
            barren += 1
        else:
            raise _unreachable(url, reason)


def _attempt(url: str, file: BinaryIO, had: int, most: int) -> tuple[int, bool]:
    """One request for the rest: how many bytes there are now, and whether that is all."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={had}-"} if had else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server knows no ranges, and sends all of it
            had = 0
        length = response.headers["Content-Length"]
        total = had + int(length) if length else None
        file.seek(had)
        while chunk := response.read(_CHUNK):
            if (had := had + len(chunk)) > most:
                break
            file.write(chunk)
    if max(had, total or 0) > most:
        raise EnvironmentFault(f"{url} has more than the {most} bytes that it should have")
    return had, total is None or had == total


def _is_final(error: Exception) -> bool:
    """Whether another attempt would bring the same."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code not in _PASSING
    return isinstance(error, http.client.InvalidURL)


def _unreachable(url: str, reason: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot fetch {url}: {reason}", "see whether this machine reaches that place; a run goes on where it stopped"
    )
