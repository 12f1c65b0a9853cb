"""An experiment as a file says it: which trainings it is of, and what is recorded of each."""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from fathom.errors import ArgumentError, near
from fathom.experiments.models.build import architecture
from fathom.experiments.task import Recording, Task, Training

_SUFFIX = ".toml"
_AXES = {"data": (), "classes": (None,), "clutter": (0.0,), "model": (), "width": ()}
_KEYS = ("title", "papers", "repetitions", "grid", "training", "record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Trainings of which there is one for every combination of what its axes hold.

    Attributes:
        data: Names of data sets.
        classes: How many classes are used.
        clutter: How much of a photograph lies behind.
        model: Names of architectures.
        width: Shares of their own width, or units.
    """

    data: tuple[str, ...]
    model: tuple[str, ...]
    width: tuple[float, ...]
    classes: tuple[int | None, ...] = (None,)
    clutter: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """An experiment.

    Attributes:
        name: Its name, that of its file.
        title: What it is about, in a line.
        papers: Which figures of the papers it is of.
        repetitions: How often each training is repeated, from another seed.
        grids: Which trainings there are.
        training: How each is trained.
        record: What is recorded of each.
    """

    name: str
    title: str
    papers: str = ""
    repetitions: int = 5
    grids: tuple[Grid, ...]
    training: Training
    record: Recording

    def __post_init__(self) -> None:
        """Refuse what is outside its rule.

        Raises:
            ArgumentError: If there is no repetition.
        """
        count = self.repetitions
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ArgumentError(
                f"{self.name}: repetitions must be a whole number of at least 1, got {count!r}."
            )

    @classmethod
    def find(cls, name: str) -> Self:
        """Return the experiment of a name, or of a file.

        Args:
            name: One that ships with fathom, or the path of a file that ends in `.toml`.

        Returns:
            The experiment.

        Raises:
            ArgumentError: If there is none, or the file breaks a rule.
        """
        if name.endswith(_SUFFIX):
            return cls.read(Path(name))
        shipped = _shipped()
        if name not in shipped:
            raise ArgumentError(
                f"experiment: NAME must be an experiment or the path of a {_SUFFIX} file, got "
                f"{name!r}. {near(name, list(shipped))}"
            )
        return cls._parsed(name, shipped[name])

    @classmethod
    def all(cls) -> list[Self]:
        """Return the experiments that ship with fathom, by name."""
        return [cls._parsed(name, text) for name, text in _shipped().items()]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the experiment of a file.

        Args:
            path: TOML, of the same keys as those that ship with fathom.

        Returns:
            The experiment, named as the file.

        Raises:
            ArgumentError: If the file cannot be read, or breaks a rule.
        """
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(
                f"experiment: {path} must be a file that can be read, got {error}."
            ) from error
        return cls._parsed(path.name.removesuffix(_SUFFIX), text)

    @classmethod
    def _parsed(cls, name: str, text: str) -> Self:
        try:
            body = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ArgumentError(f"{name}: the file must be TOML, got {error}.") from error
        _refuse_unknown(body, _KEYS, where=name)
        grids = body.get("grid")
        if not isinstance(grids, list) or not grids:
            raise ArgumentError(
                f"{name}: [[grid]] must be there at least once, got {grids!r}. Two brackets each."
            )
        return cls(
            name=name,
            title=_text(body, "title", where=name),
            papers=_text(body, "papers", where=name),
            repetitions=body.get("repetitions", 5),
            grids=tuple(_grid(each, where=name) for each in grids),
            training=_section(Training, body, "training", where=name),
            record=_section(Recording, body, "record", where=name),
        )

    def changed(
        self,
        *,
        repetitions: int | None = None,
        epochs: int | None = None,
        **axes: Sequence[Any],
    ) -> Self:
        """Return it with other values.

        Args:
            repetitions: How often each training is repeated; None for as it is.
            epochs: How long each training is; None for as it is.
            axes: What every grid has on an axis: `data`, `classes`, `clutter`, `model` or `width`;
                nothing for as it is.

        Returns:
            The changed experiment.

        Raises:
            ArgumentError: If a value is outside its rule.
        """
        given = {name: list(values) for name, values in axes.items() if values}
        grids = tuple(_grid({**asdict(grid), **given}, where=self.name) for grid in self.grids)
        return replace(
            self,
            repetitions=self.repetitions if repetitions is None else repetitions,
            training=self.training if epochs is None else replace(self.training, epochs=epochs),
            # Grids that differed in this axis alone are now one.
            grids=tuple(dict.fromkeys(grids)),
        )

    def tasks(self) -> list[Task]:
        """Return every training once, all first repetitions before the second ones.

        Raises:
            ArgumentError: If two would have the same name.
        """
        found: dict[str, Task] = {}
        for repetition in range(self.repetitions):
            for grid in self.grids:
                cells = itertools.product(
                    grid.data, grid.classes, grid.clutter, grid.model, grid.width
                )
                for data, classes, clutter, model, width in cells:
                    task = Task(
                        data=data,
                        classes=classes,
                        clutter=clutter,
                        model=model,
                        width=width,
                        repetition=repetition,
                        training=self.training,
                        record=self.record,
                    )
                    if found.setdefault(task.name, task) != task:
                        raise ArgumentError(
                            f"{self.name}: grids must have values that differ in six digits, got "
                            f"{found[task.name].width!r} and {width!r}, both {task.name}."
                        )
        return list(found.values())


def _shipped() -> dict[str, str]:
    folder = files("fathom.experiments") / "specs"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(_SUFFIX))
    return {name.removesuffix(_SUFFIX): (folder / name).read_text() for name in names}


