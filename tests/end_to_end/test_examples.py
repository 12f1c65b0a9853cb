"""Every example runs as it stands, and records what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

import fathom
from preloaded import done

EXAMPLES = Path(__file__).parents[2] / "examples"

RUNS = {
    "digits_cnn": "digits-cnn",
    "lstm": "lstm",
    "character_model": "characters",
    "padded_transformer": "padded",
    "lightning_digits": "lightning",
    "ddp": "ddp",
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == RUNS.keys()


@pytest.fixture(scope="module", params=RUNS)
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, Path]:
    """The name of an example, what it printed, and the folder that it ran in."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2"] if name == "ddp" else []
    told = (
        subprocess.run(
            [sys.executable, *launcher, EXAMPLES / f"{name}.py"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if launcher
        # Of fathom nothing is there before the example imports it.
        else done(EXAMPLES / f"{name}.py", cwd=folder, modules=("torch",))
    )
    assert told.returncode == 0, told.stderr
    return name, told.stdout, folder


def test_it_runs_and_records(example: tuple[str, str, Path]) -> None:
    name, said, folder = example
    with fathom.open_run(folder / "runs" / RUNS[name]) as run:
        assert run.damaged == []
        last = run.snapshot()
        readings = last.phase(last.usual_phase)
        assert len(readings) >= 2
        assert not last.disabled
        assert all(reading.rows > 0 for reading in readings.values())
        match name:
            case "digits_cnn" | "lstm" | "lightning_digits":
                assert run.metrics["accuracy"][-1] > 0.6
                assert {*last.train} == {*last.eval}
            case "character_model":
                assert run.steps == [50, 100, 150, 200]
                assert run.metrics["held_out"][-1] < run.metrics["held_out"][0]
            case "padded_transformer":
                reading = last.train["bert.encoder.layer.1.output.dense"]
                assert reading.padded > 0
                assert reading.rows + reading.padded == 60 * 32 * 16
                assert f"{reading.padded:,} places of padding" in said
            case "ddp":
                assert {reading.rows for reading in last.train.values()} == {2 * (1797 // 2)}
                assert said.count("1,796 rows of all ranks") == 4
