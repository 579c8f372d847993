"""Values that make tools work: what a schema's words, and the names people give to things, tell of what is meant."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_EXAMPLE = re.compile(
    r"(?:\be\.?g\.?|\bfor example|\bfor instance|\bexamples?\b|\bsuch as|\blike\b|\bone of|\beither)\s*[:,]?\s*", re.I
)
_QUOTED = re.compile(r"""(?:"([^"\n]{1,200})"|'([^'\n]{1,200})'|`([^`\n]{1,200})`)""")
_BARE = re.compile(r"[^\s,;()\[\]\"'`]{1,200}")
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_MOMENT, _UUID = "2024-05-17T12:30:00Z", "7d444840-9dc0-4a5b-9f0c-3a1c8a5e2b11"
_SHAPES = tuple((re.compile(shape, flags), value) for shape, flags, value in (  # how people write down the shape of a text
    (r"YYYY-MM-DD[T ]HH:MM(:SS)?", re.I, _MOMENT), (r"YYYY-MM-DD", re.I, "2024-05-17"), (r"YYYY-MM\b", re.I, "2024-05"),
    (r"HH:MM:SS", re.I, "12:30:00"), (r"HH:MM", re.I, "12:30"), (r"RFC ?3339|ISO[- ]?8601", re.I, _MOMENT),
    (r"\bIANA\b", 0, "UTC"), (r"#RRGGBB", re.I, "#336699"), (r"\bUUID\b", re.I, _UUID), (r"\bISO 4217\b", re.I, "EUR"),
    (r"\bISO 639", re.I, "en"), (r"\bISO 3166", re.I, "DE"), (r"\bbase ?64\b", re.I, "aGVsbG8="), (r"\bJSON\b", 0, "{}"),
))
_TEXTS = tuple((frozenset(names.split()), value) for names, value in (  # by a word of the property's name; earlier ones win
    ("timezone tz", "UTC"), ("email mail recipient", "someone@example.com"),
    ("url uri link href endpoint", "https://example.com/"), ("datetime timestamp since until after before", _MOMENT),
    ("date day", "2024-05-17"), ("time", "12:30"), ("uuid guid", _UUID), ("ip address", "192.0.2.1"),
    ("host hostname domain server", "example.com"), ("dir directory folder cwd root", "/tmp"),  # noqa: S108 - for a tool
    ("path file filename filepath", "/tmp/example.txt"), ("language lang locale", "en"), ("country", "DE"),  # noqa: S108
    ("currency", "EUR"), ("city location place", "Berlin"), ("color colour", "#336699"), ("branch", "main"),
    ("ref revision", "HEAD"), ("version", "1.0.0"), ("phone", "+4930123456"), ("regex regexp glob", ".*"), ("pattern", "*"),
    ("expression formula equation expr", "1 + 1"), ("sql", "SELECT 1"), ("json", "{}"), ("html", "<p>hello</p>"),
    ("markdown md", "# Hello"), ("base64", "aGVsbG8="), ("hex", "ff"), ("user username owner author", "alice"),
    ("id key identifier", "1"), ("query search q keyword term", "hello"), ("name title label subject", "example"),
    ("number amount value count", "1"),
))
_NUMBERS = tuple((frozenset(names.split()), value) for names, value in (
    ("port", 8080), ("year", 2024), ("month", 5), ("day", 17), ("hour", 12), ("lat latitude", 52.52),
    ("lon lng long longitude", 13.405), ("limit max count size top results", 5), ("page", 1), ("offset start skip index", 0),
    ("percent percentage quality", 50), ("width height", 64), ("temperature", 20), ("age", 30),
))
FORMATS: Mapping[str, Sequence[str]] = {
    "date-time": (_MOMENT, "2024-02-29T23:59:59.999+02:00"), "date": ("2024-05-17", "2024-02-29"),
    "time": ("12:30:00Z", "23:59:59+02:00"), "duration": ("PT1M", "P1DT12H"),
    "email": ("someone@example.com", "a.b+c@example.org"),
    "idn-email": ("someone@example.com",), "hostname": ("example.com", "a.example"), "idn-hostname": ("example.com",),
    "ipv4": ("192.0.2.1", "198.51.100.255"), "ipv6": ("2001:db8::1", "::1"),
    "uri": ("https://example.com/", "urn:isbn:0451450523"), "uri-reference": ("https://example.com/", "/a?b#c"),
    "iri": ("https://example.com/",), "iri-reference": ("/a",), "uuid": (_UUID,), "uri-template": ("https://example.com/{id}",),
    "json-pointer": ("/a/0", ""), "relative-json-pointer": ("0/a",), "regex": (".*",), "byte": ("aGVsbG8=",),
    "binary": ("hello",), "password": ("correct horse",),
}
MOST = 6
_NAMES = frozenset("id key code ref reference number no sku slug handle identifier".split())


def words(name: str) -> list[str]:
    """Return the words of a name in any of the usual spellings, lower case."""
    return [word.lower() for word in _WORDS.findall(name)]


def named_in(text: str) -> Iterator[str]:
    """Yield the values a description gives as examples, in its order; quoted ones first."""
    bare: list[str] = []
    for start in list(_EXAMPLE.finditer(text[:4000]))[:8]:
        rest = text[start.end() : start.end() + 300]
        end = re.search(r"[)\n]|[.;](?:\s|$)", rest)
        rest = rest[: end.start()] if end else rest
        quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(rest)]
        yield from quoted
        found = None if quoted else _BARE.match(rest)
        if found:
            bare.append(found.group().rstrip(".:"))
    yield from bare
    for shape, value in _SHAPES:
        if shape.search(text[:4000]):
            yield value


def texts(name: str, description: str, known: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return likely texts for a property, likeliest first."""
    found = [*named_in(description), *(item for item in from_known(name, known) if isinstance(item, str))]
    parts = set(words(name))
    joined = parts | {"".join(words(name))}
    joined |= {"".join(pair) for pair in zip(words(name), words(name)[1:], strict=False)}
    joined |= {word[:-1] for word in joined if word.endswith("s") and len(word) > 3}
    found += [value for keys, value in _TEXTS if keys & joined]
    return list(dict.fromkeys(found))[:MOST]


def numbers(name: str, description: str, known: Mapping[str, Sequence[Any]]) -> list[int | float]:
    """Return likely numbers for a property, likeliest first."""
    found: list[int | float] = []
    for text in named_in(description):
        match = re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,10})?", text)
        if match:
            found.append(float(text) if match.group(1) else int(text))
    found += [item for item in from_known(name, known) if isinstance(item, int | float) and not isinstance(item, bool)]
    parts = set(words(name))
    found += [value for keys, value in _NUMBERS if keys & parts]
    return list(dict.fromkeys(found))[:MOST]


def from_known(name: str, known: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return values that were seen under this name, or under one that ends alike (``file_path`` takes those of ``path``)."""
    wanted = words(name)
    if not wanted:
        return []
    ranked = []
    for key, values in known.items():
        parts = words(key)
        if parts == wanted:
            ranked.append((0, key, values))
        elif parts and (parts[-1] == wanted[-1] or parts[-1] == wanted[-1] + "s"):
            ranked.append((1, key, values))
    if not ranked and _NAMES & set(wanted):
        ranked = [(2, "id", known.get("id", ()))]
    return [value for _, _, values in sorted(ranked, key=lambda row: row[:2]) for value in list(values)[:MOST]][:MOST]
