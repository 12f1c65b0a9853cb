"""Processes that run a function of a test together, as the ranks of one training."""

import importlib.util
import multiprocessing
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import distributed

_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE = 120.0
"""Seconds until a rank is taken to hang."""


class Died(NamedTuple):
    """What came of a rank whose process ended."""

    code: int | None


class _Failed(NamedTuple):
    """What came of a rank that raised, or gave no answer."""

    why: str


class _Worker:
    def __init__(self) -> None:
        self.line, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.line.close()


class Processes:
    """Workers that live as long as the tests, as each takes seconds to import torch."""

    def __init__(self) -> None:
        self._workers: list[_Worker] = []

    def run(
        self, function: Callable[..., Any], *arguments: Any, ranks: int, limit: float = 60
    ) -> list[Any]:
        """Call a function of a test module on every rank, in one process group.

        It is called with `arguments`, and what it returns must be possible to pickle. An error in
        one is raised here. `limit` is the time limit of the process group, in seconds.
        """
        self._workers += [_Worker() for _ in range(ranks - len(self._workers))]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        place = Path(function.__code__.co_filename), function.__qualname__
        for rank, worker in enumerate(self._workers[:ranks]):
            worker.line.send((*place, arguments, rank, ranks, port, limit))
        results = [self._result(rank) for rank in range(ranks)]
        failures = [
            f"rank {rank}: {each.why}"
            for rank, each in enumerate(results)
            if isinstance(each, _Failed)
        ]
        assert not failures, "\n".join(failures)
        return results

    def _result(self, rank: int) -> Any:
        worker = self._workers[rank]
        if worker.line.poll(_PATIENCE):
            try:
                return worker.line.recv()
            except EOFError:
                worker.process.join()
                code = worker.process.exitcode
                self._workers[rank] = _Worker()
                return Died(code)
        worker.end()
        self._workers[rank] = _Worker()
        return _Failed(f"it gave no answer within {_PATIENCE:.0f} s")

    def close(self) -> None:
        for worker in self._workers:
            worker.end()


def _serve(line: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    while True:
        path, name, arguments, rank, size, port, limit = line.recv()
        try:
            function = getattr(_module(path), name)
            distributed.init_process_group(
                "gloo",
                init_method=f"tcp://127.0.0.1:{port}",
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=limit),
            )
            try:
                answer = function(*arguments)
            finally:
                if distributed.is_initialized():
                    distributed.destroy_process_group()
        except Exception:  # noqa: BLE001 - it is raised where it was asked for
            answer = _Failed(traceback.format_exc())
        line.send(answer)


def _module(path: Path) -> ModuleType:
    """Import a test module by its path: pytest gives it no name that others could import."""
    name = f"in_processes_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
