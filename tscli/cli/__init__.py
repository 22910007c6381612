"""The command line: Typer commands, one file a command, Rich rendering. Knows the API of `tscli` and nothing below it."""

import time

BEGAN = time.perf_counter()  # the command line's first line
