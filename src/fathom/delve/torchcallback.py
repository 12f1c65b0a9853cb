"""The trackers, where Delve has them."""

from fathom.delve.tracker import CheckLayerSat, SaturationTracker

__all__ = ["CheckLayerSat", "SaturationTracker"]
