"""See how much of each layer's width a PyTorch model really uses, while it trains."""

from importlib import import_module
from types import ModuleType

from fathom import sinks as sinks
from fathom.analysis.curve import projection_curve
from fathom.analysis.eigenspaces import eigenspace_similarity
from fathom.analysis.embedding import Embedding, embed
from fathom.analysis.probe import probe
from fathom.analysis.projection import Projection, project
from fathom.analysis.similarity import similarity
from fathom.analysis.similarity_over_steps import similarity_over_steps
from fathom.attach import watch
from fathom.capture.report import LayerReport
from fathom.errors import (
    ArgumentError,
    ClosedError,
    DamagedRecordError,
    DataNotFoundError,
    ExperimentError,
    FathomError,
    FathomWarning,
    LayerSelectionError,
    MissingExtraError,
    NotObservedError,
    RanksError,
    RunBusyError,
    RunError,
    RunExistsError,
    RunNotFoundError,
    ShapeError,
)
from fathom.monitor import Monitor
from fathom.probes import Probe, Probes
from fathom.projections import ProjectionCurve
from fathom.reading import Reading
from fathom.snapshot import Snapshot
from fathom.spectral.moments import Moments
from fathom.spectral.spectrum import Spectrum
from fathom.spectral.statistics import (
    condition_number,
    determinant,
    diagonal_trace,
    effective_rank,
    idle_features,
    intrinsic_dimension,
    log_determinant,
    participation_ratio,
    power_law_exponent,
    rankme,
    saturation,
    stable_rank,
    total_variance,
)
from fathom.spectral.table import STATISTICS
from fathom.views.run import Run, open_run
from fathom.views.similarity import Similarity
from fathom.views.step_similarity import SimilarityOverSteps

__version__ = "0.1.0"

__all__ = [
    "STATISTICS",
    "ArgumentError",
    "ClosedError",
    "DamagedRecordError",
    "DataNotFoundError",
    "Embedding",
    "ExperimentError",
    "FathomError",
    "FathomWarning",
    "LayerReport",
    "LayerSelectionError",
    "MissingExtraError",
    "Moments",
    "Monitor",
    "NotObservedError",
    "Probe",
    "Probes",
    "Projection",
    "ProjectionCurve",
    "RanksError",
    "Reading",
    "Run",
    "RunBusyError",
    "RunError",
    "RunExistsError",
    "RunNotFoundError",
    "ShapeError",
    "Similarity",
    "SimilarityOverSteps",
    "Snapshot",
    "Spectrum",
    "condition_number",
    "determinant",
    "diagonal_trace",
    "effective_rank",
    "eigenspace_similarity",
    "embed",
    "idle_features",
    "intrinsic_dimension",
    "log_determinant",
    "open_run",
    "participation_ratio",
    "power_law_exponent",
    "probe",
    "project",
    "projection_curve",
    "rankme",
    "saturation",
    "similarity",
    "similarity_over_steps",
    "stable_rank",
    "total_variance",
    "watch",
]


def __getattr__(name: str) -> ModuleType:
    """Import what belongs to other packages once it is used: `fathom.integrations`, `fathom.delve`.

    Args:
        name: Of a part of fathom.

    Returns:
        The part.

    Raises:
        AttributeError: If there is no such name.
    """
    if name in {"delve", "integrations"}:
        return import_module(f"fathom.{name}")
    raise AttributeError(f"module 'fathom' has no attribute {name!r}")
