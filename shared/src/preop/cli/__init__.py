"""The command ``preop``: thin, every command calls one function of the library."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; what a user can mend ends in one sentence on stderr and exit code 1."""
    from preop.cli.commands import app
    from preop.errors import PreopError

    try:
        app()
    except PreopError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
