import csv
from pathlib import Path

from ganforge.testing import run_recipe


def test_a_row_for_each_reading(tmp_path: Path) -> None:
    run_recipe("my_plugin", "data.count=8", "data.validation=4", steps=3, folder=tmp_path)
    with (tmp_path / "losses.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["losses/cycle"]) > 0 for row in rows)
