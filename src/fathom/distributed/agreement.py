"""What ranks say to each other before they merge their moments, and what follows from it."""

from typing import Any, NamedTuple

from fathom.errors import ArgumentError, RanksError


class Word(NamedTuple):
    """What a rank says at a snapshot.

    Attributes:
        step: The step as the user counts.
        metrics: The user's numbers.
        order: The layers that were called, in the order of their first calls.
        disabled: Layers that could not be read, with the reason.
        unseen: Why nothing was seen of other layers.
        unprobed: Why rows of some layers in eval were not scored by a probe.
    """

    step: int
    metrics: dict[str, float]
    order: list[str]
    disabled: dict[str, str]
    unseen: dict[str, str]
    unprobed: dict[str, str]


def agreed(said: list[Word | str]) -> Word:
    """Return what holds for all ranks.

    Args:
        said: By every rank, in order of rank; a str is why it refused the user's arguments.

    Returns:
        The metrics of rank 0; every layer that any rank has called, could not read, or has not
        seen.

    Raises:
        ArgumentError: If a rank refused, or the steps differ.
    """
    words = []
    for rank, word in enumerate(said):
        if isinstance(word, str):
            raise ArgumentError(
                f"snapshot: arguments must be right on every rank, got on rank {rank}: {word}"
            )
        words.append(word)
    steps = [word.step for word in words]
    if len(set(steps)) > 1:
        raise ArgumentError(
            f"snapshot: step must be the same on every rank, got {', '.join(map(str, steps))} in "
            "order of rank. Call it at the same place of the training in every process."
        )
    disabled: dict[str, str] = {}
    unseen: dict[str, str] = {}
    unprobed: dict[str, str] = {}
    for word in reversed(words):
        disabled |= word.disabled
        unseen |= word.unseen
        unprobed |= word.unprobed
    order = dict.fromkeys(name for word in words for name in word.order)
    return words[0]._replace(order=list(order), disabled=disabled, unseen=unseen, unprobed=unprobed)


def refuse_mismatch(said: list[dict[str, Any]]) -> None:
    """Refuse ranks that differ in what they watch.

    Args:
        said: By every rank, in order of rank: `layers`, whether there is a `run`, and each setting
            by its name.

    Raises:
        RanksError: At the first difference from rank 0.
    """
    first, *others = said
    for rank, other in enumerate(others, start=1):
        if difference := _difference(first["layers"], other["layers"]):
            raise RanksError(
                f"watch: layers must be the same on every rank, got rank {rank} {difference}. "
                'Build the same model on every rank, or watch each alone, with ranks="own".'
            )
        # A path on rank 0 alone is enough; one elsewhere alone would be written by nobody.
        if other["run"] and not first["run"]:
            raise RanksError(
                f"watch: run must be given on rank 0, which records, got it on rank {rank} only. "
                "Pass the same on every rank."
            )
        for name, value in first.items():
            if name != "run" and value != other[name]:
                raise RanksError(
                    f"watch: {name} must be the same on every rank, got {value!r} on rank 0 and "
                    f"{other[name]!r} on rank {rank}. Pass the same on every rank."
                )


def _difference(first: list[str], other: list[str]) -> str | None:
    if first == other:
        return None
    for word, one, two in (("without", first, other), ("with", other, first)):
        if odd := [name for name in one if name not in two]:
            whose = "that rank 0 has" if word == "without" else "that rank 0 has not"
            return f"{word} {', '.join(odd[:5])}{' and more' if len(odd) > 5 else ''}, {whose}"
    return "with them in another order than rank 0"
