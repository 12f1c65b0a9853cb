"""What watching costs: python benchmarks [--only cost,...] [--device cuda] [--quick].

Each part is a file of its own with a function that returns a section of the results.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import agreement
import growth
import live_probes
import machine
import memory
import probes
import skipped
import snapshots
import step_cost
import torch
from machine import Device
from report import Section, page
from workloads import CUDA_GPT, CUDA_VGG16, CUDA_WORKLOADS, GPT, TINY, VGG16, WORKLOADS, Workload

HEAD = """\
# The figures

{facts}.

{origin}, in {minutes:.1f} minutes. Variants take turns in one process, and what is
compared are summed times, so that steps on which more is done count in full."""

Parts = dict[str, Callable[[], Sequence[Section]]]


def parts(device: Device, words: str) -> Parts:
    """Return what is measured, by name; memory first, while this process is small."""
    cuda = device.name == "cuda"
    workloads = [each for each in (CUDA_WORKLOADS if cuda else WORKLOADS) if words in each.name]
    vgg16 = CUDA_VGG16 if cuda else VGG16
    return {
        "memory": lambda: [memory.section("VGG16 on a GPU" if cuda else "VGG16", device)],
        "cost": lambda: [step_cost.section(workloads, device)],
        "live_probes": lambda: [live_probes.section(_probed(cuda), device)],
        "snapshot": lambda: [
            snapshots.section((256, 512, 1024, 2048, 4096), vgg16, device, delve=2048)
        ],
        "growth": lambda: growth.sections(
            (64, 128, 256, 512, 1024, 2048),
            (1, 4, 16, 64),
            (32, 128, 512, 1024),
            device,
            seconds=1.2,
        ),
        "skipped": lambda: [skipped.section(device, rounds=20, block=100)],
        "agreement": lambda: [agreement.section(device)],
        "probes": lambda: [probes.section(device)],
    }


def _probed(cuda: bool) -> list[Workload]:
    """Return a network of images and one of sequences."""
    return [CUDA_VGG16, CUDA_GPT] if cuda else [VGG16, GPT]


def quick_parts(device: Device) -> Parts:
    """Return the same in their smallest form, to see that they run."""
    return {
        "memory": lambda: [
            memory.section("tiny", device, kinds=["training"], names=["unwatched", "exact"])
        ],
        "cost": lambda: [step_cost.section([TINY], device)],
        "live_probes": lambda: [live_probes.section([TINY], device)],
        "snapshot": lambda: [snapshots.section((8,), TINY, device, delve=8)],
        "growth": lambda: growth.sections((8,), (2,), (4,), device, seconds=0.01),
        "skipped": lambda: [skipped.section(device, rounds=2, block=2)],
        "agreement": lambda: [agreement.section(device, images=64)],
        "probes": lambda: [probes.section(device, images=64)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--only", help="parts, by commas: memory, cost, snapshot, growth, ...")
    parser.add_argument("--workload", default="", help="part of the name of what cost times")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="see that all runs; no figures")
    parser.add_argument("--write", type=Path, help="a folder to write the results into")
    arguments = parser.parse_args()
    device = Device(arguments.device)
    if device.name == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks: --device cuda must have a GPU, got none. Pass --device cpu.")
    torch.set_num_threads(arguments.threads)
    logging.disable()
    chosen = quick_parts(device) if arguments.quick else parts(device, arguments.workload)
    names = arguments.only.split(",") if arguments.only else list(chosen)
    if unknown := [name for name in names if name not in chosen]:
        known = ", ".join(chosen)
        sys.exit(f"benchmarks: --only must be among {known}, got {unknown[0]}. Name one of them.")
    sections: list[Section] = []
    start = time.perf_counter()
    for name in names:
        began = time.perf_counter()
        sections += chosen[name]()
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    origin = (
        "A part of what `make bench` writes"
        if arguments.only or arguments.workload
        else "Written by `make bench`"
    )
    if arguments.quick:
        origin = "A smoke run, whose figures mean nothing"
    minutes = (time.perf_counter() - start) / 60
    head = HEAD.format(facts=machine.facts(device), origin=origin, minutes=minutes)
    text = page(head, sections)
    print(text)
    if arguments.write:
        name = "RESULTS-cuda.md" if device.name == "cuda" else "RESULTS.md"
        (arguments.write / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
