"""A reading against rows that a test took by itself."""

import numpy as np

import fathom
import reference


def assert_read(reading: fathom.Reading, rows: reference.Array, *, samples: int) -> None:
    expected = reference.eigenvalues(rows)
    found = reading.eigenvalues.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected[0])
    assert (reading.rows, reading.width) == rows.shape
    assert reading.samples == samples
    assert reading.dropped == 0
    assert reading.intrinsic_dimension == reference.intrinsic_dimension(expected)
    assert reading.saturation == reading.intrinsic_dimension / rows.shape[1]
