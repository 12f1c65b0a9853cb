"""How long it takes to probe every layer of a model."""

import time

import torch
from machine import Device
from report import Goal, Section
from torch import Tensor, nn
from torch.nn import functional
from workloads import vgg16_model

import fathom
from fathom.experiments.demo import Digits

_TEXT = """\
`fathom.probe` on every layer of a VGG16 at quarter width, after three epochs on scikit-learn's
digits (enlarged to 32×32, in three channels): {samples:,} images to fit on, {held_out} held out.
Both passes of the data, every fit and every judgement count. The default is scikit-learn's lbfgs
to a gradient of 1e-6 on standardised features; legacy is saga, 100 iterations, which do not
converge."""

_COLUMNS = ("", "layers", "seconds", "converged", "eval accuracy, first layer", "best", "model")

Data = tuple[Tensor, Tensor]


def section(device: Device, *, images: int | None = None) -> Section:
    """Probe once as fathom does unasked, and once as the papers did.

    Args:
        device: Of the model; probes are fitted on the processor.
        images: Only so many; None for all.
    """
    train, held_out = (_enlarged(part, device, images) for part in _parts())
    model = _trained(train, device)
    rows = []
    seconds = {}
    for name, legacy in (("default", False), ("legacy", True)):
        start = time.perf_counter()
        probes = fathom.probe(model, train, held_out, legacy=legacy)
        seconds[name] = time.perf_counter() - start
        accuracies = [probe.eval_accuracy for probe in probes]
        converged = sum(probe.converged for probe in probes)
        rows.append(
            (
                name,
                f"{len(probes)}",
                f"{seconds[name]:.1f}",
                f"{converged} of {len(probes)}",
                f"{accuracies[0]:.3f}",
                f"{max(accuracies):.3f}",
                f"{probes.model_accuracy:.3f}",
            )
        )
    claim = "VGG16 at quarter width on the digits: seconds to probe all 14 layers"
    goal = Goal(claim, seconds["default"], 60, digits=1)
    text = _TEXT.format(samples=len(train[1]), held_out=len(held_out[1]))
    return Section("Probes", text, _COLUMNS, rows, [goal])


def _parts() -> tuple[Data, Data]:
    digits = Digits.load()
    return digits.train, digits.test


def _enlarged(part: Data, device: Device, images: int | None) -> Data:
    inputs, labels = part
    inputs = functional.interpolate(inputs[:images], size=32, mode="bilinear", align_corners=False)
    return inputs.expand(-1, 3, -1, -1).contiguous().to(device.name), labels[:images]


def _trained(train: Data, device: Device) -> nn.Module:
    torch.manual_seed(0)
    model = vgg16_model(narrower=4).to(device.name)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, labels = train
    batches = [batch for _ in range(3) for batch in torch.randperm(len(labels)).split(64)]
    for batch in batches:
        loss = functional.cross_entropy(model(inputs[batch]), labels[batch].to(device.name))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model
