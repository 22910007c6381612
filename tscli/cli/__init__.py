"""The face: Typer commands, one file a command, Rich rendering. Knows the API of the package `tscli` and nothing below it."""
