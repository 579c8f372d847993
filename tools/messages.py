"""Collect the texts of templates and views, carry them into the catalogues, compile those; ``--check`` only compares.

Needs Babel, which mcpweb itself does not.
"""
from __future__ import annotations

import inspect
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import sentences
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

from mcpweb import catalogs, errors, paths, pluginhost, settings
from mcpweb.services import health, shelf
from mcpweb.web.phrases import PLACE
from mcpweb.worker import fleet

LANGUAGES = ("ja",)
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2), "plural": (1, 2)}


def main() -> int:
    found = collect()
    if "--check" in sys.argv:
        faults = [fault for language in LANGUAGES for fault in check(language, found)]
        for fault in faults:
            print(fault, file=sys.stderr)
        return 1 if faults else 0
    for language in LANGUAGES:
        catalogue = load(language)
        catalogue.update(found, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        plain(catalogue)
        folder = place(language).parent
        folder.mkdir(parents=True, exist_ok=True)
        place(language).write_bytes(as_po(catalogue))
        place(language).with_suffix(".mo").write_bytes(as_mo(catalogue))
        missing = [str(message.id) for message in catalogue if message.id and not complete(message.string)]
        print(f"{language}: {len(catalogue)} texts, {len(missing)} without a translation")
        print("\n".join(f"  {text!r}" for text in missing))
    return 0


def collect() -> Catalog:
    """Return every text that a page may show, the titles of all failures, what settings mean, and the sentences of code and tables."""
    catalogue = Catalog(charset="utf-8", fuzzy=False)
    options = {"**.html": {"newstyle_gettext": "true", "trimmed": "true"}}
    for folder, methods in ((paths.TEMPLATES, [("**.html", "jinja2")]), (paths.PACKAGE / "web", [("**.py", "python")])):
        for _file, _line, message, comments, _context in extract_from_dir(
            str(folder), method_map=methods, options_map=options, keywords=KEYWORDS
        ):
            catalogue.add(message, user_comments=comments)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.Failure):
            catalogue.add(kind.title)
    for text in (fleet.ENGINE_AWAY, fleet.OTHER_SECRETS, fleet.LOCKED_OUT, fleet.OTHER_CONFIGURATION):
        catalogue.add(text)
    for text in (*catalogs.REASONS.values(), *(draft.description for draft in shelf.bundled().drafts)):
        catalogue.add(text)
    for text in (*sentences.of_code(), str(inspect.getdoc(pluginhost.CoreHooks))):
        catalogue.add(text)
    for setting in settings.SETTINGS:
        catalogue.add(setting.help)
    for table in (health.SENTENCES,):
        for _level, sentence, next_step in table.values():
            for text in (sentence, next_step):
                if text.strip("{}").count(" "):  # a place alone has nothing to translate
                    catalogue.add(text)
    return catalogue


def check(language: str, found: Catalog) -> list[str]:
    """Return what is missing, fuzzy or out of date."""
    kept = load(language)
    faults = [f"{language}: {m.id!r} is not in the catalogue" for m in found if m.id and m.id not in kept]
    faults += [f"{language}: {m.id!r} is used nowhere" for m in kept if m.id and m.id not in found]
    faults += [f"{language}: {m.id!r} has no translation" for m in kept if m.id and (m.fuzzy or not complete(m.string))]
    faults += [f"{language}: {m.id!r} has other places than its translation" for m in kept if m.id and not same_places(m)]
    compiled = read_mo(io.BytesIO(place(language).with_suffix(".mo").read_bytes()))
    if texts(compiled) != texts(kept):
        faults.append(f"{language}: the compiled catalogue is older than its source")
    return faults


def texts(catalogue: Catalog) -> dict[str, list[str]]:
    """Return the translations by the (singular) text, however Babel wraps them."""
    return {
        m.id if isinstance(m.id, str) else m.id[0]: [m.string] if isinstance(m.string, str) else list(m.string)
        for m in catalogue if m.id
    }


def complete(text: str | tuple[str, ...]) -> bool:
    return bool(text) and (isinstance(text, str) or all(text))


def same_places(message: Message) -> bool:
    """Tell whether a sentence of code and its translation are filled in the same places."""
    if not isinstance(message.id, str) or not isinstance(message.string, str) or not message.string:
        return True
    return {PLACE.sub(r"\1", one[0]) for one in PLACE.finditer(message.id)} == {
        PLACE.sub(r"\1", one[0]) for one in PLACE.finditer(message.string)
    }


def place(language: str) -> Path:
    return paths.LOCALE / language / "LC_MESSAGES" / "mcpweb.po"


def load(language: str) -> Catalog:
    """Return a kept catalogue with a header that says nothing of when and where it was written."""
    catalogue = Catalog(locale=language, charset="utf-8", fuzzy=False)
    if place(language).exists():
        catalogue = read_po(io.BytesIO(place(language).read_bytes()), locale=language)
    return plain(catalogue)


def plain(catalogue: Catalog) -> Catalog:
    catalogue.project, catalogue.version, catalogue.header_comment = "mcpweb", "1", "# Texts of the browser's pages."
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    catalogue.last_translator = catalogue.language_team = "mcpweb"
    catalogue.msgid_bugs_address = "-"
    return catalogue


def as_po(catalogue: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_po(buffer, catalogue, sort_output=True, no_location=True, omit_header=False, width=110)
    return buffer.getvalue()


def as_mo(catalogue: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
