"""How much memory watching takes at its peak, each variant in a process of its own."""

import argparse
import logging
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from machine import Device, delve_version
from report import Goal, Section
from training import training_step
from variants import VARIANTS
from workloads import CUDA_VGG16, TINY, VGG16, Workload

_WORKLOADS = {"VGG16": VGG16, "VGG16 on a GPU": CUDA_VGG16, "tiny": TINY}
_STEPS = 3

_TEXT = """\
{workload}. The peak of a process of its own for each variant over {steps} steps, less that of the
same process unwatched. A training step is at its peak in the backward pass, which hides what
comes and goes in the forward pass; an evaluation step (forward, no gradients) hides less. Delve is
imported in all of them, so that its own imports do not count."""


KINDS = ("training", "evaluation")
NAMES = tuple(name for name in VARIANTS if name != "floor")


def section(
    name: str, device: Device, *, kinds: Sequence[str] = KINDS, names: Sequence[str] = NAMES
) -> Section:
    """Measure a workload, by its short name, in steps of some kinds, watched in some ways."""
    columns, rows, goals = ["variant"], [[name] for name in names], []
    for kind in kinds:
        peaks = {variant: _measured(name, variant, kind, device) for variant in names}
        added = {variant: peak - peaks["unwatched"] for variant, peak in peaks.items()}
        columns += [f"{kind}, MiB", "added"]
        for row in rows:
            row += [f"{peaks[row[0]] / 2**20:.0f}", f"{added[row[0]] / 2**20:.1f}"]
        share = added["exact"] / added["delve"] if added.get("delve", 0) > 0 else None
        goals.append(Goal(f"{name}, {kind}: exact, added memory over Delve's", share, 0.5))
    text = _TEXT.format(workload=_WORKLOADS[name].name, steps=_STEPS)
    return Section("Memory", text, tuple(columns), [tuple(row) for row in rows], goals)


def _measured(workload: str, variant: str, kind: str, device: Device) -> int:
    """Return the peak of a process of its own, in bytes."""
    command = [sys.executable, "-W", "ignore", __file__, workload, variant, kind, device.name]
    command.append(f"{torch.get_num_threads()}")
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(result.stdout.split()[-1])


def _peak(workload: Workload, variant: str, kind: str, device: Device) -> int:
    if delve_version():
        import delve  # noqa: F401
    model, inputs = workload.build()
    model, inputs = model.to(device.name), inputs.to(device.name)
    close = VARIANTS[variant](model, device.name)
    if kind == "training":
        step = training_step(model, inputs, device)
        for _ in range(_STEPS):
            step()
    else:
        model.eval()
        with torch.no_grad(), device.autocast():
            for _ in range(_STEPS):
                model(inputs)
    device.synchronise()
    peak = torch.cuda.max_memory_allocated() if device.name == "cuda" else _resident_peak()
    close()
    return peak


def _resident_peak() -> int:
    # Linux hands ru_maxrss down from the parent process, which may be the larger one.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=_WORKLOADS)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("device")
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.disable()
    workload, device = _WORKLOADS[arguments.workload], Device(arguments.device)
    print(_peak(workload, arguments.variant, arguments.kind, device))


if __name__ == "__main__":
    main()
