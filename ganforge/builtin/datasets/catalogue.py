"""What the fields of a dataset are read from: the rows of a table, and files of one name in several folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ganforge import EnvironmentFault
from ganforge.builtin.datasets.fields import FieldSource
from ganforge.builtin.datasets.fitting import MOST
from ganforge.builtin.datasets.layout.model import HELD_OUT, role_of
from ganforge.builtin.datasets.tables import Row, read_table
from ganforge.images.listing import did_you_mean, list_images, visible_folders

SPLIT = "{split}"
"""What stands for train, val or test in the name of a folder."""


@dataclass(frozen=True)
class Contents:
    """What the samples of a split are made of."""

    files: Mapping[str, Sequence[Path]]
    """Of each field of pictures, in the order of samples; independent ones in their own."""
    values: Mapping[str, Tensor]
    """Of each field of classes or numbers, `[N, ...]`."""
    count: int


class Catalogue:
    """Where the values of fields lie, each read once: whoever wants to look anew makes another one."""

    def __init__(self, sources: Mapping[str, FieldSource], root: Path, table: Path | None) -> None:
        self.sources, self.root, self.table = sources, root, table
        self._known: dict[str, Contents] = {}

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The table's rows, of all splits; none where there is no table.

        Raises:
            EnvironmentFault: it cannot be read, lacks a column, or has a row of no split.
        """
        if self.table is None:
            return []
        rows = read_table(self.table)
        columns = {column for source in self.sources.values() for column in source.columns}
        if lacking := sorted(columns - set(rows[0])):
            has = ", ".join(rows[0])
            raise EnvironmentFault(f"the table {self.table} has no column '{lacking[0]}'", f"it has {has}")
        if column := _split_column(rows):
            wrong = [n for n, row in enumerate(rows, start=1) if role_of(str(row[column])) is None]
            if wrong:
                told = f"row {wrong[0]} of {self.table} has the split '{rows[wrong[0] - 1][column]}'"
                raise EnvironmentFault(f"{told}, and so it is with {len(wrong)} in all", "write train, val or test")
        return rows

    @cached_property
    def validation(self) -> str | None:
        """The split that validates: val, or else test."""
        folders = [source.folder for source in self.sources.values() if source.folder and SPLIT in source.folder]
        for split in HELD_OUT:
            if _split_column(self.rows) and self._rows(split):
                return split
            if any(list_images(self._split_folder(folder, split)) for folder in folders):
                return split
        return None

    @property
    def splits(self) -> list[str]:
        """The splits that a training reads."""
        return ["train", *([self.validation] if self.validation else [])]

    def contents(self, split: str) -> Contents:
        """What the samples of a split are made of.

        Raises:
            EnvironmentFault: a folder, a file or a column is missing, or a file has no partner.
        """
        if split not in self._known:
            self._known[split] = self._find(split)
        return self._known[split]

    def _find(self, split: str) -> Contents:
        rows = self._rows(split)
        if self.rows and not rows:
            raise EnvironmentFault(f"no row of {self.table} has the split '{split}'", "name it in the column `split`")
        files: dict[str, Sequence[Path]] = {}
        named = {name: self._in_folder(name, source, split) for name, source in self.sources.items() if source.folder}
        if rows:
            files |= self._of_table(rows)
            stems = self._stems(next(iter(files.values())), named.values()) if files else None
        else:
            stems = None
        together = {name: found for name, found in named.items() if not self.sources[name].independent}
        if together:
            files |= _matched(together, stems)
        files |= {name: list(found.values()) for name, found in named.items() if self.sources[name].independent}
        valued = {name: source for name, source in self.sources.items() if not source.is_file}
        values = {name: source.values(rows, name) for name, source in valued.items()}
        count = next(len(found) for name, found in files.items() if not self.sources[name].independent)
        return Contents({name: files[name] for name in self.sources if name in files}, values, count)

    def _stems(self, files: Sequence[Path], folders: Iterable[Mapping[str, Path]]) -> list[str]:
        """What files of a table are called in folders: by their paths below the root, or by their names alone.

        Raises:
            EnvironmentFault: two of them would share what a folder has.
        """
        known = [set(found) for found in folders]
        whole = [path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in files]
        paths = [path.with_suffix("").as_posix() for path in whole]
        if known and all(set(paths) <= stems for stems in known):
            return paths
        names = [path.stem for path in files]
        shared = [name for name, count in Counter(names).items() if count > 1]
        if known and shared and len(set(files)) > len(set(names)):
            raise EnvironmentFault(
                f"several files of {self.table} are called '{shared[0]}', and would share what folders have of it",
                "lay the folders' files out in the same subfolders, or name them in a column",
            )
        return names

    def _rows(self, split: str) -> Sequence[Row]:
        """The rows of a split; all, where the table says nothing of splits."""
        if (column := _split_column(self.rows)) is None:
            return self.rows
        return [row for row in self.rows if (role_of(str(row[column])) or ("",))[0] == split]

    def _of_table(self, rows: Sequence[Row]) -> dict[str, Sequence[Path]]:
        """The files that a table names; all that are missing are told."""
        files: dict[str, Sequence[Path]] = {}
        missing: list[str] = []
        for name, source in self.sources.items():
            if source.column and source.is_file:
                files[name] = [self.root / str(row[source.columns[0]]) for row in rows]
                missing += [f"  {path} ({name})" for path in files[name] if not path.is_file()]
        if missing:
            shown = "\n".join(missing[:MOST])
            raise EnvironmentFault(
                f"{len(missing)} files of {self.table} are missing:\n{shown}", "correct `root`, or it"
            )
        return files

    def _split_folder(self, folder: str, split: str) -> Path:
        """A folder of a split, as it is called here: `Val` and `validation` are val."""
        plain = self.root / folder.replace(SPLIT, split)
        above = self.root / folder.partition(SPLIT)[0]
        if SPLIT not in folder or plain.is_dir() or not above.is_dir():
            return plain
        names = [path.name for path in visible_folders(above) if (role_of(path.name) or ("",))[0] == split]
        return self.root / folder.replace(SPLIT, names[0]) if names else plain

    def _in_folder(self, name: str, source: FieldSource, split: str) -> dict[str, Path]:
        """The files of a field's folder, by their names without suffix."""
        folder = self._split_folder(str(source.folder), split)
        if not folder.is_dir():
            raise EnvironmentFault(f"{folder}: no such folder, of the field '{name}'{did_you_mean(folder)}")
        found: dict[str, Path] = {}
        for path in list_images(folder):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in found:
                raise EnvironmentFault(f"{found[stem]} and {path} have one name but for their suffixes", "rename one")
            found[stem] = path
        if not found:
            raise EnvironmentFault(f"{folder}: no pictures in it, of the field '{name}'")
        return found


