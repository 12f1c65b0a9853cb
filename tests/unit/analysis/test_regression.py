"""A probe is what scikit-learn finds on the same features, written out."""

import tracemalloc
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fathom.analysis import regression
from fathom.analysis.regression import fitted

Array = NDArray[np.float64]


def made(samples: int, features: int, classes: int) -> tuple[Array, NDArray[np.int64]]:
    """Classes that overlap, on features of very different scales, one of them constant."""
    generator = np.random.default_rng(features + classes)
    labels = generator.integers(classes, size=samples)
    centres = generator.normal(size=(classes, features))
    values = 0.5 * centres[labels] + generator.normal(size=(samples, features))
    values = values * np.logspace(-3, 3, features) + np.logspace(2, -2, features)
    values[:, 1] = 7.3
    return values.astype(np.float32).astype(np.float64), labels


def descent(features: Array, labels: NDArray[np.int64], classes: int) -> tuple[Array, Array]:
    """Minimise C·Σ loss + |w|²/2 with C = 1 by Newton's method, all of it written out."""
    samples, width = features.shape
    extended = np.hstack([features, np.ones((samples, 1))])
    penalty = np.tile(np.append(np.ones(width), 1e-12), classes)
    weights = np.zeros((classes, width + 1))
    truth = np.eye(classes)[labels]
    for _ in range(60):
        scores = extended @ weights.T
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        slope = ((shares - truth).T @ extended).ravel() + penalty * weights.ravel()
        curve = np.zeros((classes, width + 1, classes, width + 1))
        for one in range(classes):
            for other in range(classes):
                factor = shares[:, one] * ((one == other) - shares[:, other])
                curve[one, :, other] = extended.T @ (factor[:, None] * extended)
        square = curve.reshape(len(slope), -1) + np.diag(penalty)
        weights -= np.linalg.lstsq(square, slope, rcond=None)[0].reshape(weights.shape)
    return weights[:, :-1], weights[:, -1]


@pytest.mark.parametrize(("features", "classes"), [(5, 3), (12, 4)])
def test_it_is_the_minimum_of_the_penalised_softmax(features: int, classes: int) -> None:
    values, labels = made(120, features, classes)
    scaler = StandardScaler().fit(values)
    weights, intercept = descent(scaler.transform(values), labels, classes)
    expected = scaler.transform(values) @ weights.T + intercept
    fit = fitted(values.copy(), labels)
    scores = values @ fit.weights.T + fit.intercept
    # The same up to what all classes have in common.
    np.testing.assert_allclose(
        scores - scores.mean(1, keepdims=True),
        expected - expected.mean(1, keepdims=True),
        atol=2e-3,
    )
    assert fit.converged
    assert fit.accuracy == (expected.argmax(1) == labels).mean()
    assert fit.right(values, labels) == (expected.argmax(1) == labels).sum()


@pytest.mark.parametrize(
    ("samples", "features", "classes"), [(90, 7, 2), (90, 7, 3), (60, 200, 5), (200, 30, 10)]
)
def test_it_is_scikit_learn_s_on_standardised_features(
    samples: int, features: int, classes: int
) -> None:
    values, labels = made(samples, features, classes)
    labels = labels * 3 - 4
    scaler = StandardScaler().fit(values)
    expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=20_000)
    expected.fit(scaler.transform(values), labels)
    fit = fitted(values.copy(), labels)
    np.testing.assert_allclose(fit.weights * scaler.scale_, expected.coef_, atol=5e-4)
    assert fit.classes.tolist() == expected.classes_.tolist()
    assert fit.converged
    assert fit.accuracy == pytest.approx(expected.score(scaler.transform(values), labels))
    fresh, truth = made(samples + 1, features, classes)
    right = (expected.predict(scaler.transform(fresh)) == 3 * truth - 4).sum()
    assert fit.right(fresh.astype(np.float32), 3 * truth - 4) == right


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("copies", [1, 4, 16])
def test_features_that_stand_several_times_are_fitted_once(copies: int, legacy: bool) -> None:
    values, labels = made(70, 6, 3)
    if legacy:
        values = values[:, 2:5] / 100
    repeated = np.repeat(values, copies, axis=1)
    if legacy:
        model = LogisticRegression(C=1.0, solver="saga", max_iter=100, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores = model.fit(repeated, labels).decision_function(repeated)
            fit = fitted(values.copy(), labels, copies=copies, legacy=True)
    else:
        scaled = StandardScaler().fit_transform(repeated)
        model = LogisticRegression(C=1.0, tol=1e-8, max_iter=20_000).fit(scaled, labels)
        scores = model.decision_function(scaled)
        fit = fitted(values.copy(), labels, copies=copies)
    found = values @ fit.weights.T + fit.intercept
    np.testing.assert_allclose(found, scores, atol=1e-3)
    assert fit.converged == (model.n_iter_.max() < (100 if legacy else 20_000))


def test_a_solver_that_was_stopped_has_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels = made(100, 20, 4)
    monkeypatch.setattr(regression, "_ITERATIONS", 3)
    with pytest.warns(ConvergenceWarning):
        fit = fitted(values.copy(), labels)
    assert not fit.converged


def test_a_legacy_probe_that_ran_out_of_iterations_says_so() -> None:
    values, labels = made(100, 20, 4)
    with pytest.warns(ConvergenceWarning):
        assert not fitted(values.copy(), labels, legacy=True).converged


@pytest.mark.parametrize("classes", [2, 5])
def test_the_slope_is_that_of_a_small_step(classes: int) -> None:
    values, labels = made(50, 4, classes)
    values = StandardScaler().fit_transform(values)
    model = LogisticRegression(C=1.0, tol=1e-2).fit(values, labels)
    weights, intercept = model.coef_.copy(), model.intercept_.copy()

    def loss(weights: Array, intercept: Array) -> float:
        scores = values @ weights.T + intercept
        if classes == 2:
            scores = np.hstack([np.zeros_like(scores), scores])
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        own = -logs[np.arange(len(labels)), labels].mean()
        return float(own + (weights**2).sum() / (2 * len(labels)))

    slopes = []
    for place in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[place] = 1e-5
        slopes.append((loss(weights + step, intercept) - loss(weights - step, intercept)) / 2e-5)
    for number in range(len(intercept)):
        step = np.zeros_like(intercept)
        step[number] = 1e-5
        slopes.append((loss(weights, intercept + step) - loss(weights, intercept - step)) / 2e-5)
    scores = values @ weights.T + intercept
    found = regression._steepest(values, labels, model, scores)
    assert found == pytest.approx(np.abs(slopes).max(), rel=1e-5)
    assert found > regression.TOLERANCE


@pytest.mark.parametrize("legacy", [False, True], ids=["lbfgs", "saga"])
@pytest.mark.parametrize(
    ("samples", "features", "classes"), [(60, 1500, 12), (3000, 12, 20), (60, 4000, 2)]
)
def test_a_fit_takes_no_more_than_it_says(
    samples: int, features: int, classes: int, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "_ITERATIONS", 25)
    monkeypatch.setattr(regression, "_LEGACY_ITERATIONS", 2)
    values = np.random.default_rng(0).normal(size=(samples, features))
    labels = np.arange(samples) % classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # What is imported and compiled at the first fit stays, and is none of it.
        fitted(values[:40].copy(), labels[:40], legacy=legacy)
        tracemalloc.start()
        try:
            given = values.astype(np.float32 if legacy else np.float64)
            fitted(given, labels, legacy=legacy)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak <= regression.workspace(samples, features, classes, legacy=legacy) + 100_000
