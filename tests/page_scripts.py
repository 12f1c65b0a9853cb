"""The scripts on the pages of the documentation, as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import fathom

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
    source = Path(fathom.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