def _split_column(rows: Sequence[Row]) -> str | None:
    """The column that says which split a row is of."""
    return next((name for name in rows[0] if str(name).strip().lower() == "split"), None) if rows else None


def _matched(folders: Mapping[str, Mapping[str, Path]], stems: Sequence[str] | None) -> dict[str, Sequence[Path]]:
    """Files of one name in all folders, in the order of a table's samples, or of the first folder.

    Raises:
        EnvironmentFault: some have no partner; the message names them.
    """
    wanted = list(next(iter(folders.values()))) if stems is None else stems
    known = set(wanted)
    lonely = [
        f"  {name} has none for '{stem}'" for name, found in folders.items() for stem in wanted if stem not in found
    ]
    if stems is None:
        first = next(iter(folders))
        others = ((path, stem) for found in folders.values() for stem, path in found.items())
        lonely += [f"  {path}: '{first}' has none" for path, stem in others if stem not in known]
    if lonely:
        more = f"\n  and {len(lonely) - MOST} more" if len(lonely) > MOST else ""
        shown = "\n".join(lonely[:MOST])
        raise EnvironmentFault(f"{len(lonely)} files have no partner:\n{shown}{more}", "rename them, or take them out")
    return {name: [found[stem] for stem in wanted] for name, found in folders.items()}
