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
        from preop.errors import PreopError, unexpected

        try:
            app()
        except PreopError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
        except Exception as error:  # noqa: BLE001 - whatever nobody foresaw: a sentence, and a file to report
            print(f"{unexpected(error)} {_logged(error)}", file=sys.stderr)
            sys.exit(1)


def _logged(error: Exception) -> str:
    """Write the traceback to a file, and say where it is; print it where no file can be written."""
    import platform
    import tempfile
    import traceback
    from importlib.metadata import version

    about = (
        f"preop {version('preop')}, Python {platform.python_version()}, {platform.platform()}\n{' '.join(sys.argv)}\n"
    )
    text = about + "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="preop-error-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError:
        print(text, file=sys.stderr)
        return "It stands above."
    return f"It is in {file.name}; it holds names of files, and no images."
