"""Secrets: put in, replaced, expired, deactivated, purged; shown to nobody without a fresh sign-in and an audit row."""
from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as with_
from secrets import token_urlsafe

from mcpweb import clock
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import bindings, configurations, keys, secrets, servers
from mcpweb.dao.bindings import Binding
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.secrets import Scope, Secret
from mcpweb.dao.servers import Server
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, FieldError, InvalidInput, NotFound
from mcpweb.events import SecretChanged
from mcpweb.ids import new_id
from mcpweb.schemas.names import check_name
from mcpweb.services import access, stepup
from mcpweb.services.bindings import applies, place_of
from mcpweb.vault import FIRST_KEY, token_digest

SOON_S = 14 * 86400.0
_MOST = 1000  # secrets and configurations of one server
_STALE = "Its secrets changed"  # how the worker's sentence begins when a container has other values than the rows


@dataclass(frozen=True)
class Use:
    """A binding of a secret; ``reads`` says that a container has it now, ``stale`` that it has an earlier value."""

    binding: Binding
    configuration: Configuration
    server: Server
    reads: bool
    stale: bool


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    scope: str | None = None,
    owner_id: str | None = None,
    name: str | None = None,
    is_active: bool | None = None,
    expires_within_s: float | None = None,
    unused: bool = False,
) -> Listing[Secret]:
    """Return secrets, newest first; no value is opened. Those that expire within a time include the expired ones."""
    access.require(core, actor, "secret.view")
    until = None if expires_within_s is None else clock.later(expires_within_s)
    with core.db.reading() as conn:
        return secrets.listing(
            conn, after=after, limit=limit, scope=scope, owner_id=owner_id, name=name, is_active=is_active,
            expires_until=until, unused=unused,
        )


def expiring(core: Core, actor: Actor) -> tuple[int, int]:
    """Count the active secrets that are expired, and those that will be within two weeks."""
    access.require(core, actor, "secret.view")
    with core.db.reading() as conn:
        expired = secrets.count_expiring(conn, clock.now())
        return expired, secrets.count_expiring(conn, clock.later(SOON_S)) - expired


def fingerprint(secret: Secret) -> str:
    """Return eight characters that change whenever the stored value is written or encrypted anew.

    They come from the ciphertext, so they tell nothing of the value, and not whether two secrets are the same.
    """
    return token_digest(secret.encrypted_value)[:8]


def get(core: Core, actor: Actor, secret_id: str) -> Secret:
    """Return a secret without opening it. Raises NotFound."""
    access.require(core, actor, "secret.view", secret_id=secret_id)
    with core.db.reading() as conn:
        return secrets.get(conn, secret_id)


def find(
    core: Core,
    actor: Actor,
    id_or_name: str,
    *,
    scope: str | None = None,
    owner_id: str | None = None,
    inactive_too: bool = False,
    for_configuration: Configuration | None = None,
) -> Secret:
    """Return a secret by its id, or by its name among the active ones.

    Of several with one name the nearest to ``for_configuration`` counts: its own, its server's, the global one. Raises
    NotFound, Conflict for a name that is not enough.
    """
    access.require(core, actor, "secret.view", secret_id=id_or_name)
    with core.db.reading() as conn:
        if id_or_name.startswith("sec_"):
            return secrets.get(conn, id_or_name)
        rows = secrets.listing(
            conn, name=id_or_name, scope=scope, owner_id=owner_id, is_active=None if inactive_too else True
        ).rows
    if for_configuration is not None:
        near = (for_configuration.id, for_configuration.server_id, "")
        rows = tuple(sorted((row for row in rows if row.owner_id in near), key=lambda row: near.index(row.owner_id)))[:1]
    rows = tuple(row for row in rows if row.is_active) or rows
    if not rows:
        raise NotFound(f"There is no secret {id_or_name}.", next_step="See `mcpweb secrets list`.")
    if len(rows) > 1:
        raise Conflict(f"There are {len(rows)} secrets named {id_or_name}.", next_step="Give its scope and owner, or its id.")
    return rows[0]


def put(
    core: Core,
    actor: Actor,
    *,
    name: str,
    value: Sensitive,
    scope: Scope = "global",
    owner_id: str = "",
    description: str | None = None,
    expires_at: str | None = None,
    key_name: str = FIRST_KEY,
) -> tuple[Secret, bool]:
    """Store a value under a name: a new secret, or a new value of the active one. Returns it and whether it is new."""
    access.require(core, actor, "secret.edit")
    with core.db.reading() as conn:
        known = secrets.find_active(conn, name, scope, owner_id)
    if known is None:
        return add(
            core, actor, name=name, value=value, scope=scope, owner_id=owner_id, description=description or "",
            expires_at=expires_at, key_name=key_name,
        ), True
    if description is not None or expires_at is not None:
        describe(
            core, actor, known.id, description=known.description if description is None else description,
            expires_at=expires_at or known.expires_at,
        )
    return replace(core, actor, known.id, value), False


