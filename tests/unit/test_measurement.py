import torch
from torch import nn

from fathom.capture.layers import Layer
from fathom.capture.rows import Rows
from fathom.capture.window import Window
from fathom.measurement import handed_over
from fathom.reading import LayerFacts
from fathom.spectral.gathered import Counts, Gathered
from fathom.spectral.moments import Moments


def test_what_is_handed_over_is_all_that_was_gathered_without_the_layer() -> None:
    moments = Moments.zeros(7).update(torch.randn(40, 7))
    facts = LayerFacts("a", "linear", "Linear", 7)
    layer = Layer(facts, nn.Linear(2, 7), "rows", read=lambda *_: Rows(torch.zeros(0, 7), 0))
    window = Window(
        layer=layer, phase="eval", moments=moments, resolution=1e-7, samples=20, calls=2,
        padded=torch.tensor(3),
    )  # fmt: skip
    (key, gathered), *others = handed_over([window]).items()
    assert not others
    assert key == ("a", "eval")
    assert type(gathered) is Gathered
    assert gathered.moments is moments
    assert gathered.resolution == 1e-7
    assert gathered.counts() == Counts(20, 2, 0, 3)
    assert isinstance(gathered.padded, int)


def test_moments_that_go_to_another_device_are_the_same_to_the_bit() -> None:
    rows = torch.randn(40, 7) * 3 + 100
    rows[3, 2] = float("nan")
    moments = Moments.zeros(7).update(rows)
    copied = moments.to("cpu")
    for part in ("count", "mean", "scatter", "dropped"):
        assert torch.equal(getattr(copied, part), getattr(moments, part))
