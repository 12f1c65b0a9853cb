"""Real runs for the report and the page, made in seconds."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import fathom
from fathom.reading import PHASES, LayerFacts, Phase, ProbeScore, Reading, Readings
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.spectral.spectrum import Spectrum
from fathom.store.writer import Writer

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)<!--",
    "constructor",
    "__proto__",
    "toString",
    "\"'&amp;\u2028",
)
"""Names that would do something, if they were ever read as anything but text."""


class Chain(nn.Module):
    """Layers with given names, one after the other."""

    def __init__(self, layers: Mapping[str, nn.Module]):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.tanh(layer(x)) + 0.1 * torch.randn(x.shape[0], 1)
        return x


def small(folder: Path, *, threshold: float = 0.99, steps: int = 4) -> Path:
    """A run of four layers, one of them read too little."""
    torch.manual_seed(0)
    wide = nn.Linear(12, 48)
    model = Chain({"first": nn.Linear(6, 12), "wide": wide, "narrow": nn.Linear(48, 8)})
    model.add_module("head", nn.Linear(8, 3))
    with fathom.watch(model, folder, budget=None, threshold=threshold) as monitor:
        for step in range(steps):
            fewer = (torch.arange(6) < 6 - step).float()
            model.train()(torch.randn(400, 6) * fewer)
            model.eval()(torch.randn(400, 6) * fewer)
            monitor.snapshot(step=10 * step, loss=1 / (step + 1), accuracy=step / 10)
    return folder


def hostile(folder: Path) -> Path:
    """A run with hostile names, a sketched layer, one never called, and numbers that are none."""
    torch.manual_seed(0)
    first, *others = HOSTILE
    noisy = nn.Linear(10, 700)
    widths = [700, 40, *(20 for _ in others)]
    model = Chain(
        {first: noisy} | {n: nn.Linear(*w) for n, w in zip(others, pairwise(widths), strict=False)}
    )
    never = nn.Linear(2, 2)
    noisy.register_forward_hook(lambda module, inputs, output: output + torch.randn_like(output))
    model.add_module("n" * 60, nn.Linear(20, 5))
    watched = nn.ModuleDict({"model": model, "never": never})
    with fathom.watch(watched, folder / first, budget=None, max_width=600) as monitor:
        for step in (-5, 0, 2**60):
            watched.eval()
            model(torch.randn(900, 10))
            metrics = {first: math.nan if step else 3.0, "endless": math.inf, "huge": 1e300}
            monitor.snapshot(step=step, **metrics, **dict.fromkeys(others, 1.0))
    return folder / first


def deep(folder: Path, *, layers: int = 500) -> Path:
    """A run of many layers with long names."""
    torch.manual_seed(0)
    blocks = (
        f"transformer_block_{place:03d}_attention_output_projection" for place in range(layers)
    )
    model = Chain({name: nn.Linear(6, 6) for name in blocks})
    with fathom.watch(model, folder, budget=None) as monitor:
        model.eval()(torch.randn(200, 6))
        monitor.snapshot(step=0)
    return folder


def long(folder: Path, *, layers: int = 100, steps: int = 1000, width: int = 64) -> Path:
    """A run of many steps, written as a monitor writes it, without its training."""
    facts = [LayerFacts(f"features.{place}", "linear", "Linear", width) for place in range(layers)]
    generator = torch.Generator().manual_seed(0)
    writer = Writer.open(folder, facts={"model": "x"}, settings=Settings(), layers=facts)
    spectra = [_spectrum(width, decay, generator) for decay in torch.linspace(0.02, 0.4, 40)]
    choose = _choices(len(spectra), generator)
    for step in range(steps):
        train, evaluated = (
            Readings({each.name: _reading(each, phase, spectra[choose()]) for each in facts})
            for phase in PHASES
        )
        snapshot = Snapshot(
            step=step, metrics={"loss": 1 / (step + 3)}, train=train, eval=evaluated
        )
        writer.append(snapshot, layers=facts)
    writer.close()
    return folder


def _spectrum(width: int, decay: Tensor, generator: torch.Generator) -> Spectrum:
    values = torch.exp(-decay * torch.arange(width, dtype=torch.float64))
    rows = int(torch.randint(1000, 60000, (), generator=generator))
    return Spectrum(values, rows, {"idle_features": 0.0})


def _choices(most: int, generator: torch.Generator) -> Callable[[], int]:
    drawn: Iterator[int] = chain.from_iterable(
        torch.randint(most, (10000,), generator=generator).tolist() for _ in iter(int, 1)
    )
    return lambda: next(drawn)


def _reading(layer: LayerFacts, phase: Phase, spectrum: Spectrum) -> Reading:
    return Reading(
        layer=layer,
        phase=phase,
        spectrum=spectrum,
        samples=spectrum.rows,
        calls=1,
        dropped=0,
        threshold=0.99,
        probe=ProbeScore(spectrum.rows / 60000, 500) if phase == "eval" else ProbeScore(),
    )
