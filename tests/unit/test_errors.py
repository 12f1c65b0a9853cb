import logging
import pickle
import re
import warnings

import pytest

import fathom
from fathom import errors

RAISED = {
    errors.ArgumentError: ValueError,
    errors.ShapeError: ValueError,
    errors.LayerSelectionError: ValueError,
    errors.ClosedError: RuntimeError,
    errors.NotObservedError: KeyError,
    errors.RanksError: RuntimeError,
    errors.MissingExtraError: ImportError,
    errors.RunError: OSError,
    errors.RunExistsError: FileExistsError,
    errors.RunNotFoundError: FileNotFoundError,
    errors.RunBusyError: OSError,
    errors.DamagedRecordError: OSError,
    errors.ExperimentError: RuntimeError,
    errors.DataNotFoundError: FileNotFoundError,
}
DEFINED = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, Exception)
}


@pytest.mark.parametrize(("error", "builtin"), RAISED.items())
def test_an_error_is_fathoms_and_a_builtin(error: type[Exception], builtin: type) -> None:
    with pytest.raises(errors.FathomError, match="what went wrong") as caught:
        raise error("what went wrong")
    assert isinstance(caught.value, builtin)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (error, "what went wrong")


def test_every_class_is_listed_above_and_in_the_docstring_and_public() -> None:
    assert set(DEFINED.values()) - {errors.FathomError, errors.FathomWarning} == set(RAISED)
    assert errors.__doc__ is not None
    assert set(DEFINED) == set(re.findall(r"\bFathomWarning|\w+Error\b", errors.__doc__)) - {
        builtin.__name__ for builtin in RAISED.values() if builtin is not OSError
    } - {"OSError"}
    for name, value in DEFINED.items():
        assert getattr(fathom, name) is value


def test_the_tree_of_the_docstring_is_that_of_the_classes() -> None:
    assert errors.__doc__ is not None
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        branch = re.match(r"    ((?:│   |    )*(?:├── |└── )?)(\w+Error)\b", line)
        if branch is None:
            continue
        path[len(branch[1]) // 4 :] = [branch[2]]
        if len(path) > 1:
            assert DEFINED[path[-2]] in DEFINED[path[-1]].__bases__
        else:
            assert DEFINED[path[0]] is errors.FathomError
    assert path == ["FathomError", "RunError", "DamagedRecordError"]


def test_choose_passes_what_is_allowed() -> None:
    errors.choose("mean", ("mean", "max"), where="watch: conv")


@pytest.mark.parametrize("value", ["median", "", "MEAN"])
def test_choose_refuses_anything_else_with_the_choices(value: str) -> None:
    message = f"^watch: conv must be one of mean, max, got {value!r}\\."
    with pytest.raises(errors.ArgumentError, match=message):
        errors.choose(value, ("mean", "max"), where="watch: conv")


def test_warn_warns() -> None:
    with pytest.warns(errors.FathomWarning, match="^Layer a is off.$"):
        errors.warn("Layer a is off.")


def test_warn_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.ERROR, logger="fathom"):
        warnings.simplefilter("error")
        errors.warn("Layer a is off.")
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("fathom", "ERROR", "Layer a is off.")
    ]


def test_warnings_can_be_silenced_by_their_class(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", errors.FathomWarning)
        errors.warn("Layer a is off.")
    assert not caught
    assert not caplog.records
