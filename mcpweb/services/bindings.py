"""Bindings: which configuration uses which secret – and the opened values on their way to a container."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from mcpweb import clock
from mcpweb.contracts import Actor, SecretDelivery, Sensitive, variable_fault
from mcpweb.core import Core
from mcpweb.dao import bindings, configurations, secrets, servers
from mcpweb.dao.bindings import Binding
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.secrets import Secret
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, FieldError, InvalidInput, NotFound, SecretMissing, Tampered, VaultLocked
from mcpweb.events import SecretChanged
from mcpweb.ids import new_id
from mcpweb.redaction import MIN_LENGTH, redactable
from mcpweb.services import access
from mcpweb.vault import Place


def place_of(secret: Secret) -> Place:
    """Return the place a secret's token is bound to."""
    return Place(secret.id, secret.name, secret.scope, secret.owner_id, secret.value_version)


CAUTIONS = {
    "exposed": "Whoever may inspect containers can read it; prefer stdin or file.",
    "short": f"It is too short to be kept out of logs and results: less than {MIN_LENGTH} characters.",
}
"""Where a bound secret shows, and what cannot be kept out of texts."""


def deliveries(core: Core, conn: Connection, configuration: Configuration) -> tuple[SecretDelivery, ...]:
    """Open what a configuration's container gets, by variable.

    Optional secrets that cannot be had are left out. Raises SecretMissing naming every required one that is inactive or
    expired, VaultLocked, Tampered.
    """
    wanted = _wanted(conn, configuration)
    missing = [
        f"{secret.name} ({'no value yet' if secret.blank else 'expired' if secret.is_active else 'inactive'})"
        for binding, secret in wanted
        if binding.scope != "optional" and not _usable(secret)
    ]
    if missing:
        raise SecretMissing(
            f"The configuration {configuration.name} requires {', '.join(missing)}.",
            next_step="Set the secret anew, or unbind it.",
        )
    return tuple(
        SecretDelivery(binding.variable, core.vault.open(conn, place_of(secret), secret.encrypted_value), binding.delivery)
        for binding, secret in wanted
        if _usable(secret)
    )


def values(core: Core, conn: Connection, configuration: Configuration) -> tuple[Sensitive, ...]:
    """Open everything that is bound to a configuration, usable or not: what a container that still runs may have.

    Raises VaultLocked, Tampered.
    """
    return tuple(core.vault.open(conn, place_of(secret), secret.encrypted_value) for _, secret in _wanted(conn, configuration))


def fingerprint(conn: Connection, configuration: Configuration) -> str:
    """Return what changes when a container would get other values, or get them another way; empty without any."""
    facts = [
        [binding.variable, binding.delivery, secret.id, secret.value_version]
        for binding, secret in _wanted(conn, configuration)
        if _usable(secret)
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32] if facts else ""


def applies(binding: Binding, environment: Mapping[str, str]) -> bool:
    """Tell whether a binding counts: conditional ones only where the environment fits their condition."""
    return all(environment.get(name) == value for name, value in (binding.condition or {}).items())


def _wanted(conn: Connection, configuration: Configuration) -> list[tuple[Binding, Secret]]:
    environment = configuration.config_data.get("environment", {})
    return [
        (binding, secrets.get(conn, binding.secret_id))
        for binding in bindings.of_configuration(conn, configuration.id)
        if applies(binding, environment)
    ]


def _usable(secret: Secret) -> bool:
    return secret.is_active and not secret.expired


def bind(
    core: Core,
    actor: Actor,
    secret_id: str,
    configuration_id: str,
    *,
    variable: str,
    scope: str,
    delivery: str = "stdin",
    condition: Mapping[str, str] | None = None,
    usage_context: str = "",
) -> Binding:
    """Let a configuration use a secret under a variable. Raises InvalidInput, NotFound, Conflict for a taken variable.

    The container gets it at its next start.
    """
    access.require(core, actor, "secret.edit", secret_id=secret_id)
    _check_binding(variable, scope, delivery, condition)
    with core.db.writing() as conn:
        secret, configuration = secrets.get(conn, secret_id), configurations.get(conn, configuration_id)
        binding = bound(
            conn, actor, secret, configuration, variable=variable, scope=scope, delivery=delivery, condition=condition,
            usage_context=usage_context,
        )
    core.announce(SecretChanged(actor.name, secret.id, "bound"))
    return binding


