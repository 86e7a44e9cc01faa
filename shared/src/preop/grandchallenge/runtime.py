"""Running inside the container: once a case (``exec``), or as a server that keeps the model (``invoke``).

Contract: reference of grand-challenge.org (2025-11). An error ends with one sentence as the last line of stderr,
because that line is what the platform shows; the traceback stands before it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from preop.atomic import move_all, staging
from preop.errors import InvalidInputError, PreopError, unexpected
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.handing_over import read_input
from preop.grandchallenge.outputs import Output, write_outputs
from preop.grandchallenge.predictions import Job, read_predictions
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.values import JSON, to_json
from preop.repeatable import one_algebra_thread

if TYPE_CHECKING:
    from types import FrameType

ApiMethod = Literal["exec", "invoke"]

API_METHOD_VARIABLE = "PREOP_API_METHOD"
END_EARLY_VARIABLE = "PREOP_END_IF_NOT_READY"
"""Lets a server end that cannot load its model: who started it here sees that. The platform would wait for it (see serve)."""
INVOKE_PORT = 4743
METRICS_FILE = "metrics.json"
_USAGE_PREFIX = "usage: "
_CONTENT_LENGTH = re.compile("[0-9]{1,18}")
_CHUNK_BYTES = 2**16

Model = TypeVar("Model")


@dataclass(frozen=True)
class Usage:
    """What a run took."""

    seconds: float
    peak_memory_mb: float


def run_algorithm(
    folder: Path,
    *,
    load_model: Callable[[Path, Algorithm], Model],
    predict: Callable[[Case, Model], Mapping[str, Output]],
) -> NoReturn:
    """Run an algorithm as the platform asks, and leave with exit code 0 (success) or 1 (one sentence on stderr).

    Parameters
    ----------
    folder
        The algorithm's folder, with its ``algorithm.toml``.
    load_model
        Makes the model from the model folder; called once.
    predict
        Makes all outputs of a case, by slug.
    """
    method = os.environ.get(API_METHOD_VARIABLE, "exec")
    # A server that is asked to stop has done its work; a case that is stopped has not been done.
    _end_in_order_when_asked_to(0 if method == "invoke" else 128 + signal.SIGTERM)
    roots = Roots.from_environment()

    def run_once() -> None:
        algorithm = read_algorithm(folder)
        # A wrong input is told in a second: it is read before a model, which can be large.
        case = read_input(algorithm, roots.input)
        model = load_model(roots.model, algorithm)
        write_outputs(outputs_of(case, predict, model), case, roots.output)

    def serve() -> None:
        algorithm = read_algorithm(folder)
        try:
            model = load_model(roots.model, algorithm)
        except Exception as error:
            if os.environ.get(END_EARLY_VARIABLE):
                raise
            # The platform asks a program that is not there for its health for 300 s, and then names no reason. A server
            # that answers each case with the reason fails at once, and the reason is in the log.
            _report(error)
            reason = error

            def fail() -> None:
                raise reason

            _serve(fail)
            return

        def run_next() -> None:
            case = read_input(algorithm, roots.input)
            write_outputs(outputs_of(case, predict, model), case, roots.output)

        _serve(run_next)

    actions = {"exec": run_once, "invoke": serve}
    if method not in actions:
        print(f"{API_METHOD_VARIABLE} is {method!r}; expected exec or invoke.", file=sys.stderr)
        sys.exit(1)
    sys.exit(_reported(actions[method]))


def outputs_of(
    case: Case, predict: Callable[[Case, Model], Mapping[str, Output]], model: Model
) -> Mapping[str, Output]:
    """Make the outputs of a case, the same on any number of cores, with what was corrected when its images were read."""
    with one_algebra_thread():
        outputs = predict(case, model)
    return _with_notes(outputs, case.notes)


def _with_notes(outputs: Mapping[str, Output], notes: Sequence[str]) -> Mapping[str, Output]:
    """Put what was corrected when the images were read before the warnings of the outputs, or on stderr if they have none."""
    warned = [slug for slug, output in outputs.items() if isinstance(output, dict) and _has_warnings(output)]
    if notes and not warned:
        print(*(f"note: {note}" for note in notes), sep="\n", file=sys.stderr)
    if not notes:
        return outputs
    return {
        slug: {**output, "warnings": [*notes, *output["warnings"]]}
        if slug in warned and isinstance(output, dict)
        else output
        for slug, output in outputs.items()
    }


def _has_warnings(output: Mapping[str, Any]) -> bool:
    return isinstance(output.get("warnings"), list)


def run_evaluation(
    evaluate: Callable[[list[Job], Path], Mapping[str, Any]],
    outputs: Callable[[Mapping[str, Any], Path], Mapping[str, JSON]],
) -> NoReturn:
    """Run an evaluation, once for a submission; it never serves, and says so where it is asked to.

    Parameters
    ----------
    evaluate
        Takes the jobs and the ground truth, and makes the content of ``metrics.json``.
    outputs
        Takes that content and the ground truth, and gives what else is written, by file name.
    """
    _end_in_order_when_asked_to(128 + signal.SIGTERM)
    roots = Roots.from_environment()

    def evaluate_all() -> None:
        if (method := os.environ.get(API_METHOD_VARIABLE, "exec")) != "exec":
            raise InvalidInputError(
                f"{API_METHOD_VARIABLE} is {method!r}, and an evaluation does not serve: build its image with exec."
            )
        _check_packing(roots.ground_truth)
        metrics = evaluate(read_predictions(roots.input), roots.ground_truth)
        files = {name: to_json(content) for name, content in outputs(metrics, roots.ground_truth).items()}
        with staging(roots.output) as partial:
            for name, content in (files | {METRICS_FILE: to_json(metrics)}).items():
                (partial / name).write_text(content, encoding="utf-8")
            move_all([(path, roots.output / path.name) for path in sorted(partial.iterdir())])

    sys.exit(_reported(evaluate_all))


def _check_packing(ground_truth: Path) -> None:
    """Refuse a ground truth that was packed with a folder around it: nothing would be found where it is looked for."""
    content = list(ground_truth.iterdir()) if ground_truth.is_dir() else []
    if len(content) == 1 and content[0].is_dir():
        raise InvalidInputError(
            f"The ground truth holds only the folder {content[0].name}; expected the files themselves at its top: pack it "
            f"with tar -czf ground_truth.tar.gz -C {content[0].name} ."
        )


def parse_usage(stdout: str) -> Usage | None:
    """Find what a run said that it took, in what it printed."""
    for line in reversed(stdout.splitlines()):
        if line.startswith(_USAGE_PREFIX):
            return Usage(**json.loads(line.removeprefix(_USAGE_PREFIX)))
    return None


def describe_error(error: BaseException) -> str:
    """One line for the user: the sentence of an expected error, else a plain name of what went wrong."""
    if isinstance(error, PreopError):
        return " ".join(str(error).split())
    return unexpected(error)


def _reported(action: Callable[[], None]) -> int:
    """Do something, say what it took or why it failed, and give the exit code."""
    return 0 if _failure_of(action) is None else 1


def _failure_of(action: Callable[[], None]) -> str | None:
    """Do something, say what it took or why it failed, and give the sentence if it did."""
    start = time.monotonic()
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is, the platform needs one sentence
        return _report(error)
    usage = Usage(round(time.monotonic() - start, 2), round(_peak_memory_mb(), 1))
    print(_USAGE_PREFIX + json.dumps(asdict(usage)), flush=True)
    return None


def _report(error: BaseException) -> str:
    """Say why; where from is of use only if nobody foresaw it."""
    if not isinstance(error, PreopError):
        traceback.print_exception(error)
    sentence = describe_error(error)
    print(sentence, file=sys.stderr, flush=True)
    return sentence


def _peak_memory_mb() -> float:
    """Largest resident memory of this process or of one of its children, in MB (10^6 bytes)."""
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return kilobytes * unit / 1e6


def _end_in_order_when_asked_to(exit_code: int) -> None:
    """Turn SIGTERM into a normal exit, so that half-written output is removed on the way out."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(exit_code)

    signal.signal(signal.SIGTERM, stop)


def _serve(run_next: Callable[[], None]) -> None:
    """Answer ``GET /health`` with 200 and each ``POST /invoke`` with 201 once its case is done, until SIGTERM.

    A case that fails is answered with 500 and its sentence, which stands on stderr too, and the server goes on.
    """
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(HTTPStatus.OK if self.path == "/health" else HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or "0"
            if not _CONTENT_LENGTH.fullmatch(length):
                self.close_connection = True  # where this request ends is not known
                self._answer(HTTPStatus.BAD_REQUEST)
                return
            left = int(length)
            while left and (read := self.rfile.read(min(left, _CHUNK_BYTES))):  # the case lies in folders, not in here
                left -= len(read)
            if self.path != "/invoke":
                self._answer(HTTPStatus.NOT_FOUND)
                return
            with one_at_a_time:
                failure = _failure_of(run_next)
            if failure is None:
                self._answer(HTTPStatus.CREATED)
            else:
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, failure)

        def _answer(self, status: HTTPStatus, said: str = "") -> None:
            content = said.encode(errors="replace")
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - overrides the base class
            """Keep stderr for errors: its last line is what users see."""

    with ThreadingHTTPServer(("", INVOKE_PORT), Handler) as server:
        server.daemon_threads = True
        server.serve_forever()
