"""How Sphinx makes the documentation: make docs."""

from pathlib import Path

import typer
from sphinx.application import Sphinx

import fathom
from fathom.cli.main import app as commands

project = "fathom"
author = "The fathom developers"
copyright = "2026, The fathom developers"
version = release = fathom.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "fathom"
exclude_patterns = ["_build", "pictures"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# Pages are read on a forge too, where a link leads to the file itself.
myst_url_schemes = ["http", "https"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False


def _write_commands(sphinx: Sphinx) -> None:
    """Write the help of every command as a page, so that it is what the command says."""
    group = typer.main.get_command(commands)
    context = typer.Context(group, info_name="fathom")
    parts = [
        "# Every command\n",
        "As `fathom COMMAND --help` prints it.\n",
        *_helps(context, group),
    ]
    page = Path(sphinx.srcdir) / "commands.md"
    text = "\n".join(parts)
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def _helps(context: typer.Context, group: typer.core.TyperGroup) -> list[str]:
    """Return a section for each command of a group, and after a group those of its own commands."""
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        own = typer.Context(command, parent=context, info_name=name)
        parts += [f"## {own.command_path}\n", f"```text\n{command.get_help(own)}\n```\n"]
        if hasattr(command, "list_commands"):
            parts += _helps(own, command)
    return parts


def setup(sphinx: Sphinx) -> None:
    """Let Sphinx write what is made from the code."""
    sphinx.connect("builder-inited", _write_commands)
