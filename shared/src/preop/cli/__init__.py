"""The command ``preop``: thin, every command calls one function of the library."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it (128 + SIGINT)."""


def main() -> None:
    """Run the command line; what a user can mend ends in one sentence on stderr and exit code 1, Ctrl-C in 130."""
    from preop.cli.interrupts import stopping_in_time

    with stopping_in_time("Stopped. What was finished is kept; the same command goes on from there.", INTERRUPTED):
        from preop.cli.commands import app
        from preop.errors import PreopError

        try:
            app()
        except PreopError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
