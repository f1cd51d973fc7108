"""Small packs of shards, a host that serves them, and, run as a script, a process that trains on them."""

from __future__ import annotations

import hashlib
import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ganforge.builtin.datasets.shards.drafts import drafts_of, find_layout
from ganforge.builtin.datasets.shards.index import Index
from ganforge.builtin.datasets.shards.packing import pack

SHARD_BYTES = 20_480


def pack_small(root: Path, out: Path, layout: str | None = None, seed: int = 0, force: bool = False) -> Index:
    """A pack of shards of a few samples each."""
    found = find_layout(root, layout)
    return pack(root, drafts_of(root, found, seed, SHARD_BYTES), found, seed, out, force, lambda _: None)


class Host:
    """What a server was asked for, and how it misbehaves."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.statuses: list[int] = []  # of the next requests, in place of an answer
        self.breaks_after: list[int] = []  # bytes of the next requests' bodies

    @property
    def shards(self) -> list[str]:
        """The shards that were asked for."""
        return [name for name in self.asked if name.endswith(".tar")]


@contextmanager
def serving(folder: Path) -> Iterator[Host]:
    """A host of the files of a folder."""
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path.rpartition("/")[2])
            if host.statuses:
                self.send_error(host.statuses.pop(0))
                return
            file = folder / self.path.lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            body = file.read_bytes()
            asked = self.headers["Range"]
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            host.ranges += [asked] if asked else []
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = start + host.breaks_after.pop(0) if host.breaks_after else len(body)
            self.wfile.write(body[start:end])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    host.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def digest(root: str, cache_dir: str, cache_gib: float, workers: int) -> str:
    """Of twenty batches, as a loader with so many workers makes them."""
    import torch

    from ganforge.builtin.datasets import UnpairedShards
    from ganforge.ranks.device import Precision
    from ganforge.ranks.division import Division
    from ganforge.training.loader import Loader

    dataset = UnpairedShards(root, 14, 12, mix_shards=2, cache_dir=cache_dir, cache_gib=cache_gib)
    dataset.prepare()
    told = hashlib.sha256()
    loader = Loader(dataset.train(), Division(2), workers, 5, Precision("fp32", torch.device("cpu")))
    with closing(loader.batches(0)) as batches:
        for batch in itertools.islice(batches, 20):
            for name in sorted(batch):
                told.update(batch[name].numpy().tobytes())
    return told.hexdigest()


if __name__ == "__main__":
    print(digest(sys.argv[1], sys.argv[2], float(sys.argv[3]), workers=2))
