"""A small character language model on the standard library's own source.

python examples/character_model.py
fathom report runs/characters
"""

import sysconfig
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import fathom

STEPS, EVERY, BATCH, LENGTH, WIDTH, DEPTH = 200, 50, 16, 64, 96, 3

source = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-h]*.py"))
)
letters = sorted({*source})
text = torch.tensor([letters.index(each) for each in source[:200_000]])
train, held_out = text[:-20_000], text[-20_000:]


class Model(nn.Module):
    """A transformer that sees only what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(letters), WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        block = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, DEPTH, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, len(letters))

    def forward(self, indices: Tensor) -> Tensor:
        hidden = self.letters(indices) + self.places.weight[: indices.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(indices.shape[1])
        return self.head(self.blocks(hidden, mask=mask, is_causal=True))


def loss_on(model: nn.Module, part: Tensor) -> Tensor:
    starts = torch.randint(len(part) - LENGTH - 1, (BATCH, 1))
    windows = part[starts + torch.arange(LENGTH + 1)]
    return functional.cross_entropy(model(windows[:, :-1]).transpose(1, 2), windows[:, 1:])


torch.manual_seed(0)
model = Model()
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)

with fathom.watch(model, "runs/characters", budget=0.1) as monitor:
    for step in range(1, STEPS + 1):
        model.train()
        loss = loss_on(model, train)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % EVERY == 0:
            model.eval()
            with torch.no_grad():
                losses = torch.stack([loss_on(model, held_out) for _ in range(8)])
            monitor.snapshot(step, loss=loss, held_out=losses.mean())
            print(step, f"{losses.mean():.3f}")
