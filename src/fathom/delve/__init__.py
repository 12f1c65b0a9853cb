"""The Delve package's tracker, over fathom: a script of Delve's runs after changing its imports.

`docs/coming-from-delve.md` says what differs, and what each argument became.
"""

from fathom.delve.reconstruction import reconstruct_csv_from_npy_data
from fathom.delve.tracker import CheckLayerSat, SaturationTracker
from fathom.delve.writers import CSVWriter as csv
from fathom.delve.writers import NPYWriter as npy
from fathom.delve.writers import PrintWriter as console
from fathom.delve.writers import TensorBoardWriter as tensorboard

__all__ = [
    "CheckLayerSat",
    "SaturationTracker",
    "console",
    "csv",
    "npy",
    "reconstruct_csv_from_npy_data",
    "tensorboard",
]
