"""A stand-in for grand-challenge.org, made from the calls of its own client (gcapi 0.16.1): an archive and its items."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token"  # noqa: S105 - of the stand-in


@dataclass
class Platform:
    """What the stand-in holds.

    Attributes
    ----------
    sockets
        Description of each socket, as the API gives it, by slug.
    items
        Items of the archive: title and values.
    uploads
        Name and content of each file that was uploaded, by its key.
    refuse
        Titles of items that are refused with status 400.
    """

    sockets: dict[str, dict[str, Any]]
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)
    address: str = ""

    def content(self, title: str) -> dict[str, Any]:
        """Give the values of an item by slug; of an image the names of its files."""
        found = next(item for item in self.items.values() if item["title"] == title)
        return {value["interface"]["slug"]: value["value"] or value["image"] for value in found["values"]}


@contextmanager
def serving(platform: Platform, folder: Path) -> Iterator[str]:
    """Serve it over HTTPS with a certificate of its own, ``folder/certificate.pem``; gives the address of its API."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("localhost", 0), _handler(platform)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        platform.address = f"https://localhost:{server.server_port}/api/v1/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield platform.address
        finally:
            server.shutdown()
            thread.join()


def _handler(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer_to("GET")

        def do_POST(self) -> None:
            self._answer_to("POST")

        def do_PATCH(self) -> None:
            self._answer_to("PATCH")

        def do_PUT(self) -> None:
            self._answer_to("PUT")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _answer_to(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            path, query = parts.path.removeprefix("/api/v1/"), parse_qs(parts.query)
            public = path == "gcapi/" or path.startswith("part/")
            if not public and self.headers.get("Authorization") != f"BEARER {TOKEN}":
                self._say(401, {"detail": "Invalid token."})
            elif method == "PUT":
                key = path.split("/")[1]
                platform.uploads[key] = (platform.uploads[key][0], platform.uploads[key][1] + body)
                self._say(200, {}, ETag='"tag"')
            else:
                self._say(*_respond(platform, method, path, query, json.loads(body or b"{}")))

        def _say(self, status: int, content: Any, **headers: str) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {
                **headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(text)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

    return Handler


def _respond(  # noqa: PLR0911 - one for each of the client's calls
    platform: Platform, method: str, path: str, query: dict[str, list[str]], body: Any
) -> tuple[int, Any]:
    if path == "gcapi/":
        return 200, {"latest_version": "0.16.1", "lowest_supported_version": "0.16.0"}
    if path == "archives/":
        return 200, _page([_archive(platform)] if query.get("slug") == ["mine"] else [], query)
    if path == "components/interfaces/":
        return 200, _page([platform.sockets[slug] for slug in query["slug"] if slug in platform.sockets], query)
    if path == "archives/items/":
        if method == "GET":
            return 200, _page([_item(pk, item) for pk, item in platform.items.items()], query)
        if body["title"] in platform.refuse:
            return 400, {"title": ["refused"]}
        pk = f"item-{len(platform.items)}"
        platform.items[pk] = {"title": body["title"], "values": []}
        return 201, _item(pk, platform.items[pk])
    if found := re.fullmatch(r"archives/items/([^/]+)/", path):
        item = platform.items[found[1]]
        for value in body["values"]:
            _put(platform, item, value)
        return 200, {**_item(found[1], item), "values": []}
    if path.startswith("uploads/"):
        return _respond_to_upload(platform, path, body)
    return 404, {"detail": "Not found."}


def _respond_to_upload(platform: Platform, path: str, body: Any) -> tuple[int, Any]:
    parts = path.split("/")
    if not parts[1]:
        key = f"upload-{len(platform.uploads)}"
        platform.uploads[key] = (body["filename"], b"")
        return 201, _upload(platform, key)
    if parts[-2] == "generate-presigned-urls":
        addresses = {str(number): f"{platform.address}part/{parts[1]}/{number}" for number in body["part_numbers"]}
        return 200, {**_upload(platform, parts[1]), "presigned_urls": addresses}
    return 200, _upload(platform, parts[1])


def _put(platform: Platform, item: dict[str, Any], value: dict[str, Any]) -> None:
    """Take a value over as the platform does: over the one that the item has of this socket."""
    socket = platform.sockets[value["interface"]]
    names = [platform.uploads[address.rstrip("/").rsplit("/", 1)[-1]][0] for address in value.get("user_uploads") or []]
    kept = [each for each in item["values"] if each["interface"]["slug"] != socket["slug"]]
    made = {
        "interface": socket,
        "value": value.get("value"),
        "file": None,
        "image": ",".join(names) or None,
        "pk": 1,
        "socket": socket,
    }
    item["values"] = [*kept, made]


def _archive(platform: Platform) -> dict[str, Any]:
    address = f"{platform.address}archives/mine/"
    return {"pk": "mine", "title": "Mine", "logo": "", "description": "", "api_url": address, "url": address}


def _item(pk: str, item: dict[str, Any]) -> dict[str, Any]:
    plain = {"hanging_protocol": None, "optional_hanging_protocols": [], "view_content": {}}
    return {"pk": pk, "archive": "mine", "title": item["title"], "values": item["values"], **plain}


def _upload(platform: Platform, key: str) -> dict[str, Any]:
    known = {"pk": key, "created": "", "filename": platform.uploads[key][0], "key": key, "s3_upload_id": "s3"}
    return {**known, "status": "Completed", "api_url": f"{platform.address}uploads/{key}/"}


def _page(results: list[Any], query: dict[str, list[str]]) -> dict[str, Any]:
    start = int(query.get("offset", ["0"])[0])
    return {"count": len(results), "results": results[start:]}
