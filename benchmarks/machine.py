"""Where the figures come from: the processor, the GPU, and the versions."""

import os
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


@dataclass(frozen=True)
class Device:
    """Where models are trained: `cpu` in float32, `cuda` under autocast to bf16."""

    name: str

    def synchronise(self) -> None:
        """Wait for all work that was given to the device."""
        if self.name == "cuda":
            torch.cuda.synchronize()

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a model's forward pass."""
        return torch.autocast(self.name, torch.bfloat16, enabled=self.name == "cuda")


def facts(device: Device) -> str:
    """Return a line on the machine and what runs on it."""
    parts = [f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"]
    if device.name == "cuda":
        parts.append(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, bf16 autocast")
    else:
        parts.append("CPU only, float32")
    delve = delve_version() or "not installed"
    parts.append(f"torch {torch.__version__}, fathom {version('fathom')}, Delve {delve}")
    return "; ".join(parts)


def processor() -> str:
    """Return the name of the processor."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def delve_version() -> str | None:
    """Return the version of the Delve package, where it is installed."""
    try:
        return version("delve")
    except PackageNotFoundError:
        return None
