"""Optional packages: one clear message where one is missing."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from fathom.errors import MissingExtraError


def require(package: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        package: The module to import, such as `pyarrow`.
        extra: The extra of fathom that installs it, such as `parquet`.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: If it is not installed; the message says how to install it.
        ModuleNotFoundError: If it is installed, but a package that it needs is not.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        # A package that is there but misses something of its own must not be blamed on the extra.
        if error.name is None or error.name.partition(".")[0] != package.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{package.partition('.')[0]} must be installed for this, got none. Install the extra "
            f"{extra!r}: pip install '.[{extra}]' in a clone of fathom.",
            name=package,
        ) from error


def is_there(package: str) -> bool:
    """Tell whether an optional package is installed, without importing it.

    Args:
        package: The module, such as `matplotlib`.

    Returns:
        Whether it could be imported.
    """
    return find_spec(package) is not None
