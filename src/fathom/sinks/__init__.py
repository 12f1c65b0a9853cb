"""Where the numbers can go beside the run on disk: one sink a file, its package imported when used.

A sink of your own is any object with `write(snapshot)` and `close()`.
"""

from fathom.sinks.csv import CSV
from fathom.sinks.mlflow import MLflow
from fathom.sinks.tensorboard import TensorBoard
from fathom.sinks.trackio import Trackio
from fathom.sinks.wandb import WandB

__all__ = ["CSV", "MLflow", "TensorBoard", "Trackio", "WandB"]
