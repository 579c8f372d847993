"""Bindings: which configuration uses which secret – and the opened values on their way to a container."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from mcpweb.contracts import SecretDelivery
from mcpweb.core import Core
from mcpweb.dao import bindings, secrets
from mcpweb.dao.bindings import Binding
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.secrets import Secret
from mcpweb.db import Connection
from mcpweb.errors import SecretMissing
from mcpweb.vault import Place


def place_of(secret: Secret) -> Place:
    """Return the place a secret's token is bound to."""
    return Place(secret.id, secret.name, secret.scope, secret.owner_id, secret.value_version)


def deliveries(core: Core, conn: Connection, configuration: Configuration) -> tuple[SecretDelivery, ...]:
    """Open what a configuration's container gets, by variable.

    Optional secrets that cannot be had are left out. Raises SecretMissing naming every required one that is inactive or
    expired, VaultLocked, Tampered.
    """
    wanted = _wanted(conn, configuration)
    missing = [
        f"{secret.name} ({'expired' if secret.is_active else 'inactive'})"
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
