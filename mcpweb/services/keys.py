"""Named keys: list, add, rotate, change the key-encryption key, unlock."""
from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mcpweb.contracts import Actor, KeySourceHealth, Sensitive
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.dao import keys, secrets
from mcpweb.dao.jobs import Job
from mcpweb.dao.keys import Key, KeyVersion, Quarantined
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, InvalidInput, NoWorker, VaultLocked
from mcpweb.events import KeyRotated
from mcpweb.failpoints import Failpoints
from mcpweb.schemas.names import check_name
from mcpweb.services import access, jobs, stepup
from mcpweb.services.health import vault_state
from mcpweb.services.jobs import Idempotency
from mcpweb.vault import DEFAULT_CIPHER, VaultState


@dataclass(frozen=True)
class VersionFacts:
    """A version, and how many secrets stand under it."""

    version: KeyVersion
    secrets: int


@dataclass(frozen=True)
class KeyFacts:
    """A key with its versions (newest first), the secrets that did not open, and its open rotation."""

    key: Key
    versions: tuple[VersionFacts, ...]
    quarantined: tuple[Quarantined, ...]
    rotation: Job | None

    @property
    def active(self) -> KeyVersion:
        """The version that encrypts."""
        return next(one.version for one in self.versions if one.version.state == "active")

    @property
    def secrets(self) -> int:
        return sum(one.secrets for one in self.versions)

    @property
    def pending(self) -> int:
        """How many secrets still stand under an older version."""
        return sum(one.secrets for one in self.versions if one.version.state != "active")


def listing(core: Core, actor: Actor) -> list[KeyFacts]:
    """Return all keys by name."""
    access.require(core, actor, "key.view")
    with core.db.reading() as conn:
        return [_facts(conn, key) for key in keys.listing(conn)]


@dataclass(frozen=True)
class KeyOverview:
    """Whether the vault can be opened (None: nobody looked yet), and whether secrets are on their way to a new version."""

    vault: VaultState | None
    rotating: bool


def overview(core: Core, actor: Actor) -> KeyOverview:
    """Return the state of vault and keys in two rows."""
    access.require(core, actor, "key.view")
    with core.db.reading() as conn:
        return KeyOverview(vault_state(core), keys.any_retiring(conn))


def get(core: Core, actor: Actor, name: str) -> KeyFacts:
    """Return a key by its name. Raises NotFound."""
    access.require(core, actor, "key.view")
    with core.db.reading() as conn:
        return _facts(conn, keys.by_name(conn, name))


def add(core: Core, actor: Actor, name: str, *, cipher: str = DEFAULT_CIPHER, source: str | None = None) -> KeyFacts:
    """Add a named key. Raises Conflict for a taken name, InvalidInput for an unknown cipher or source, VaultLocked."""
    access.require(core, actor, "key.manage")
    stepup.require(core, actor, tokens=True)
    check_name(name)
    _known("cipher", cipher, core.vault.ciphers)
    if source is not None:
        _known("key source", source, core.vault.sources)
    with access.attempt(core, actor, "key.add", name), core.db.writing() as conn:
        try:
            key = core.vault.add_key(conn, name, created_by=actor.name, cipher=cipher, source=source)
        except driver.IntegrityError:
            raise Conflict(f"There is a key {name} already.", next_step=f"Run `mcpweb keys rotate {name}`.") from None
        access.note(
            conn, actor, "key.add", key.id, {"name": name, "cipher": cipher, "source": source or core.vault.default_source}
        )
        facts = _facts(conn, key)
    core.announce(KeyRotated(actor.name, key.id, name, "added"))
    return facts


def rotate(
    core: Core, actor: Actor, name: str, *, compromised: bool = False, idempotency: Idempotency | None = None
) -> Job:
    """Make a new version the active one at once, and a job that brings every secret to it.

    With ``compromised`` the old versions are marked, so that people see which values they must replace at their source.
    Raises NotFound, VaultLocked.
    """
    access.require(core, actor, "key.manage", key=name)
    stepup.require(core, actor, tokens=True)
    failpoints = Failpoints(core.settings)
    with access.attempt(core, actor, "key.rotate", name), core.db.writing() as conn:
        if (found := jobs.known(conn, actor, idempotency)) is not None:
            return found
        key = keys.by_name(conn, name)
        if compromised:
            for one in keys.versions(conn, key.id):
                if one.state != "destroyed":
                    keys.mark_compromised(conn, key.id, one.version)
        failpoints.reach("rotate.before_version")
        new = core.vault.add_version(conn, key)
        job = jobs.draft(
            actor, "rotate", subject=f"key:{key.id}", payload={"key_id": key.id}, idempotency=idempotency
        )
        job_rows.insert(conn, job)
        access.note(
            conn, actor, "key.rotate", key.id, {"name": name, "version": new.version, "compromised": compromised, "job": job.id}
        )
        failpoints.reach("rotate.before_start")
    failpoints.reach("rotate.started")
    core.announce(KeyRotated(actor.name, key.id, name, "rotated"))
    core.line.kick()
    return job


