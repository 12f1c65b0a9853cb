"""Whether a training fits the run that it is to go on with."""

import sqlite3
from pathlib import Path

from fathom.errors import RunError
from fathom.reading import LayerFacts
from fathom.settings import Settings
from fathom.store.content import content

# Settings that decide what a row is: numbers before and after a change do not compare.
_SAME_ON_RESUME = ("conv", "timesteps", "downsample")


def check_fit(
    connection: sqlite3.Connection,
    folder: Path,
    settings: Settings,
    layers: list[LayerFacts],
) -> None:
    """Refuse to go on with a run of another model, or of rows taken in another way.

    Args:
        connection: To the run's database; of a new one, anything fits.
        folder: Its folder, for the message.
        settings: What is asked for now.
        layers: The layers that are watched now.

    Raises:
        RunError: If a setting, a width or the layers themselves differ.
        DamagedRecordError: If the record of the last session is not as it was written.
    """
    last = connection.execute(
        "SELECT number, body, checksum FROM sessions ORDER BY number DESC LIMIT 1"
    ).fetchone()
    if last is None:
        return
    before = content(("session", last[0]), last[1], last[2]).get("settings", {})
    now = settings.as_dict()
    for name in _SAME_ON_RESUME:
        if before.get(name) != now[name]:
            raise RunError(
                f"watch: {name} must be {before.get(name)!r}, with which {folder} was recorded, "
                f"got {now[name]!r}. Pass the same, or another path."
            )
    _check_layers(connection, folder, layers)


def _check_layers(connection: sqlite3.Connection, folder: Path, layers: list[LayerFacts]) -> None:
    rows = connection.execute("SELECT name, body, checksum FROM layers")
    widths = {name: content(("layer", name), body, seal)["width"] for name, body, seal in rows}
    if widths and widths.keys().isdisjoint(facts.name for facts in layers):
        raise RunError(
            f"watch: model must have a layer of the run at {folder}, got one without any of "
            f"{', '.join(list(widths)[:5])}. This is another model; pass another path."
        )
    for facts in layers:
        before = widths.get(facts.name)
        if before is not None and facts.width is not None and before != facts.width:
            raise RunError(
                f"watch: {facts.name} must have width {before}, with which {folder} was recorded, "
                f"got {facts.width}. This is another model; pass another path."
            )
