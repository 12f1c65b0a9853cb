"""The writers, by Delve's names; one of your own derives from `AbstractWriter`."""

from collections.abc import Mapping
from typing import Any

from fathom.delve.writers.composite import CompositWriter
from fathom.delve.writers.console import PrintWriter
from fathom.delve.writers.csv import CSVWriter
from fathom.delve.writers.npy import NPYWriter
from fathom.delve.writers.plots import CSVandPlottingWriter
from fathom.delve.writers.tensorboard import TensorBoardWriter
from fathom.delve.writers.writer import STATMAP, AbstractWriter

WRITERS: Mapping[str, Any] = {
    "csv": CSVWriter,
    "npy": NPYWriter,
    "print": PrintWriter,
    "tb": TensorBoardWriter,
    "tensorboard": TensorBoardWriter,
    "csvplotting": CSVandPlottingWriter,
    "csvplot": CSVandPlottingWriter,
    "plot": CSVandPlottingWriter,
    "plotcsv": CSVandPlottingWriter,
}
"""What `save_to` takes in words."""

__all__ = [
    "STATMAP",
    "WRITERS",
    "AbstractWriter",
    "CSVWriter",
    "CSVandPlottingWriter",
    "CompositWriter",
    "NPYWriter",
    "PrintWriter",
    "TensorBoardWriter",
]
