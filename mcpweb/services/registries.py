"""Sign-ins for private registries: a global secret named after the registry holds ``user:password``, for that registry alone."""
from __future__ import annotations

import re

from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import secrets
from mcpweb.dao.secrets import Secret
from mcpweb.errors import FieldError, InvalidInput
from mcpweb.services import access
from mcpweb.services import secrets as secret_service
from mcpweb.services.bindings import place_of

HUB = "docker.io"
_PREFIX = "registry."


def host_of(image: str) -> str:
    """Return the registry an image comes from, with its port."""
    first, slash, _rest = image.partition("/")
    named = bool(slash) and (any(mark in first for mark in ".:") or first == "localhost")
    return HUB if not named or first.lower() in (HUB, "index.docker.io") else first.lower()


def secret_name(host: str) -> str:
    """Return the name of the secret that holds the sign-in for a registry: ``registry.example.com_5000``."""
    return (_PREFIX + re.sub(r"[^a-z0-9.-]", "_", host.lower()))[:63]


def login(core: Core, image: str) -> tuple[Secret, Sensitive] | None:
    """Return the sign-in for an image's registry, None when there is none that can be used. Raises VaultLocked, Tampered."""
    with core.db.reading() as conn:
        secret = secrets.find_active(conn, secret_name(host_of(image)), "global")
        if secret is None or secret.expired:
            return None
        return secret, core.vault.open(conn, place_of(secret), secret.encrypted_value)


def known(core: Core, actor: Actor, image: str) -> Secret | None:
    """Return the secret with the sign-in for an image's registry, without opening it."""
    access.require(core, actor, "secret.view")
    with core.db.reading() as conn:
        return secrets.find_active(conn, secret_name(host_of(image)), "global")


def remember(core: Core, actor: Actor, image: str, user: str, password: Sensitive) -> Secret:
    """Keep a sign-in for the registry of an image. Raises InvalidInput, VaultLocked."""
    if not user or ":" in user or not user.isprintable() or len(user) > 200:
        raise InvalidInput("A user of a registry has no colon in the name.", errors=[FieldError("/user", "not a user")])
    if not password:
        raise InvalidInput("The password is missing.", errors=[FieldError("/password", "missing")])
    host = host_of(image)
    secret, _new = secret_service.put(
        core, actor, name=secret_name(host), value=Sensitive(f"{user}:{password.reveal()}"),
        description=f"Sign-in for {host}, as user:password",
    )
    return secret
