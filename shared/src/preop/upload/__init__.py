"""Cases of a cohort as items of an archive of grand-challenge.org, sent by the platform's own client (gcapi)."""

from preop.upload.items import Item, item_of, only_named, planned
from preop.upload.phase import write_pack
from preop.upload.sending import ADDRESS, TOKEN_VARIABLE, Sent, archive, send_cohort

__all__ = [
    "ADDRESS",
    "TOKEN_VARIABLE",
    "Item",
    "Sent",
    "archive",
    "item_of",
    "only_named",
    "planned",
    "send_cohort",
    "write_pack",
]