def add(
    core: Core,
    actor: Actor,
    *,
    name: str,
    value: Sensitive,
    scope: Scope = "global",
    owner_id: str = "",
    description: str = "",
    expires_at: str | None = None,
    key_name: str = FIRST_KEY,
) -> Secret:
    """Encrypt and store a new secret. Raises InvalidInput, Conflict for a taken name, NotFound, VaultLocked."""
    access.require(core, actor, "secret.edit")
    with core.db.writing() as conn:
        waiting = secrets.find_blank(conn, name, scope, owner_id)
        if waiting is not None:
            secret = _replaced(core, conn, actor, waiting, value)
            if description or expires_at:
                secrets.set_facts(conn, secret.id, description=description or secret.description, expires_at=expires_at)
                secret = secrets.get(conn, secret.id)
        else:
            secret = added(
                core, conn, actor, name=name, value=value, scope=scope, owner_id=owner_id, description=description,
                expires_at=expires_at, key_name=key_name,
            )
    core.announce(SecretChanged(actor.name, secret.id, "added"))
    return secret


def added(
    core: Core,
    conn: Connection,
    actor: Actor,
    *,
    name: str,
    value: Sensitive | None,
    scope: Scope = "global",
    owner_id: str = "",
    description: str = "",
    expires_at: str | None = None,
    key_name: str = FIRST_KEY,
) -> Secret:
    """Store a new secret in the caller's transaction; without a value it is *blank*: inactive until somebody gives one.

    Raises as ``add``.
    """
    check_name(name)
    now = clock.now()
    _check_owner(conn, scope, owner_id)
    key = keys.by_name(conn, key_name)
    draft = Secret(
        id=new_id("sec"), name=name, description=description, encrypted_value="", encryption_key_id=key.id, scope=scope,
        created_at=now, updated_at=now, created_by=actor.name, expires_at=expires_at, is_active=value is not None,
        owner_id=owner_id, key_version=key.key_version, value_version=0 if value is None else 1,
    )
    sealed = core.vault.seal(conn, place_of(draft), value or Sensitive(token_urlsafe(24)), key_name=key_name)
    secret = with_(draft, encrypted_value=sealed.token, encryption_key_id=sealed.key_id, key_version=sealed.key_version)
    try:
        secrets.insert(conn, secret)
    except driver.IntegrityError:
        raise Conflict(
            f"There is an active secret {name} in this scope already.", next_step="Replace its value, or choose another name."
        ) from None
    _note(conn, actor, "secret.add", secret, scope=scope, owner=owner_id)
    return secret


def replace(core: Core, actor: Actor, secret_id: str, value: Sensitive) -> Secret:
    """Encrypt a new value under the active version of the secret's key. Raises NotFound, InvalidInput, VaultLocked."""
    access.require(core, actor, "secret.edit", secret_id=secret_id)
    with core.db.writing() as conn:
        secret = _replaced(core, conn, actor, secrets.get(conn, secret_id), value)
    core.announce(SecretChanged(actor.name, secret.id, "replaced"))
    return secret


def _replaced(core: Core, conn: Connection, actor: Actor, old: Secret, value: Sensitive) -> Secret:
    """Write a new value; the first one of a blank secret makes it active. Raises Conflict when its name is taken meanwhile."""
    new = with_(old, value_version=old.value_version + 1)
    sealed = core.vault.seal(conn, place_of(new), value, key_name=keys.get(conn, old.encryption_key_id).key_name)
    secrets.replace_value(
        conn, old.id, encrypted_value=sealed.token, encryption_key_id=sealed.key_id, key_version=sealed.key_version,
        value_version=new.value_version,
    )
    if old.blank:
        _activated(conn, old.id, True)
    secret = secrets.get(conn, old.id)
    _note(conn, actor, "secret.replace", secret)
    return secret


def _activated(conn: Connection, secret_id: str, active: bool) -> None:
    try:
        secrets.set_active(conn, secret_id, active)
    except driver.IntegrityError:
        raise Conflict("Another active secret has this name and scope.", next_step="Deactivate that one first.") from None


def describe(core: Core, actor: Actor, secret_id: str, *, description: str, expires_at: str | None) -> Secret:
    """Change what people read about a secret, and its last day. Raises NotFound."""
    access.require(core, actor, "secret.edit", secret_id=secret_id)
    with core.db.writing() as conn:
        secrets.set_facts(conn, secrets.get(conn, secret_id).id, description=description, expires_at=expires_at)
        secret = secrets.get(conn, secret_id)
        _note(conn, actor, "secret.update", secret, expires_at=expires_at or "")
    core.announce(SecretChanged(actor.name, secret.id, "updated"))
    return secret


def set_active(core: Core, actor: Actor, secret_id: str, active: bool) -> Secret:
    """Let servers start with it, or not. Raises NotFound, Conflict when another secret has its name meanwhile."""
    access.require(core, actor, "secret.edit", secret_id=secret_id)
    with core.db.writing() as conn:
        known = secrets.get(conn, secret_id)
        if active and known.blank:
            raise Conflict(f"{known.name} has no value yet.", next_step="Give it one; that makes it active.")
        _activated(conn, known.id, active)
        secret = secrets.get(conn, secret_id)
        _note(conn, actor, "secret.activate" if active else "secret.deactivate", secret)
    core.announce(SecretChanged(actor.name, secret.id, "activated" if active else "deactivated"))
    return secret


