"""Log lines as markup: the same for a page and for a stream. Everything foreign is escaped here, and nowhere trusted."""
from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from markupsafe import Markup, escape

from mcpweb.logstore import LogLine
from mcpweb.schemas.definitions import visible
from mcpweb.web.language import _

_PAINT = re.compile(r"\x1b\[[0-9;:?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?")
_LINE = Markup('<div class="{} {}" data-line><time datetime="{}Z">{}</time><i>{}</i><span dir="ltr">{}</span></div>\n')
_DAY = Markup('<div class="day"><time datetime="{0}">{0}</time> UTC</div>\n')
_LEFT_OUT = Markup('<div class="day">{}</div>\n')


def markup(lines: Sequence[LogLine], left_out: int = 0, *, q: str = "", note: str = "") -> Markup:
    """Return lines with a heading where a day begins and a mark at each hit of ``q``."""
    pattern = re.compile(re.escape(q), re.IGNORECASE) if q else None
    parts = [_LEFT_OUT.format(note)] if left_out else []
    day = lines[0].at[:10] if lines and not left_out else ""
    for line in lines:
        if line.at[:10] != day:
            day = line.at[:10]
            parts.append(_DAY.format(day))
        at = line.at.replace(" ", "T")
        parts.append(_LINE.format(line.level, line.stream, at, line.at[11:], line.stream, shown(line.text, pattern)))
    return Markup("").join(parts)


def renderer(q: str) -> partial[Markup]:
    """Return ``markup`` with the words of this request's language, for use outside it."""
    return partial(markup, q=q, note=_("Lines are left out here: there were too many at once."))


def shown(text: str, pattern: re.Pattern[str] | None) -> Markup:
    """Return a text without its paint, with what nobody sees written out and the hits marked."""
    if not text.isprintable():
        text = "\t".join(visible(part) for part in _PAINT.sub("", text).split("\t"))
    if pattern is None:
        return escape(text)
    parts, end = [], 0
    for hit in pattern.finditer(text):
        parts += [escape(text[end:hit.start()]), Markup("<mark>{}</mark>").format(hit[0])]
        end = hit.end()
    return Markup("").join([*parts, escape(text[end:])])
