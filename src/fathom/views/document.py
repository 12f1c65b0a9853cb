"""A run as the page and the report read it: plain values, and arrays packed in base64.

The page's scripts know this form and nothing else, so that a report (one document inside a file)
and the live page (the same document from a server) share their code.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fathom.probes import Probes
from fathom.reading import PHASES
from fathom.spectral.spectrum import Spectrum
from fathom.store.lock import is_written
from fathom.store.timeline import Timeline
from fathom.views.analyses import Analyses
from fathom.views.analysis_documents import analysis_documents
from fathom.views.findings import findings
from fathom.views.gaps import gaps
from fathom.views.numbers import exact, number, packed, plain
from fathom.views.plots.names import short_names

Document = dict[str, Any]

_POINTS = 64
# Characters of a layer's name under a bar, and beside a narrow picture.
_LABEL, _BRIEF = 26, 16


def run_document(timeline: Timeline, *, name: str, analyses: Analyses | None = None) -> Document:
    """Return what the page shows of a run, but for its spectra.

    Args:
        timeline: Of the run.
        name: How it is called and linked to.
        analyses: Of the run, as last looked at; None for those that are there now.

    Returns:
        Values that JSON can hold:

        - `name`, `live`, `recorded` (steps in the run), `steps` (as text, where JavaScript has no
          such whole number) and `times` (seconds since 1970) of those held, `threshold`,
          `output_layer`;
        - `layers`: `name`, `label` and `brief` (short, shorter, no two alike and without the
          `prefix` that all have in common), `kind`, `module`, `width`, `aliases` of each, in
          execution order;
        - `metrics`: name to numbers, one a step, null where there is none;
        - `phases`: for each phase with a reading `average` (one a step), the packed (steps, layers)
          arrays `dimension`, `status` and `rows`, `at_least` too (null where it is the dimension),
          `samples` of each layer at the last step, and the `findings` of that step (`kind`, `text`,
          `layers`);
        - `unobserved` and `disabled` at the last step: layer to reason; `gaps` at any step (`text`,
          `layers`);
        - `facts`: model, versions and start of the first session; `settings` of it; `sessions`, how
          often the run was begun or resumed;
        - what `analysis_documents` returns.

        Saturation is dimension over width, status its place in `fathom.store.summary.STATUSES`.
    """
    run, last = timeline.run, timeline.last
    if analyses is None:
        analyses = Analyses(run.path)
        analyses.look()
    sessions = run.sessions
    facts = dict(sessions[0]) if sessions else {}
    settings = facts.pop("settings", {})
    labels, prefix = short_names(timeline.layers, most=_LABEL)
    briefs, _ = short_names(timeline.layers, most=_BRIEF)
    return {
        "name": name,
        "live": is_written(run.path),
        "recorded": timeline.recorded,
        "steps": [exact(step) for step in timeline.steps],
        "times": plain(timeline.times),
        "threshold": settings.get("threshold"),
        "output_layer": None if last is None else last.output_layer,
        "layers": [
            {
                "name": each.name,
                "label": label,
                "brief": brief,
                "kind": each.kind,
                "module": each.module,
                "width": each.width,
                "aliases": list(each.aliases),
            }
            for each, label, brief in zip(timeline.facts, labels, briefs, strict=True)
        ],
        "prefix": prefix,
        "metrics": {name: plain(values) for name, values in timeline.metrics.items()},
        "phases": {
            phase: _phase(timeline, phase, analyses.probes)
            for phase in PHASES
            if np.isfinite(timeline.numbers("status", phase=phase)).any()
        },
        "unobserved": _reasons(last.unobserved, last.reasons) if last else {},
        "disabled": dict(last.disabled) if last else {},
        "gaps": [{"text": each.text, "layers": list(each.layers)} for each in gaps(timeline)],
        "facts": facts,
        "settings": settings,
        "sessions": len(sessions),
        **analysis_documents(analyses, timeline),
    }


def spectrum_document(spectrum: Spectrum, *, threshold: float, points: int = _POINTS) -> Document:
    """Return the spectrum of one layer, thinned to what the eye can see.

    Args:
        spectrum: The eigenvalues.
        threshold: Fraction of the total variance, in (0, 1].
        points: At most about so many, evenly in the logarithm of the rank; the first, the last and
            the one that reaches the threshold are always there.

    Returns:
        Values that JSON can hold: `width`, `rows`, `status`, `threshold`, `dimension` (null where
        it is not known), `at_least`, `captured`, and the lists `rank` (from 1), `value` (squared
        activation units) and `share` (cumulative, in [0, 1]).
    """
    values = spectrum.eigenvalues.numpy()
    total = values.sum() / spectrum.captured if spectrum.captured > 0 else 0.0
    share = np.cumsum(values) / total if total > 0 else np.zeros_like(values)
    dimension = spectrum.statistics(threshold)["intrinsic_dimension"]
    ranks = np.geomspace(1, len(values), points).round().astype(int)
    if math.isfinite(dimension) and dimension > 0:
        ranks = np.append(ranks, int(dimension))
    ranks = np.unique(ranks)
    return {
        "width": spectrum.width,
        "rows": spectrum.rows,
        "status": spectrum.status,
        "threshold": threshold,
        "dimension": number(dimension),
        "at_least": number(spectrum.at_least(threshold)),
        "captured": number(spectrum.captured),
        "rank": ranks.tolist(),
        "value": [float(f"{value:.4g}") for value in values[ranks - 1]],
        "share": [round(float(value), 5) for value in share[ranks - 1]],
    }


def json_text(document: Mapping[str, Any]) -> str:
    """Write a document as JSON that can stand inside HTML, whatever the names in it.

    Args:
        document: Values that JSON can hold; what is not finite becomes null.

    Returns:
        ASCII without `<`, `>` and `&`: nothing in it ends a script or begins a comment.
    """
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(document), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _phase(timeline: Timeline, phase: str, probes: Sequence[Probes]) -> Document:
    dimension = timeline.numbers("dimension", phase=phase)
    at_least = timeline.numbers("at_least", phase=phase)
    return {
        "average": plain(timeline.averages(phase=phase), digits=4),
        "dimension": packed(dimension),
        "at_least": None if np.array_equal(dimension, at_least, True) else packed(at_least),
        "status": packed(timeline.numbers("status", phase=phase)),
        "rows": packed(timeline.numbers("rows", phase=phase)),
        "samples": plain(timeline.numbers("samples", phase=phase)[-1]),
        "findings": [
            {"kind": each.kind, "text": each.text, "layers": list(each.layers)}
            for each in findings(timeline, phase=phase, probes=probes)
        ],
    }


def _reasons(names: Any, reasons: Mapping[str, str]) -> dict[str, str]:
    return {name: reasons.get(name, "") for name in names}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
