"""`run.to_pandas()` and `run.to_polars()`: the same numbers as the run, tidy and wide."""

import io
import math
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow.parquet
import pytest
import torch
from torch import nn

import fathom
from fathom.views.export import COLUMNS, export, write_parquet

WHOLE = ["step", "width", "rows", "samples"]
NAMES = ["phase", "layer", "kind"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 600), nn.Linear(600, 5)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps, with a sketched layer, and without eval at the first step."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    model = network()
    with fathom.watch(model, folder, budget=None, max_width=520) as monitor:
        for step in (0, 1, 5):
            model.train()
            model(torch.randn(40, 1, 6, 6))
            if step:
                model.eval()
                model(torch.randn(30, 1, 6, 6))
            monitor.snapshot(step=step, loss=1.0 / (step + 1))
    return folder


@pytest.fixture
def run(folder: Path) -> Iterator[fathom.Run]:
    with fathom.open_run(folder) as run:
        yield run


@pytest.mark.parametrize("threshold", [None, 0.8])
def test_the_tidy_frames_are_what_export_writes(run: fathom.Run, threshold: float | None) -> None:
    text = io.StringIO()
    count = export(run, text, threshold=threshold)
    text.seek(0)
    expected = pandas.read_csv(text, dtype={"layer": str})
    found = run.to_pandas(threshold=threshold)
    assert len(found) == count > 100
    assert list(found.columns) == list(COLUMNS)
    for column in found.columns:
        np.testing.assert_array_equal(found[column].to_numpy(), expected[column].to_numpy())
    of_polars = run.to_polars(threshold=threshold)
    assert of_polars.columns == list(COLUMNS)
    for column in COLUMNS[:-1]:
        assert of_polars[column].to_list() == found[column].tolist()
    values = of_polars["value"].fill_null(math.nan).to_numpy()
    np.testing.assert_array_equal(values, found["value"].to_numpy())


def test_numbers_are_numbers_and_names_are_categories_in_execution_order(run: fathom.Run) -> None:
    for wide in (False, True):
        frame, of_polars = run.to_pandas(wide=wide), run.to_polars(wide=wide)
        names = [*NAMES, *([] if wide else ["statistic"])]
        assert {f"{frame[column].dtype}" for column in WHOLE} == {"int64"}
        assert {f"{frame[column].dtype}" for column in names} == {"category"}
        rest = [column for column in frame.columns if column not in (*WHOLE, *names)]
        assert {f"{frame[column].dtype}" for column in rest} == {"float64"}
        assert list(frame["layer"].cat.categories) == run.layers == ["0", "3", "4"]
        assert list(frame["phase"].cat.categories) == ["train", "eval"]
        assert {of_polars.schema[column] for column in WHOLE} == {polars.Int64()}
        assert {of_polars.schema[column] for column in rest} == {polars.Float64()}
        assert of_polars.schema["layer"] == polars.Enum(run.layers)
        assert of_polars.schema["phase"] == polars.Enum(["train", "eval"])


def test_the_wide_frames_have_a_row_a_reading(run: fathom.Run) -> None:
    frame, of_polars = run.to_pandas(wide=True), run.to_polars(wide=True)
    assert len(frame) == of_polars.height == 3 * (1 + 2 + 2)
    assert of_polars.columns == list(frame.columns)
    for name in ("saturation", "intrinsic_dimension", "effective_rank", "log_determinant"):
        for phase in ("train", "eval"):
            table = frame[frame["phase"] == phase].pivot(index="step", columns="layer", values=name)
            expected = run.statistic(name, phase=phase)[-len(table) :]
            np.testing.assert_array_equal(table.to_numpy(), expected)
    sketched = frame["layer"] == "3"
    assert frame.loc[sketched, "effective_rank"].isna().all()
    assert (frame.loc[sketched, "at_least"] >= 1).all()
    assert frame.loc[~sketched, "at_least"].isna().all()
    of_sketch = of_polars.filter(polars.col("layer") == "3")
    assert of_sketch["effective_rank"].null_count() == len(of_sketch) == 5


@pytest.mark.parametrize(
    "statistics", [("intrinsic_dimension", "saturation"), ("saturation", "stable_rank")]
)
def test_some_statistics_are_the_same_numbers(run: fathom.Run, statistics: tuple[str, ...]) -> None:
    everything = run.to_pandas(wide=True)
    some = run.to_pandas(wide=True, statistics=statistics)
    assert list(some.columns) == [*COLUMNS[:-2], *statistics]
    pandas.testing.assert_frame_equal(some, everything[list(some.columns)])
    tidy = run.to_pandas(statistics=statistics)
    assert tidy["statistic"].tolist() == list(statistics) * len(some)
    np.testing.assert_array_equal(
        tidy["value"].to_numpy(), some[list(statistics)].to_numpy().reshape(-1)
    )
    assert run.to_polars(statistics=statistics).height == len(tidy)


