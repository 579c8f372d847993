"""Catalogues that were read: drafts kept in files for a while, to choose a server from. No value of a secret is in one."""
from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mcpweb import clock, paths
from mcpweb.catalogs import Draft, read
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.demo import NAME, demo_reference
from mcpweb.errors import NotFound
from mcpweb.files import private_folder, write_private
from mcpweb.ids import new_id
from mcpweb.services import access

MOST = 20
BUNDLED = "suggestions"
LOCAL = f"{NAME}:"
"""How references to images begin that are made here and never pulled."""
_ID = re.compile(r"cat_[0-9A-Za-z]{20,40}")


@dataclass(frozen=True)
class Catalogue:
    """Drafts of one text, and where they came from."""

    id: str
    name: str
    format: str
    created_at: str
    created_by: str
    drafts: tuple[Draft, ...]

    def matching(self, q: str) -> list[tuple[int, Draft]]:
        """Return the drafts that hold all words somewhere, each with its place."""
        words = unicodedata.normalize("NFKC", q).casefold().split()
        return [
            (at, draft) for at, draft in enumerate(self.drafts)
            if all(word in f"{draft.key} {draft.title} {draft.description} {draft.image}".casefold() for word in words)
        ]


def put(core: Core, actor: Actor, name: str, kind: str, drafts: Sequence[Draft]) -> Catalogue:
    """Keep drafts; of more than a few catalogues the oldest goes."""
    access.require(core, actor, "server.edit")
    made = Catalogue(new_id("cat"), name[:100], kind, clock.now(), actor.name, tuple(drafts))
    fields = {"name": made.name, "format": kind, "created_at": made.created_at, "created_by": made.created_by}
    head = json.dumps(fields | {"count": len(drafts)})  # on a line of its own, so that lists read no more
    text = head + "\n" + json.dumps([draft.to_json() for draft in drafts])
    folder = _folder(core)
    private_folder(folder)
    write_private(folder / f"{made.id}.json", text)
    for old in sorted(folder.glob("cat_*.json"))[:-MOST]:
        old.unlink(missing_ok=True)
    return made


def get(core: Core, actor: Actor, catalogue_id: str) -> Catalogue:
    """Return a catalogue. Raises NotFound."""
    access.require(core, actor, "server.view")
    if catalogue_id == BUNDLED:
        return bundled()
    if not _ID.fullmatch(catalogue_id):
        raise NotFound("There is no such catalogue.")
    try:
        return _read(catalogue_id, (_folder(core) / f"{catalogue_id}.json").read_text())
    except (OSError, ValueError, KeyError, TypeError):
        raise NotFound("This catalogue is gone.", next_step="Paste or upload the text again.") from None


def listing(core: Core, actor: Actor) -> list[dict[str, Any]]:
    """Return what is known of the catalogues that are kept, newest first, without their drafts."""
    access.require(core, actor, "server.view")
    found = []
    for path in sorted(_folder(core).glob("cat_*.json"), reverse=True)[:MOST]:
        try:
            with path.open() as file:
                data = json.loads(file.readline())
            kept = {name: data[name] for name in ("name", "format", "created_at", "created_by", "count")}
            found.append(kept | {"id": path.stem})
        except (OSError, ValueError, KeyError):
            continue
    return found


def remove(core: Core, actor: Actor, catalogue_id: str) -> None:
    """Forget a catalogue; not an error if it is gone."""
    access.require(core, actor, "server.edit")
    if _ID.fullmatch(catalogue_id):
        (_folder(core) / f"{catalogue_id}.json").unlink(missing_ok=True)


@lru_cache(maxsize=1)
def bundled() -> Catalogue:
    """Return the few servers that come as suggestions."""
    found = read((paths.PACKAGE / "catalogs" / "suggestions.yaml").read_text())
    ours = Draft(
        "demo", "demo", image=demo_reference(), title="Demo",
        description="A small server of our own to try things on; its image is made on this machine by mcpweb demo.",
    )
    return Catalogue(BUNDLED, "suggestions", found.format, "", "", (ours, *found.drafts))


def _folder(core: Core) -> Path:
    return core.settings.data_dir / "catalogues"


def _read(catalogue_id: str, text: str) -> Catalogue:
    head, _newline, rest = text.partition("\n")
    data = json.loads(head)
    drafts = tuple(Draft.from_json(one) for one in json.loads(rest))
    return Catalogue(catalogue_id, data["name"], data["format"], data["created_at"], data["created_by"], drafts)
