"""The benchmark runs, in its smallest form; its figures are not looked at."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark in a process of its own, as `make bench` does."""
    command = [sys.executable, "-W", "ignore", str(BENCHMARKS), "--threads", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_smoke_run_writes_every_table(tmp_path: Path) -> None:
    result = benchmark("--quick", "--write", str(tmp_path))
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "## Goals",
        "## Memory",
        "## A training step",
        "## Live probes",
        "## A snapshot",
        "## Growth with the width",
        "## Growth with the number of layers",
        "## Growth with the batch",
        "## A call that is skipped",
        "## Default against exact",
        "## Probes",
    ]
    variants = ["default", "exact", "floor", *(["delve"] if find_spec("delve") else [])]
    for variant in variants:
        # Two rounds of two steps.
        assert f"| {variant} | 4 |" in text
    goals = text.split("## Goals")[1].split("## Memory")[0]
    assert len([line for line in goals.splitlines() if "| at " in line]) == 10


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_a_line() -> None:
    result = benchmark("--quick", "--device", "cuda")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "benchmarks: --device cuda must have a GPU, got none. Pass --device cpu."
    ]
    assert result.stdout == ""
