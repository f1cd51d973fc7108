"""Tables of samples: CSV, JSON lines, Parquet, and the `dataset.json` of StyleGAN's tools."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganforge import EnvironmentFault

Row = Mapping[str, Any]


def read_table(path: Path) -> Sequence[Row]:
    """The rows of a table, by the names of its columns; numbers of CSV are texts.

    Raises:
        EnvironmentFault: it is not there, cannot be read, or is no table.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".json": _dataset_json, ".parquet": _parquet}
    if (read := readers.get(path.suffix.lower())) is None:
        known = ", ".join(sorted(readers))
        raise EnvironmentFault(f"{path} is no table that is read", f"known are {known}")
    try:
        rows = read(path)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{error}"
        raise EnvironmentFault(f"cannot read the table {path}: {reason}", "correct `table`, or the file") from error
    if not rows:
        raise EnvironmentFault(f"the table {path} has no rows", "it should have one for each sample")
    return rows


def _csv(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(f"line {number} has other columns than the first one")
    return list(rows)


def _jsonl(path: Path) -> list[Row]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line should be an object: {...}")
    return rows


def _dataset_json(path: Path) -> list[Row]:
    """`{"labels": [["00000/img.png", 3], ...]}`: as rows of `file` and `label`."""
    labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
    if labels is None:
        raise ValueError("its labels are null")
    return [{"file": file, "label": label} for file, label in labels]


def _parquet(path: Path) -> list[Row]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        message = f"{path} is read with pyarrow, which is not installed"
        raise EnvironmentFault(message, "pip install 'ganforge[parquet]'") from error
    try:
        rows: list[Row] = parquet.read_table(path).to_pylist()
    except importlib.import_module("pyarrow").ArrowException as error:
        raise ValueError(str(error)) from error
    return rows
