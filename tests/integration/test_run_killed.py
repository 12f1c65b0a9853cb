"""A training that is killed, at whatever moment, keeps every snapshot that was done.

Run as a script, this file is the nursery: a process that has imported torch once and forks one
training after the other, kills each after a while, and says how far it had come.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch import nn

import fathom
from fathom.store import writer

LAYERS = ("0", "2")
KILLS_A_RUN = 5
STEP_BYTES = 8


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def train(folder: str, first: int, journal: str, keep: str, report: int) -> NoReturn:
    """Train for ever; tell each step once its snapshot is done."""
    pytest.MonkeyPatch().setattr(writer, "journal_mode", lambda folder: journal)
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    os.write(report, b"begun".ljust(STEP_BYTES))
    monitor = fathom.watch(model, folder, keep=keep, resume=True, budget=None)
    step = first
    while True:
        model.train()
        loss = model(torch.randn(32, 8)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        model(torch.randn(32, 8))
        monitor.snapshot(step=step, double=2 * step).wait()
        os.write(report, step.to_bytes(STEP_BYTES, "little"))
        step += 1


def kill_one(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a training, kill it after a delay, and return what it had told."""
    reading, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(order["folder"], order["first"], order["journal"], order["keep"], report)
        finally:
            os._exit(1)
    os.close(report)
    told = os.read(reading, STEP_BYTES)
    if order["after"] == "snapshot":
        told += os.read(reading, STEP_BYTES)
    time.sleep(order["delay"])
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while chunk := os.read(reading, 2**16):
        told += chunk
    os.close(reading)
    words = [told[at : at + STEP_BYTES] for at in range(0, len(told), STEP_BYTES)]
    return {
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "steps": [int.from_bytes(word, "little") for word in words[1:]],
    }


def nursery() -> None:
    """Take an order a line, and answer each."""
    torch.set_num_threads(1)
    # What PyTorch imports late, it imports here once and not in every child.
    torch.optim.SGD(small().parameters(), lr=0.01).zero_grad()
    for line in sys.stdin:
        print(json.dumps(kill_one(json.loads(line))), flush=True)


@contextmanager
def trainings() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def killed(process: "subprocess.Popen[str]", order: dict[str, Any]) -> list[int]:
    """Have a training killed; return the steps that it had told."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps(order), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline())
    assert answer["killed"], "the training had ended by itself"
    steps: list[int] = answer["steps"]
    return steps


def check(folder: Path, told: list[int], *, keep: str, fully: range) -> int:
    """Read a run whose training was killed; return its last step, -1 where there is none."""
    with fathom.open_run(folder) as run:
        steps = run.steps
        assert steps == list(range(len(steps)))
        # Nothing that was told is missing; one more may be there that could not be told any more.
        assert len(told) <= len(steps) <= len(told) + 1
        assert run.damaged == []
        if steps:
            assert run.metrics["double"].tolist() == [2.0 * step for step in steps]
            assert run.layers == list(LAYERS)
        for phase in ("train", "eval"):
            values = run.statistic("saturation", phase=phase)
            assert values.shape == (len(steps), len(run.layers))
            assert not np.isnan(values).any()
        for step in fully:
            for layer in LAYERS:
                assert run.spectrum(layer, step=step).rows == 32
                if keep == "covariance":
                    covariance, mean = run.covariance(layer, step=step)
                    assert covariance.shape == (len(mean), len(mean))
    # This comes last, as a connection that may write mends what a reader must not depend on.
    connection = sqlite3.connect(folder / "run.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return len(steps) - 1


def go_on(folder: Path, step: int, *, keep: str) -> None:
    """Resume the run and record one step more."""
    model = small()
    with fathom.watch(model, folder, keep=keep, resume=True, budget=None) as monitor:
        for training in (True, False):
            model.train(training)
            model(torch.randn(32, 8))
        assert monitor.snapshot(step=step, double=2 * step).eval["0"].rows == 32
    if keep == "covariance":
        # A killed process may leave a hidden temporary file of the safetensors package's own.
        kept = (folder / "covariances").glob("[!.]*")
        assert sorted(path.name for path in kept) == [
            f"{recorded:08d}.safetensors" for recorded in range(step + 1)
        ]


@pytest.mark.parametrize(("journal", "share"), [("wal", 1), ("delete", 0.25)])
def test_a_killed_training_keeps_every_snapshot(
    tmp_path: Path, pytestconfig: pytest.Config, journal: str, share: float
) -> None:
    kills = round(pytestconfig.getoption("--kills") * share)
    generator = random.Random(0)
    total = 0
    with trainings() as process:
        for number in range(kills):
            turn, again = divmod(number, KILLS_A_RUN)
            if not again:
                folder, told = tmp_path / f"run{turn}", list[int]()
                keep = ("spectrum", "covariance")[turn % 2]
            order = {
                "folder": str(folder),
                "first": len(told),
                "keep": keep,
                "journal": journal,
                # One in five may be hit before its first snapshot, or while the run is opened.
                "after": "begun" if generator.random() < 0.2 else "snapshot",
                "delay": generator.uniform(0, 0.15),
            }
            before = len(told)
            told += killed(process, order)
            total += len(told) - before
            if not told and not holds_run(folder):
                continue
            last = check(folder, told, keep=keep, fully=range(before, len(told)))
            go_on(folder, last + 1, keep=keep)
            told = list(range(last + 2))
    assert total >= kills / 2


def holds_run(folder: Path) -> bool:
    """Whether the training came so far as to make its run."""
    try:
        fathom.open_run(folder).close()
    except fathom.RunNotFoundError:
        return False
    return True


if __name__ == "__main__":
    nursery()
