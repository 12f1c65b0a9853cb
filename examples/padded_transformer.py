"""A Hugging Face model on texts of several lengths: padding does not count.

python examples/padded_transformer.py
"""

import keyword
import string

import torch
from transformers import BertConfig, BertForSequenceClassification

import fathom

STEPS, BATCH, LONGEST = 60, 32, 16

# Which words are Python's own? Letters are tokens from 1 on; 0 is padding.
words = [*keyword.kwlist, *(name for name in dir(string) + dir(str) if name.isalpha())]
tokens = [[1 + ord(letter) % 63 for letter in word[:LONGEST]] for word in words]
labels = torch.tensor([int(keyword.iskeyword(word)) for word in words])
lengths = torch.tensor([len(each) for each in tokens])
padded = torch.tensor([each + [0] * (LONGEST - len(each)) for each in tokens])
real = (torch.arange(LONGEST) < lengths[:, None]).long()

torch.manual_seed(0)
config = BertConfig(
    vocab_size=64,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=LONGEST,
)
model = BertForSequenceClassification(config)
optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)

with fathom.watch(model, "runs/padded", budget=None) as monitor:
    model.train()
    for _ in range(STEPS):
        some = torch.randint(len(words), (BATCH,))
        # The mask that the model is called with is used unasked.
        loss = model(padded[some], attention_mask=real[some], labels=labels[some]).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    snapshot = monitor.snapshot(STEPS, loss=loss)

reading = snapshot.train["bert.encoder.layer.1.output.dense"]
print(f"{reading.rows:,} letters counted, {reading.padded:,} places of padding left out")
