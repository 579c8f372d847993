"""Pins: what was approved of a server, how it differs now, and what happens to a call of what differs.

The first list of a server is approved as it stands (trust on first use); from then on people approve.
"""
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.contracts.pins import Pin, PinKind, canonical
from mcpweb.core import Core
from mcpweb.dao import pins, servers
from mcpweb.dao.pins import PinChange, PinRow, PinState, Place
from mcpweb.dao.servers import Server
from mcpweb.db import Connection
from mcpweb.errors import Conflict, FieldError, InvalidInput, NotFound, PreconditionFailed
from mcpweb.events import ServerChanged
from mcpweb.redaction import Redactor
from mcpweb.schemas.definitions import field_changes
from mcpweb.services import access

Policy = Literal["block", "warn"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
KINDS: tuple[PinKind, ...] = get_args(PinKind)
FIRST_SIGHT = "system:first-sight"
WATCH = Actor(name="system:worker", role="admin", via="system")
MASKED = "(masked as a secret)"
_NAMED = 20  # of what changed, in an audit row


@dataclass(frozen=True)
class FieldDiff:
    """One place where a definition is not what was approved. An added or removed one differs as a whole, pointer ``""``."""

    kind: str
    name: str
    change: str
    pointer: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Definition:
    """One thing a server said: the hash of what was received, and the definition without secrets."""

    name: str
    hash: str
    definition: Any


@dataclass(frozen=True)
class Observed:
    """What a look at a server's lists brought: the names that were pinned now, and those that differ, by kind."""

    first: tuple[str, ...] = ()
    differs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    news: bool = False


@dataclass(frozen=True)
class Overview:
    """How a server stands to what was approved, in numbers."""

    policy: str
    approved: int
    added: int
    changed: int
    removed: int
    weighty: int  # of these, how many are worth a banner: resources come and go
    digest: str

    @property
    def differs(self) -> bool:
        return bool(self.added or self.changed or self.removed)


# Reading


def listing(core: Core, actor: Actor, server_id: str) -> list[PinRow]:
    """Return what was approved of a server, by kind and name."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        return pins.listing(conn, servers.get(conn, server_id).id)


def changes(core: Core, actor: Actor, server_id: str) -> list[PinChange]:
    """Return what the server says now and was not approved so, by kind and name."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        return pins.changes(conn, servers.get(conn, server_id).id)


def states(
    core: Core, actor: Actor, *, after: Place | None = None, limit: int = 50, server_id: str | None = None,
    kind: str | None = None,
) -> tuple[list[PinState], Place | None]:
    """Return what was approved, each beside what is served now, by server, kind and name; and where the next page begins."""
    access.require(core, actor, "server.view")
    if kind is not None and kind not in KINDS:
        raise InvalidInput(f"kind is one of {', '.join(KINDS)}.", errors=[FieldError("/kind", "unknown")])
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return pins.states(conn, after=after, limit=limit, server_id=wanted, kind=kind)


def overview(core: Core, actor: Actor, server_id: str) -> Overview:
    """Return how a server stands to what was approved, in numbers."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        server = servers.get(conn, server_id)
        found = pins.change_hashes(conn, server.id)
        counts = Counter(change for change, _ in found.values())
        return Overview(
            policy=server.pin_policy, approved=pins.count(conn, server.id), added=counts["added"],
            changed=counts["changed"], removed=counts["removed"], weighty=len(_weighty(found)), digest=_digest(found),
        )


def diff(core: Core, actor: Actor, server_id: str, name: str | None = None) -> list[FieldDiff]:
    """Return field by field how a server differs from what was approved; ``name`` asks for one thing alone."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        server = servers.get(conn, server_id)
        found = pins.changes(conn, server.id)
        approved = {(row.kind, row.name): row.definition for row in pins.listing(conn, server.id)}
    if name is not None:
        wanted = _chosen([(row.kind, row.name) for row in found], [name], server)
        found = [row for row in found if (row.kind, row.name) in wanted]
    return [one for row in found for one in _diff(row, approved.get((row.kind, row.name)))]


def _diff(row: PinChange, approved: Any) -> list[FieldDiff]:
    if row.change == "added":
        return [FieldDiff(row.kind, row.name, row.change, "", None, row.definition)]
    if row.change == "removed":
        return [FieldDiff(row.kind, row.name, row.change, "", approved, None)]
    fields = field_changes(approved, row.definition)
    if not fields:  # it differs where a secret stands
        return [FieldDiff(row.kind, row.name, row.change, "", MASKED, MASKED)]
    return [FieldDiff(row.kind, row.name, row.change, one.pointer, one.before, one.after) for one in fields]


def approved_pins(conn: Connection, server_id: str) -> list[Pin]:
    """Return what was approved as the test bench takes it."""
    return [Pin(cast(PinKind, row.kind), row.name, row.hash, row.definition) for row in pins.listing(conn, server_id)]


# Changing


def approve(
    core: Core, actor: Actor, server_id: str, names: Sequence[str] | None = None, *, expect: str | None = None
) -> int:
    """Approve what the server says now: everything that differs, or what is named (``name`` or ``kind:name``).

    Returns how many things were approved. ``expect`` is the digest of what the person has looked at. Raises NotFound for
    something that does not differ, PreconditionFailed when it is not what was looked at.
    """
    access.require(core, actor, "pin.approve", server_id=server_id)
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        found = pins.changes(conn, server.id)
        if names is not None:
            wanted = _chosen([(row.kind, row.name) for row in found], names, server)
            found = [row for row in found if (row.kind, row.name) in wanted]
        if expect is not None and expect != digest_of(found):
            raise PreconditionFailed("The server says something else by now.", next_step="Look at the differences again.")
        now = clock.now()
        pins.put(conn, [
            PinRow(server.id, row.kind, row.name, row.hash, now, actor.name, row.definition)
            for row in found if row.change != "removed"
        ])
        for row in found:
            if row.change == "removed":
                pins.delete(conn, server.id, row.kind, row.name)
            pins.delete_change(conn, server.id, row.kind, row.name)
        if found:
            access.note(conn, actor, "pin.approve", server.id, {"name": server.name, **_told(found)})
    if found:
        core.announce(ServerChanged(actor.name, server.id, "pins"))
    return len(found)


def set_policy(core: Core, actor: Actor, server_id: str, policy: str) -> Server:
    """Choose what happens to a call of a tool that is not what was approved: block or warn. Raises InvalidInput."""
    access.require(core, actor, "pin.approve", server_id=server_id)
    if policy not in POLICIES:
        raise InvalidInput("policy is block or warn.", errors=[FieldError("/policy", "block or warn")])
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        if server.pin_policy != policy:
            servers.set_pin_policy(conn, server.id, policy)
            access.note(conn, actor, "pin.policy", server.id, {"name": server.name, "from": server.pin_policy, "to": policy})
        server = servers.get(conn, server.id)
    core.announce(ServerChanged(actor.name, server.id, "pins"))
    return server


def digest_of(rows: Iterable[PinChange]) -> str:
    """Return what tells one set of differences from another."""
    return _digest({(row.kind, row.name): (row.change, row.hash) for row in rows})


def _digest(found: Mapping[tuple[str, str], tuple[str, str]]) -> str:
    return hashlib.sha256(canonical([[*key, *value] for key, value in sorted(found.items())])).hexdigest()[:32]


def _chosen(present: Sequence[tuple[str, str]], names: Sequence[str], server: Server) -> set[tuple[str, str]]:
    """Return what is meant by these names among what differs. Raises NotFound."""
    chosen: set[tuple[str, str]] = set()
    for wanted in names:
        kind, colon, rest = wanted.partition(":")
        exact = {pair for pair in present if colon and pair == (kind, rest)}
        found = exact or {pair for pair in present if pair[1] == wanted}
        if not found:
            raise NotFound(
                f"{server.name} does not differ in {wanted}.", next_step=f"`mcpweb pins diff {server.name}` shows what differs."
            )
        chosen |= found
    return chosen


def _told(rows: Sequence[PinChange]) -> dict[str, object]:
    """Return names and hashes of what changed for an audit row, not too many of them."""
    told: dict[str, object] = {"count": len(rows)}
    told["items"] = [[row.kind, row.name[:100], row.change, row.hash[:16]] for row in rows[:_NAMED]]
    return told


# What the worker does


def fingerprint(definition: Any, known: Redactor) -> str:
    """Return the SHA-256 of a definition as received, without the secrets the server was given.

    A hash of the plain text would let everybody who has it try out short secrets. Raises RecursionError for what is nested
    too deeply.
    """
    text = canonical(definition)
    return hashlib.sha256(known.data(text)).hexdigest()


def named(kind: str, items: Sequence[Any], known: Redactor, redactor: Redactor) -> list[Definition]:
    """Return the items of a list by their names; several of one name are one thing, a list."""
    by_name: dict[str, list[tuple[Any, Any]]] = {}
    field_of = {"resource": "uri", "template": "uriTemplate"}.get(kind, "name")
    for item, shown in zip(items, redactor.json([*items]), strict=True):  # a secret may go on in the next item
        name = shown.get(field_of) if isinstance(shown, dict) else kind if kind == "instructions" else None
        by_name.setdefault(_clean(name), []).append((item, shown))
    definitions = []
    for name, same in by_name.items():
        item, shown = same[0] if len(same) == 1 else ([one for one, _ in same], [other for _, other in same])
        definitions.append(Definition(name, fingerprint(item, known), shown))
    return definitions


def _clean(name: object) -> str:
    """Return a name as a key column takes it: half characters become visible escapes."""
    return str(name if isinstance(name, str) else "").encode("utf-8", "backslashreplace").decode()[:2000]


def observe(core: Core, server_id: str, seen: Mapping[str, Sequence[Definition]], *, audited: bool = True) -> Observed:
    """Compare what a server says with what was approved, and store what differs.

    ``seen`` holds whole lists by kind; a kind that was not looked at is left out. A kind seen for the first time is approved
    as it stands. Writes only when something is not as it was the last time; ``audited`` also notes it in the audit log.
    """
    with core.db.reading() as conn:
        state = _standing(conn, server_id, seen)
    if not state.news:
        return Observed(differs=state.differs)
    with core.db.writing() as conn:
        server = servers.find(conn, server_id)
        if server is None:
            return Observed()
        state = _standing(conn, server.id, seen)
        now = clock.now()
        pins.put(conn, [PinRow(server.id, kind, one.name, one.hash, now, FIRST_SIGHT, one.definition)
                        for kind in state.fresh for one in seen[kind]])
        if state.fresh:
            servers.set_pinned(conn, server.id, server.pinned | dict.fromkeys(state.fresh, now))
            access.note(conn, WATCH, "pin.first_sight", server.id, {
                "name": server.name, "counts": {kind: len(seen[kind]) for kind in state.fresh},
            })
        if state.changes != state.before:
            by_name = {(kind, one.name): one.definition for kind in seen for one in seen[kind]}
            rows = [PinChange(server.id, *key, change, hashed, now, by_name.get(key))
                    for key, (change, hashed) in sorted(state.changes.items())]
            pins.set_changes(conn, server.id, [*seen], rows)
            if audited and state.weighty:
                access.note(conn, WATCH, "pin.differs", server.id, {"name": server.name, **_told(rows)})
    if state.changes != state.before:
        core.announce(ServerChanged(WATCH.name, server_id, "pins"))
    return Observed(first=state.fresh, differs=state.differs, news=state.weighty)


@dataclass(frozen=True)
class _Standing:
    fresh: tuple[str, ...]
    changes: Mapping[tuple[str, str], tuple[str, str]]
    before: Mapping[tuple[str, str], tuple[str, str]]

    @property
    def news(self) -> bool:
        return bool(self.fresh) or self.changes != self.before

    @property
    def differs(self) -> Mapping[tuple[str, str], str]:
        return {key: change for key, (change, _) in self.changes.items()}

    @property
    def weighty(self) -> bool:
        """Whether the news are worth telling: resources come and go."""
        return _weighty(self.changes) != _weighty(self.before)


def _weighty(found: Mapping[tuple[str, str], tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    return {key: value for key, value in found.items() if key[0] != "resource" or value[0] == "changed"}


def _standing(conn: Connection, server_id: str, seen: Mapping[str, Sequence[Definition]]) -> _Standing:
    server = servers.find(conn, server_id)
    pinned = {} if server is None else server.pinned
    fresh = tuple(kind for kind in seen if kind not in pinned)
    approved = {key: hashed for key, hashed in pins.hashes(conn, server_id).items() if key[0] in seen and key[0] not in fresh}
    now = {(kind, one.name): one.hash for kind in seen if kind not in fresh for one in seen[kind]}
    found = {key: ("added" if key not in approved else "changed", hashed)
             for key, hashed in now.items() if approved.get(key) != hashed}
    found |= {key: ("removed", hashed) for key, hashed in approved.items() if key not in now}
    before = {key: value for key, value in pins.change_hashes(conn, server_id).items() if key[0] in seen}
    return _Standing(fresh, found, before)


def gate(conn: Connection, server_id: str, tool: str) -> str:
    """Return what a call of a tool is to be warned of, empty when it is what was approved. Raises Conflict under ``block``.

    A tool that came later than the approval warns only: nobody approved anything else under its name.
    """
    change = pins.change_of(conn, server_id, "tool", tool)
    if change is None or change == "removed":
        return ""
    server = servers.get(conn, server_id)
    look = f"Look at `mcpweb pins diff {server.name}`, then `mcpweb pins approve {server.name}` or remove the server."
    if change == "added":
        return f"The tool {tool} was added since {server.name} was approved. {look}"
    if server.pin_policy == "block":
        raise Conflict(
            f"The tool {tool} is not what was approved: its definition has changed. It was not called.", next_step=look,
            code="pin_changed",
        )
    return f"The tool {tool} is not what was approved: its definition has changed. {look}"
