"""Who may talk to the server: this machine's own pages, and elsewhere only who has the token.

A server on the loopback address is reached by every page that the browser has open. So the name it was asked under is
checked (a page may point a name of its own here: DNS rebinding), where a request comes from (cross-site requests), and what
a page may load (Content-Security-Policy); nothing is asked of another address.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "preop_review"
TOKEN_PARAMETER = "token"  # noqa: S105 - the name of a parameter
_SAFE = {"GET", "HEAD"}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{kind} {allowed}" for kind, allowed in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Make a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


class Guard:
    """Refuses what does not come from the review's own pages, before anything else sees it.

    Parameters
    ----------
    app
        What is guarded.
    hosts
        ``name:port`` under which the server may be asked.
    token
        What a browser has to show once, in the address; None: the loopback address alone is served.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str | None = None) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers: Headers = request.headers
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return _refused(421, f"This server is not called {host[:100]!r}: open the address that it printed.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}:
            return _refused(403, "Another site's page may not use this server.")
        if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"} and not self._is_a_link(request):
            return _refused(403, "Another site's page may not use this server.")
        if request.method not in _SAFE and origin is None:
            return _refused(403, "Changes are taken from the review's own pages alone.")
        return self._token_refusal(request)

    def _is_a_link(self, request: Request) -> bool:
        """Whether someone follows a link to the first page, from a mail for example."""
        headers = request.headers
        return (
            request.method == "GET"
            and request.url.path == "/"
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )

    def _token_refusal(self, request: Request) -> Response | None:
        if self._token is None:
            return None
        given = request.query_params.get(TOKEN_PARAMETER)
        if request.method == "GET" and given is not None and _same(given, self._token):
            # Out of the address at once: it would be seen on the screen, and sent along.
            # By the page itself, not by a redirect: after a link from elsewhere, a strict cookie would not be sent yet.
            answer = HTMLResponse('<!doctype html><title>Review</title><meta http-equiv="refresh" content="0;url=/">')
            answer.set_cookie(
                COOKIE, self._token, httponly=True, samesite="strict", secure=request.url.scheme == "https"
            )
            return answer
        if _same(request.cookies.get(COOKIE, ""), self._token):
            return None
        return _refused(401, "This review needs its token: open the whole address that the server printed.")


def _same(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)