def rotate_kek(core: Core, actor: Actor) -> dict[str, object]:
    """Add a KEK to every key source in use and put all live key material under it, in one transaction.

    The old KEK stays for backups and goes with ``keys destroy``. A crash in between leaves a KEK more than needed.
    Raises InvalidInput for a source that cannot make keys, VaultLocked.
    """
    access.require(core, actor, "key.manage")
    stepup.require(core, actor, tokens=True)
    with access.attempt(core, actor, "key.rotate_kek", ""):
        done = _rotate_kek(core, actor)
    core.announce(KeyRotated(actor.name, "", "", "rewrapped"))
    return done


def _rotate_kek(core: Core, actor: Actor) -> dict[str, object]:
    failpoints = Failpoints(core.settings)
    with core.db.reading() as conn:
        sources = sorted({one.kek_source for one in _live(conn)})
    made = {}
    for source in sources:
        made[source] = core.vault.source(source).add_kek()
        failpoints.reach("kek.added")
    with core.db.writing() as conn:
        count = 0
        for one in _live(conn):
            core.vault.rewrap(conn, one)
            count += 1
        access.note(conn, actor, "key.rotate_kek", "", {"keks": made, "versions": count})
        failpoints.reach("kek.before_commit")
    failpoints.reach("kek.after_commit")
    return {"keks": made, "versions": count}


def unlock(core: Core, actor: Actor, passphrase: Sensitive | None = None) -> VaultState:
    """Look at the key sources again, with a passphrase if one is given; makes the first key if there is none.

    Every process of a running set sees the passphrase, and keeps it in memory only.
    """
    access.require(core, actor, "key.manage")
    _refresh(core, passphrase)
    if core.role != "worker":
        with contextlib.suppress(NoWorker):  # without a worker this process is all there is
            core.line.request("unlock", {"passphrase": passphrase.reveal() if passphrase else None}, timeout_s=30)
    state = VaultState(True)
    try:
        with core.db.writing() as conn:
            key = core.vault.first_key(conn, actor.name)
            if key is not None:
                access.note(conn, actor, "key.add", key.id, {"name": key.key_name, "source": core.vault.default_source})
    except VaultLocked as failure:
        state = VaultState(True, failure.code, failure.detail, failure.next_step)
    else:
        with core.db.reading() as conn:
            state = core.vault.state(conn)
    with core.db.writing() as conn:
        access.note(conn, actor, "vault.unlock", "", {"locked": state.locked, "code": state.code})
    return state


def refresh(core: Core, passphrase: str | None) -> None:
    """The worker's part of ``unlock``."""
    _refresh(core, Sensitive(passphrase) if passphrase is not None else None)


def sources(core: Core, actor: Actor) -> dict[str, KeySourceHealth]:
    """Ask every key source how it is; may take as long as the slowest. Not for pages."""
    access.require(core, actor, "key.view")
    found = {}
    for name, source in core.vault.sources.items():
        try:
            found[name] = source.health()
        except Exception as error:  # a plugin that broke its promise not to raise
            found[name] = KeySourceHealth(False, "KEY_MISSING", f"It failed ({type(error).__name__}).")
    return found


def _refresh(core: Core, passphrase: Sensitive | None) -> None:
    if passphrase is not None:
        core.settings.key_input.put("passphrase", passphrase)
    core.vault.forget()


def _facts(conn: Connection, key: Key) -> KeyFacts:
    versions = tuple(
        VersionFacts(one, secrets.count_under(conn, key.id, one.version)) for one in keys.versions(conn, key.id)
    )
    rotation = next((job for job in job_rows.open_for(conn, [f"key:{key.id}"]) if job.kind == "rotate"), None)
    return KeyFacts(key, versions, tuple(keys.quarantined(conn, key.id)), rotation)


def _live(conn: Connection) -> list[KeyVersion]:
    return [one for key in keys.listing(conn) for one in keys.versions(conn, key.id) if one.state != "destroyed"]


def _known(what: str, name: str, offered: object) -> None:
    names = list(offered)  # type: ignore[call-overload]
    if name not in names:
        raise InvalidInput(f"There is no {what} {name}.", next_step=f"There are {', '.join(names)}.")



