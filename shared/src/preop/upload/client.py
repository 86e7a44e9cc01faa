"""Runs in the environment of gcapi, the platform's own client: reads one JSON object a line, and answers each with one.

The first names the archive and the address of the API; each other one is an item: its title, its values, its files.
Only what an item does not have is sent: nothing on the platform is written over.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Open the archive, then add items until the input ends."""
    import gcapi  # type: ignore[import-not-found]  # in an environment of its own
    import httpx

    try:
        opened = json.loads(sys.stdin.readline())
        client = gcapi.Client(base_url=opened["address"], verify=os.environ.get("SSL_CERT_FILE") or True)
        archive = client.archives.detail(slug=opened["archive"])
        items = items_of(client, archive)
        say(there={title: slugs_of(item) for title, item in items.items()})
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in a sentence
        say(error=reason(error, httpx))
        return
    for line in sys.stdin:
        try:
            send(client, gcapi, opened["archive"], json.loads(line), items)
            say(done=True)
        except Exception as error:  # noqa: BLE001 - one patient's failure is not the next one's
            say(error=reason(error, httpx))


def send(client: Any, gcapi: Any, archive: str, item: dict[str, Any], items: dict[str, Any]) -> None:
    """Add an item, or to the one of this title what it lacks."""
    there = items.get(item["title"])
    has = set(slugs_of(there)) if there is not None else set()
    specifications = [
        *(
            gcapi.SocketValueSpec(socket_slug=slug, value=value)
            for slug, value in item["values"].items()
            if slug not in has
        ),
        *(
            gcapi.SocketValueSpec(socket_slug=slug, files=[path])
            for slug, path in item["files"].items()
            if slug not in has
        ),
    ]
    if there is None:
        client.add_case_to_archive(archive_slug=archive, values=specifications, title=item["title"])
    elif specifications:
        client.update_archive_item(archive_item_pk=there.pk, values=specifications)


def items_of(client: Any, archive: Any) -> dict[str, Any]:
    """Find the items of an archive, by their titles."""
    items: dict[str, Any] = {}
    for item in client.archive_items.iterate_all(params={"archive": archive.pk}):
        if item.title in items:
            raise ValueError(f"two items are called {item.title!r}; give each a title of its own there")
        items[item.title] = item
    return items


def slugs_of(item: Any) -> list[str]:
    """Tell which sockets an item has."""
    return [value.interface.slug for value in item.values]


def reason(error: Exception, httpx: Any) -> str:
    """Say why, with what the platform answered where it did."""
    if isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code in (401, 403):
            return "it refuses the token: make one in your profile there, and put it into GRAND_CHALLENGE_AUTHORIZATION"
        return f"status {error.response.status_code}, {error.response.text[:300]}"
    if type(error).__name__ == "ObjectNotFound":
        return "there is no such archive that this user may see"
    return f"{error or type(error).__name__}".splitlines()[0]


def say(**content: Any) -> None:
    """Answer."""
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    main()