def bound(
    conn: Connection,
    actor: Actor,
    secret: Secret,
    configuration: Configuration,
    *,
    variable: str,
    scope: str,
    delivery: str = "stdin",
    condition: Mapping[str, str] | None = None,
    usage_context: str = "",
) -> Binding:
    """Bind in the caller's transaction. Raises as ``bind``."""
    _check_binding(variable, scope, delivery, condition)
    if secret.owner_id not in ("", configuration.server_id, configuration.id):
        raise InvalidInput(
            f"{secret.name} belongs to another {secret.scope}.", errors=[FieldError("/configuration", "not its owner")]
        )
    if variable in configuration.config_data.get("environment", {}):
        raise Conflict(f"{configuration.name} sets {variable} itself.", next_step="Take it out of the environment first.")
    binding = Binding(
        id=new_id("bnd"), configuration_id=configuration.id, secret_id=secret.id, scope=scope,  # type: ignore[arg-type]
        usage_context=usage_context[:500], created_at=clock.now(), created_by=actor.name, variable=variable,
        delivery=delivery, condition=dict(condition) if condition else None,  # type: ignore[arg-type]
    )
    try:
        bindings.insert(conn, binding)
    except driver.IntegrityError:
        raise Conflict(
            f"{configuration.name} uses this secret or the variable {variable} already.", next_step="Unbind that first."
        ) from None
    access.note(conn, actor, "secret.bind", secret.id, {
        "name": secret.name, "by": f"{servers.get(conn, configuration.server_id).name}/{configuration.name}",
        "configuration": configuration.id, "variable": variable, "as": scope, "delivery": delivery,
    })
    return binding


def cautions(core: Core, actor: Actor, binding: Binding) -> tuple[str, ...]:
    """Return what somebody who bound a secret should know, as keys of ``CAUTIONS``."""
    access.require(core, actor, "secret.view")
    told = []
    if binding.delivery == "environment":
        told.append("exposed")
    try:
        with core.db.reading() as conn:
            secret = secrets.get(conn, binding.secret_id)
            value = core.vault.open(conn, place_of(secret), secret.encrypted_value)
    except (VaultLocked, Tampered):
        return tuple(told)
    if not redactable(value):
        told.append("short")
    return tuple(told)


def cautions_of(core: Core, actor: Actor, binding_id: str) -> tuple[str, ...]:
    """Return the cautions of a binding by its id, none for one that is gone."""
    with core.db.reading() as conn:
        try:
            binding = bindings.get(conn, binding_id)
        except NotFound:
            return ()
    return cautions(core, actor, binding)


def unbind(core: Core, actor: Actor, binding_id: str) -> Binding:
    """End the use of a secret by a configuration and return what the binding was. Raises NotFound."""
    access.require(core, actor, "secret.edit")
    with core.db.writing() as conn:
        binding = bindings.get(conn, binding_id)
        bindings.delete(conn, binding.id)
        access.note(conn, actor, "secret.unbind", binding.secret_id, {
            "configuration": binding.configuration_id, "variable": binding.variable,
        })
    core.announce(SecretChanged(actor.name, binding.secret_id, "unbound"))
    return binding


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    configuration_id: str | None = None,
    secret_id: str | None = None,
    variable: str | None = None,
    scope: str | None = None,
    delivery: str | None = None,
) -> Listing[Binding]:
    """Return bindings, newest first."""
    access.require(core, actor, "secret.view")
    with core.db.reading() as conn:
        return bindings.listing(
            conn, after=after, limit=limit, configuration_id=configuration_id, secret_id=secret_id, variable=variable,
            scope=scope, delivery=delivery,
        )


def of_configuration(core: Core, actor: Actor, configuration_id: str) -> list[tuple[Binding, Secret]]:
    """Return what a configuration uses, by variable."""
    access.require(core, actor, "secret.view", configuration_id=configuration_id)
    with core.db.reading() as conn:
        return [
            (binding, secrets.get(conn, binding.secret_id)) for binding in bindings.of_configuration(conn, configuration_id)
        ]


def counts(core: Core, actor: Actor, secret_ids: Sequence[str]) -> dict[str, int]:
    """Return how many configurations use each of these secrets; unused ones are left out."""
    access.require(core, actor, "secret.view")
    with core.db.reading() as conn:
        return bindings.counts(conn, secret_ids)


def _check_binding(variable: str, scope: str, delivery: str, condition: Mapping[str, str] | None) -> None:
    faults = []
    if fault := variable_fault(variable):
        faults.append(FieldError("/variable", fault))
    if scope not in ("required", "optional", "conditional"):
        faults.append(FieldError("/as", "required, optional or conditional"))
    if delivery not in ("stdin", "file", "environment"):
        faults.append(FieldError("/delivery", "stdin, file or environment"))
    if (scope == "conditional") != bool(condition):
        faults.append(FieldError("/when", "a conditional binding has a condition, no other has"))
    if faults:
        raise InvalidInput("The binding is not valid.", errors=faults)
