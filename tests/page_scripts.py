"""The scripts on the pages of the documentation, as a reader would run them."""

import re
from pathlib import Path

from preloaded import done

_ROOT = Path(__file__).parents[1]


def script_of(page: str, *, blocks: int = 1) -> str:
    """The first Python of a page."""
    text = (_ROOT / "docs" / page).read_text()
    scripts = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(scripts) >= blocks, f"{page} has no script"
    return "\n".join(scripts[:blocks])


def run_script(page: str, folder: Path, *, blocks: int = 1) -> str:
    """Run the first Python of a page in a folder, and return what it prints."""
    (folder / "script.py").write_text(script_of(page, blocks=blocks))
    # Of fathom nothing is there before the script imports it.
    told = done("script.py", cwd=folder, modules=("torch",))
    assert told.returncode == 0, told.stderr
    return told.stdout
