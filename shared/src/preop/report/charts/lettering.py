"""Text of a chart that takes the room it was given, whatever font the reader's machine draws it with.

A chart is laid out with the widths of Helvetica (which Arial and Liberation Sans share). Where a reader has none of them, the
letters of another font are wider, and titles and numbers at an edge would be cut. So every text says how wide it is, and is drawn
that wide.
"""

from __future__ import annotations

import html
import re

_TEXT = re.compile(r"<(text|tspan)( [^>]*)?>([^<]*)")
_SIZE, _BOLD = re.compile(r'font-size="([\d.]+)px"'), re.compile(r'font-weight="(bold|[6-9]00)"')
_USUAL = 556
"""Of a character that is not listed, in thousandths of the size of the font."""
_DEFAULT_SIZE = 11.0
"""Of Vega, in pixels."""


def _widths(listed: str) -> dict[str, int]:
    """Read widths: each followed by the characters that have it."""
    words = listed.split()
    return {
        character: int(width) for width, text in zip(words[::2], words[1::2], strict=True) for character in text
    } | {" ": 278}


# Adobe Core 14 font metrics, Helvetica and Helvetica-Bold.
_REGULAR = _widths(
    "191 ' 222 ijl\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK} 260 | 278 !,./:;I[\\]ft 333 ()-`r· 334 {} 355 \" 389 * 469 ^ 500 Jcksvxyz 584 +<=>~\N{MULTIPLICATION SIGN}\N{MINUS SIGN}÷ 333 “” "
    "556 #$0123456789?L_abdeghnopqu\N{EN DASH} 611 FTZ 667 &ABEKPSVXY 722 CDHNRUw 778 GOQ 833 Mm 889 % 944 W 1000 —… 1015 @ 549 ≤≥±"
)
_BOLD_WIDTHS = _widths(
    "238 ' 278 ,./I\\ijl\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK} 280 | 333 !()-:;[]`ft· 389 *r{} 474 \" 500 z“” 556 #$0123456789J_aceksvxy\N{EN DASH} 584 +<=>^~\N{MULTIPLICATION SIGN}\N{MINUS SIGN}÷ "
    "611 ?FLTZbdghnopqu 667 EPSVXY 722 &ABCDHKNRU 778 GOQw 833 M 889 %m 944 W 975 @ 1000 —… 549 ≤≥±"
)


def with_widths(svg: str) -> str:
    """Say of each text in a chart how wide it is."""
    style = ""

    def said(match: re.Match[str]) -> str:
        nonlocal style
        tag, attributes, text = match[1], match[2] or "", match[3]
        style = attributes if _SIZE.search(attributes) else style
        if not text.strip():  # its lines follow, each in an element of its own
            return match[0]
        width = width_of(html.unescape(text), _size(style), bold=_BOLD.search(style) is not None)
        return f'<{tag}{attributes} textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs">{text}'

    return _TEXT.sub(said, svg)


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Measure a text in Helvetica.

    Parameters
    ----------
    size
        Of the font, in pixels; so is the width.
    """
    widths = _BOLD_WIDTHS if bold else _REGULAR
    return sum(widths.get(character, _USUAL) for character in text) * size / 1000


def _size(style: str) -> float:
    found = _SIZE.search(style)
    return float(found[1]) if found else _DEFAULT_SIZE
