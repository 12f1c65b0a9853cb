from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import reference
from fathom import Moments
from fathom.spectral.precision import full_precision

# Torch from 2.9 on has a setting a backend beside the one for all.
MATMUL: Any = getattr(torch.backends.mkldnn, "matmul", None)
PER_BACKEND = hasattr(MATMUL, "fp32_precision")
needs_per_backend = pytest.mark.skipif(not PER_BACKEND, reason="torch before 2.9")


@pytest.fixture(autouse=True)
def settings_restored() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    if PER_BACKEND:
        backends: Any = torch.backends
        backends.fp32_precision = "none"
        MATMUL.fp32_precision = "none"
        backends.cuda.matmul.fp32_precision = "none"
    assert torch.get_float32_matmul_precision() == "highest"


class Watched(TorchDispatchMode):
    """Notes the type and the permitted precision of every matrix product."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[tuple[torch.dtype, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in ("aten::mm", "aten::addmm", "aten::addmm_"):
            allowed = MATMUL.fp32_precision if PER_BACKEND else torch.get_float32_matmul_precision()
            self.products.append((args[0].dtype, allowed))
        return func(*args, **(kwargs or {}))


def assert_exact_products() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2000, 64, generator=generator) + 3
    with Watched() as watched:
        moments = Moments.zeros(64).update(rows)
    assert watched.products
    for dtype, allowed in watched.products:
        assert dtype == torch.float32
        assert allowed in {"ieee", "none", "highest"}
    expected = torch.from_numpy(reference.covariance(rows.numpy()))
    assert (moments.covariance() - expected).abs().max() < 1e-5 * expected.abs().max()


def test_products_are_exact_by_default() -> None:
    assert_exact_products()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_are_exact_under_autocast(dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype):
        assert_exact_products()
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == dtype
        square = torch.ones(2, 2)
        assert (square @ square).dtype == dtype


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_products_are_exact_whatever_the_precision_for_all(precision: str) -> None:
    torch.set_float32_matmul_precision(precision)
    before = MATMUL.fp32_precision if PER_BACKEND else None
    assert_exact_products()
    assert torch.get_float32_matmul_precision() == precision
    assert (MATMUL.fp32_precision if PER_BACKEND else None) == before


@needs_per_backend
@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_products_are_exact_whatever_the_precision_of_the_backend(precision: str) -> None:
    MATMUL.fp32_precision = precision
    assert_exact_products()
    assert MATMUL.fp32_precision == precision


@needs_per_backend
@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_an_inherited_precision_goes_on_being_inherited(precision: str) -> None:
    backends: Any = torch.backends
    backends.fp32_precision = precision
    assert MATMUL.fp32_precision == precision
    assert_exact_products()
    assert MATMUL.fp32_precision == precision
    backends.fp32_precision = "ieee"
    assert MATMUL.fp32_precision == "ieee"


def test_settings_are_restored_after_an_error() -> None:
    torch.set_float32_matmul_precision("medium")
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ZeroDivisionError),
        full_precision("cpu"),
    ):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == "medium"
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision("cpu"):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")


@needs_per_backend
def test_other_backends_are_left_alone() -> None:
    torch.set_float32_matmul_precision("medium")
    with full_precision("cpu"):
        assert MATMUL.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    with full_precision("cuda"):
        assert MATMUL.fp32_precision == "bf16"
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.get_float32_matmul_precision() == "medium"
