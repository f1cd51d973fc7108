"""What a folder of translations has already, so that a half-done one is gone on with."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.inference.translate.jobs import SHEETS, Job

NAME = "translation.jsonl"


class Ledger:
    """A file of lines: first with what the pictures are made, then each that is done, as it is done.

    A picture is done if its line names the same file with the same size and time, and its results are there.
    """

    def __init__(self, folder: Path, made_with: dict[str, Any], overwrite: bool = False) -> None:
        """Open a folder's ledger, or begin one.

        Raises:
            UsageError: the folder's pictures were made with something else, and are not to be overwritten.
            EnvironmentFault: the folder cannot be written to.
        """
        self.path = folder / NAME
        self.done: dict[str, Any] = {}
        lines = [] if overwrite else _lines_of(self.path)
        if len(lines) > 1 and lines[0] != made_with:
            before = lines[0]
            changed = [key for key in made_with if before.get(key) != made_with[key]]
            told = "\n".join(f"  {key}: {before.get(key)} -> {made_with[key]}" for key in changed)
            raise UsageError(
                f"the pictures in {folder} were made otherwise:\n{told}",
                "give another folder with -o, or --overwrite to make them anew",
            )
        self.done = {line["target"]: line for line in lines[1:] if "target" in line}
        self.shared = False
        """Whether results lie among the pictures: then each is noted before it is begun, too."""
        # Written anew: the last line may be torn.
        self._write("w", [made_with, *self.done.values()])

    @staticmethod
    def results(folder: Path) -> set[Path]:
        """The pictures that were made in a folder, or begun: they are none to translate."""
        lines = _lines_of(folder / NAME)[1:]
        targets = [Path(line["target"]) for line in lines if "target" in line]
        sheets = [SHEETS / target.with_suffix(".png") for target in targets]
        return {(folder / file).resolve() for file in (*targets, *sheets)}

    def begin(self, job: Job) -> None:
        """A picture will be there: should we be stopped now, it is known to be no picture to translate."""
        if self.shared:
            self._write("a", [{"target": self._target(job), "source": None}])

    def has(self, job: Job) -> bool:
        """Whether a picture is translated."""
        try:
            line = self._line(job)
        except OSError:  # told when it is to be read
            return False
        return self.done.get(line["target"]) == line and all(file.is_file() for file in job.files)

    def add(self, job: Job) -> None:
        """A picture is translated."""
        line = self._line(job)
        self.done[line["target"]] = line
        self._write("a", [line])

    def _line(self, job: Job) -> dict[str, Any]:
        found = job.source.stat()
        return {
            "target": self._target(job),
            "source": str(job.source.resolve()),
            "bytes": found.st_size,
            "changed_ns": found.st_mtime_ns,
        }

    def _target(self, job: Job) -> str:
        return job.target.relative_to(self.path.parent).as_posix()

    def _write(self, mode: str, lines: list[dict[str, Any]]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode, encoding="utf-8") as file:
                file.writelines(f"{_encoded(line)}\n" for line in lines)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {self.path}: {error.strerror}") from error


def _lines_of(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvironmentFault(f"cannot read {path}: {error.strerror}") from error
    lines = []
    for line in text.split("\n"):
        with suppress(json.JSONDecodeError):  # torn when a machine stopped: that picture is made again
            if isinstance(read := json.loads(line), dict):
                lines.append(read)
    return lines


def _encoded(line: dict[str, Any]) -> str:
    """A line as people read it; names that are no text, as file systems may have them, are escaped."""
    text = json.dumps(line, ensure_ascii=False)
    return json.dumps(line) if any("\ud800" <= character <= "\udfff" for character in text) else text
