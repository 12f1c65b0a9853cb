"""The command `fathom`: one short function a subcommand."""