def _text(body: Mapping[str, Any], key: str, *, where: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str):
        raise ArgumentError(f"{where}: {key} must be a text in quotes, got {value!r}.")
    return value


def _grid(body: object, *, where: str) -> Grid:
    place = f"{where}: grid"
    if not isinstance(body, Mapping):
        raise ArgumentError(f"{place} must be a table, got {body!r}. Write [[grid]].")
    _refuse_unknown(body, tuple(_AXES), where=place)
    axes = {}
    for name, unsaid in _AXES.items():
        values = body.get(name, unsaid)
        if not isinstance(values, list | tuple) or not values:
            raise ArgumentError(f"{place}: {name} must be a list with a value, got {values!r}.")
        axes[name] = tuple(_value(name, each, place) for each in values)
    for model, width in itertools.product(axes["model"], axes["width"]):
        architecture(model).check_width(width, where=place)
    return Grid(**axes)


def _value(axis: str, value: Any, where: str) -> Any:
    if axis in ("data", "model"):
        if not isinstance(value, str) or not value:
            raise ArgumentError(f"{where}: {axis} must be a name in quotes, got {value!r}.")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if axis == "classes":
        if value is not None and not (number and isinstance(value, int) and value >= 2):
            raise ArgumentError(f"{where}: classes must be whole and at least 2, got {value!r}.")
        return value
    if not number or not 0 <= value <= (1 if axis == "clutter" else 1e6):
        fix = "be in [0, 1]" if axis == "clutter" else "be a number above 0"
        raise ArgumentError(f"{where}: {axis} must {fix}, got {value!r}.")
    return float(value)


def _section(kind: Any, body: Mapping[str, Any], key: str, *, where: str) -> Any:
    given = body.get(key, {})
    if not isinstance(given, Mapping):
        raise ArgumentError(f"{where}: {key} must be a table, got {given!r}. Write [{key}].")
    _refuse_unknown(given, tuple(each.name for each in fields(kind)), where=f"{where}: {key}")
    try:
        return kind(**given)
    except ArgumentError as error:
        raise ArgumentError(f"{where}: {error}") from error


def _refuse_unknown(body: Mapping[str, Any], known: Sequence[str], *, where: str) -> None:
    for key in body:
        if key not in known:
            raise ArgumentError(f"{where}: a key must be known, got {key!r}. {near(key, known)}")