def owned(conn: Connection, server_id: str) -> list[Secret]:
    """Return the active secrets that belong to a server or to one of its configurations alone."""
    owners = [server_id, *(row.id for row in configurations.listing(conn, server_id=server_id, limit=_MOST).rows)]
    return [row for owner in owners for row in secrets.listing(conn, owner_id=owner, is_active=True, limit=_MOST).rows]


def owned_by(core: Core, actor: Actor, server_id: str) -> list[Secret]:
    """Return the active secrets that go out of use when a server is removed."""
    access.require(core, actor, "secret.view", server_id=server_id)
    with core.db.reading() as conn:
        return owned(conn, server_id)


def deactivate_owned(conn: Connection, actor: Actor, server_id: str) -> list[str]:
    """Deactivate what belongs to a server that is being removed, in the caller's transaction, and return the names."""
    found = owned(conn, server_id)
    for row in found:
        secrets.set_active(conn, row.id, False)
        _note(conn, actor, "secret.deactivate", row, because="server.remove")
    return sorted(row.name for row in found)


def purge(core: Core, actor: Actor, secret_id: str) -> None:
    """Delete a secret and its bindings. Raises Conflict while a configuration requires it."""
    access.require(core, actor, "secret.edit", secret_id=secret_id)
    with access.attempt(core, actor, "secret.purge", secret_id), core.db.writing() as conn:
        secret = secrets.get(conn, secret_id)
        needed = [
            configurations.get(conn, binding.configuration_id).name
            for binding in bindings.of_secret(conn, secret.id) if binding.scope == "required"
        ]
        if needed:
            raise Conflict(f"{', '.join(needed)} requires {secret.name}.", next_step="Unbind it there first.")
        secrets.delete(conn, secret.id)
        _note(conn, actor, "secret.purge", secret)
    core.announce(SecretChanged(actor.name, secret.id, "purged"))


def reveal(core: Core, actor: Actor, secret_id: str) -> Sensitive:
    """Return the value. The audit row is committed first. Raises StepUpNeeded, Tampered, VaultLocked, NotFound."""
    access.require(core, actor, "secret.reveal", secret_id=secret_id)
    stepup.require(core, actor)
    with access.attempt(core, actor, "secret.reveal", secret_id):
        with core.db.writing() as conn:
            _note(conn, actor, "secret.reveal", secrets.get(conn, secret_id))
        with core.db.reading() as conn:
            secret = secrets.get(conn, secret_id)
            return core.vault.open(conn, place_of(secret), secret.encrypted_value)


def key_names(core: Core, actor: Actor) -> dict[str, str]:
    """Return the names of the keys secrets can stand under, by id."""
    access.require(core, actor, "key.view")
    with core.db.reading() as conn:
        return {key.id: key.key_name for key in keys.listing(conn) if key.is_active}


def where_used(core: Core, actor: Actor, secret_id: str) -> tuple[Use, ...]:
    """Return who is bound to a secret, who can read it now, and who has an earlier value."""
    access.require(core, actor, "secret.view", secret_id=secret_id)
    with core.db.reading() as conn:
        secret = secrets.get(conn, secret_id)
        return tuple(_use(conn, secret, binding) for binding in bindings.of_secret(conn, secret.id))


def _use(conn: Connection, secret: Secret, binding: Binding) -> Use:
    configuration = configurations.get(conn, binding.configuration_id)
    server = servers.get(conn, configuration.server_id)
    runs = configuration.is_active and server.status == "running"
    reads = runs and applies(binding, configuration.config_data.get("environment", {}))
    return Use(binding, configuration, server, reads, reads and server.status_detail.startswith(_STALE))


def _check_owner(conn: Connection, scope: str, owner_id: str) -> None:
    """Raise InvalidInput unless scope and owner fit, NotFound for an owner that does not exist."""
    if scope not in ("global", "server", "configuration"):
        raise InvalidInput("scope is global, server or configuration.", errors=[FieldError("/scope", "not a scope")])
    if (scope == "global") != (owner_id == ""):
        raise InvalidInput("A secret of a server or configuration names its owner, a global one none.",
                           errors=[FieldError("/owner", "does not fit the scope")])
    if scope == "server":
        servers.get(conn, owner_id)
    elif scope == "configuration":
        configurations.get(conn, owner_id)


def _note(conn: Connection, actor: Actor, action: str, secret: Secret, **more: object) -> None:
    """Append the audit row, with the version of the value and the digest of its token: ``keys verify`` compares both."""
    detail = {"name": secret.name, "value_version": secret.value_version, "digest": token_digest(secret.encrypted_value)}
    access.note(conn, actor, action, secret.id, {**detail, **more})