def test_a_threshold_changes_what_it_defines(run: fathom.Run) -> None:
    loose = run.to_pandas(wide=True, threshold=0.5, statistics=["saturation"])
    strict = run.to_pandas(wide=True, statistics=["saturation"])
    both = strict["saturation"].notna() & loose["saturation"].notna()
    assert both.any()
    assert (loose["saturation"] < strict["saturation"])[both].all()


def test_one_name_alone_is_a_list_of_one_and_an_unmeasured_one_is_empty(run: fathom.Run) -> None:
    assert list(run.to_pandas(wide=True, statistics="rankme")["rankme"].isna()) == [True] * 15
    assert run.to_polars(statistics="rankme").height == 0


def test_a_name_that_is_given_twice_is_there_once(run: fathom.Run) -> None:
    for names in (["saturation", "saturation"], ["stable_rank", "saturation", "stable_rank"]):
        once = list(dict.fromkeys(names))
        for wide in (False, True):
            pandas.testing.assert_frame_equal(
                run.to_pandas(wide=wide, statistics=names),
                run.to_pandas(wide=wide, statistics=once),
            )
            found = run.to_polars(wide=wide, statistics=names)
            assert found.equals(run.to_polars(wide=wide, statistics=once))


def test_a_reading_whose_spectrum_is_damaged_is_there_where_it_is_not_read(
    folder: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(folder, damaged)
    with closing(sqlite3.connect(damaged / "run.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE readings SET eigenvalues = zeroblob(length(eigenvalues)) "
            "WHERE step = 1 AND layer = '0' AND phase = 'eval'"
        )
    with fathom.open_run(folder) as whole, fathom.open_run(damaged) as run:
        expected = whole.to_pandas(wide=True)
        with pytest.warns(fathom.FathomWarning, match="damaged"):
            found = run.to_pandas(wide=True)
        lost = (expected["step"] == 1) & (expected["layer"] == "0") & (expected["phase"] == "eval")
        pandas.testing.assert_frame_equal(found, expected[~lost].reset_index(drop=True))
        some = run.to_pandas(wide=True, statistics=["saturation"])
        pandas.testing.assert_frame_equal(some, expected[list(some.columns)])


@pytest.mark.parametrize("count", [0, 3, 16_384, 40_000])
def test_parquet_is_written_in_groups_of_rows(tmp_path: Path, count: int) -> None:
    made: list[int] = []

    def every() -> Iterator[Any]:
        for number in range(count):
            made.append(number)
            yield (number, "train", "a", "linear", 3, 40, 40, "saturation", number / 2)

    path = tmp_path / "x.parquet"
    assert write_parquet(every(), path) == count
    groups = pyarrow.parquet.ParquetFile(path)
    assert groups.num_row_groups == math.ceil(count / 16_384)
    table = groups.read()
    assert table.column_names == list(COLUMNS)
    assert [f"{each}" for each in table.schema.types] == [
        "int64",
        *["string"] * 3,
        *["int64"] * 3,
        "string",
        "double",
    ]
    assert table.column("step").to_pylist() == made
    assert table.column("value").to_pylist() == [number / 2 for number in made]


def test_a_run_without_steps_gives_frames_without_rows(tmp_path: Path) -> None:
    with fathom.watch(network(), tmp_path / "run"), fathom.open_run(tmp_path / "run") as run:
        for statistics in (None, ["saturation"]):
            assert run.to_pandas(statistics=statistics).shape == (0, len(COLUMNS))
            assert run.to_polars(statistics=statistics).shape == (0, len(COLUMNS))
            assert len(run.to_pandas(wide=True, statistics=statistics)) == 0
            assert run.to_polars(wide=True, statistics=statistics).height == 0


def test_what_is_no_statistic_or_threshold_is_refused(run: fathom.Run) -> None:
    with pytest.raises(
        fathom.ArgumentError, match=r"statistics must be one of .*got 'saturations'"
    ):
        run.to_pandas(statistics=["saturations"])
    with pytest.raises(fathom.ArgumentError, match=r"threshold must be in \(0, 1\], got 2"):
        run.to_polars(threshold=2)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named_with_its_extra(
    run: fathom.Run, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(fathom.MissingExtraError, match=rf"{package}.*extra '{package}'"):
        getattr(run, f"to_{package}")()
