"""Serving a review: the pages are found first, then the address is printed."""

from __future__ import annotations

import socket
from collections.abc import Callable

from preop.errors import InvalidInputError
from preop.review.app import make_app
from preop.review.pages import find_pages
from preop.review.review import Review
from preop.review.security import is_loopback, new_token
from preop.wording import counted


def serve(review: Review, *, host: str, port: int, tell: Callable[[str], object]) -> None:
    """Serve a review until it is stopped (Ctrl-C).

    Parameters
    ----------
    host
        Address to listen at; another than the loopback one is served to who has the token, which is printed once.
    tell
        Is given each sentence for the user.

    Raises
    ------
    InvalidInputError
        If the address cannot be listened at.
    MissingToolError
        If the pages are not built and cannot be.
    """
    import uvicorn

    pages = find_pages(tell)
    token = None if is_loopback(host) else new_token()
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    hosts = [f"{_bracketed(name)}:{port}" for name in _names(host)]
    app = make_app(review, pages, hosts=hosts, token=token)
    shown = hosts[0] if host in {"0.0.0.0", "::"} else f"{_bracketed(host)}:{port}"  # noqa: S104
    tell(
        f"{counted(len(review.cohort.subjects), 'patient')} of {review.cohort.table.name} ({review.cohort.algorithm.title})"
    )
    tell(f"Open http://{shown}/{f'?token={token}' if token else ''}")
    if token:
        tell("Whoever has this address can see and change the review; it is not encrypted on its way.")
    tell("Ctrl-C stops it; everything that was saved is kept.")
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=3, h11_max_incomplete_event_size=2**16
    )
    uvicorn.Server(config).run(sockets=[listening])


def _names(host: str) -> list[str]:
    """Names under which an address may be asked."""
    if is_loopback(host):
        return list(dict.fromkeys([host, "127.0.0.1", "localhost", "::1"]))
    if host not in {"0.0.0.0", "::"}:  # noqa: S104
        return [host]
    name = socket.gethostname()
    found = {entry[4][0] for entry in socket.getaddrinfo(name, None)} if name else set()
    return list(dict.fromkeys([name, socket.getfqdn(), *sorted(map(str, found)), "127.0.0.1", "localhost"]))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise InvalidInputError(
            f"The review cannot be served at {host}, port {port}: {error.strerror}; name another by --port."
        ) from error
    return listening
