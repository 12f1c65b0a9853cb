"""Several processes that train one model: the rows of all count.

torchrun --nproc-per-node=2 examples/ddp.py
"""

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import fathom

EPOCHS, BATCH = 4, 64

distributed.init_process_group("gloo")
torch.manual_seed(0)
images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
data = TensorDataset(images.float() / 16, labels)
sampler: DistributedSampler[object] = DistributedSampler(data, drop_last=True)
loader = DataLoader(data, BATCH, sampler=sampler)

model = DistributedDataParallel(
    nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
)
optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

# On every rank, with the same arguments; rank 0 records.
with fathom.watch(model, "runs/ddp", budget=None) as monitor:
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for inputs, targets in loader:
            loss = functional.cross_entropy(model(inputs), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        snapshot = monitor.snapshot(epoch, loss=loss)
        if distributed.get_rank() == 0:
            print(epoch, f"{snapshot.train['0'].rows:,} rows of all ranks")
distributed.destroy_process_group()
