import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.errors import MissingExtraError
from fathom.extras import require


def test_an_installed_package_is_imported() -> None:
    assert require("json", extra="none") is importlib.import_module("json")
    assert require("json.decoder", extra="none") is importlib.import_module("json.decoder")


@pytest.mark.parametrize("package", ["fathom_has_no_such_package", "fathom_has_no_such.part"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(package: str) -> None:
    message = rf"^{package.partition('.')[0]} must be installed .*the extra 'parquet'"
    with pytest.raises(MissingExtraError, match=message) as caught:
        require(package, extra="parquet")
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == package
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("import fathom_has_no_such_package", ModuleNotFoundError),
        ("raise ImportError('a library of the system is missing')", ImportError),
        ("raise ModuleNotFoundError('no name')", ModuleNotFoundError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_a_package_that_is_there_but_broken_is_not_blamed_on_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, error: type[Exception]
) -> None:
    (tmp_path / "fathom_broken_package.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(error) as caught:
        require("fathom_broken_package", extra="parquet")
    assert not isinstance(caught.value, MissingExtraError)


def test_importing_fathom_loads_no_optional_package() -> None:
    optional = {
        *("accelerate", "delve", "ignite", "lightning", "matplotlib", "mlflow", "pandas", "polars"),
        *("pyarrow", "pytorch_lightning", "sklearn", "starlette", "tensorboard", "textual"),
        *("trackio", "transformers", "uvicorn", "wandb"),
    }
    assert all(importlib.util.find_spec(name) for name in optional)
    script = f"import fathom.sinks, fathom.cli.main, sys; print({optional} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
