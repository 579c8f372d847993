"""The settings as one value, and which role a claim means."""
from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mcpweb.plugin import InvalidInput

if TYPE_CHECKING:
    from mcpweb.settings import Settings

PLUGIN = "signin_oidc"
Role = Literal["viewer", "operator", "admin"]
# a key that the provider publishes cannot be the secret of these; shared secrets (HS…) and none are not to be had
ASYMMETRIC = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")


@dataclass(frozen=True)
class Config:
    """What an installation says about its provider."""

    issuer: str
    client_id: str
    client_secret: str
    name: str
    scopes: str
    name_claim: str
    role_claim: str
    roles: tuple[tuple[Role, frozenset[str]], ...]
    default_role: Role | None
    algorithms: tuple[str, ...]
    trusted: frozenset[str]
    redirect_uri: str

    @classmethod
    def of(cls, settings: Settings) -> Config | None:
        """Read the settings; None when there is no issuer. Raises InvalidInput."""
        from . import SETTINGS

        def value(name: str) -> str:
            default = next(one.default for one in SETTINGS if one.name == name)
            return settings.plugin_values.get(f"PLUGIN_SIGNIN_OIDC_{name}", default).strip()

        if not value("ISSUER"):
            return None
        if not value("CLIENT_ID"):
            raise _wrong("CLIENT_ID", "is missing")
        if importlib.util.find_spec("authlib") is None:
            raise InvalidInput("Signing in at a provider needs authlib.", next_step="pip install 'mcpweb[oidc]'")
        algorithms = tuple(value("ALGORITHMS").replace(",", " ").split())
        if not algorithms or any(name not in ASYMMETRIC for name in algorithms):
            raise _wrong("ALGORITHMS", f"names {', '.join(ASYMMETRIC)} and nothing else")
        default = value("DEFAULT_ROLE")
        if default not in ("", "viewer", "operator"):
            raise _wrong("DEFAULT_ROLE", "is viewer, operator or empty")
        if "openid" not in value("SCOPES").split():
            raise _wrong("SCOPES", "needs openid")
        return cls(
            issuer=value("ISSUER"), client_id=value("CLIENT_ID"), client_secret=value("CLIENT_SECRET"), name=value("NAME"),
            scopes=value("SCOPES"), name_claim=value("NAME_CLAIM"), role_claim=value("ROLE_CLAIM"),
            roles=(
                ("admin", _words(value("ADMINS"))), ("operator", _words(value("OPERATORS"))),
                ("viewer", _words(value("VIEWERS"))),
            ),
            default_role=default or None,  # type: ignore[arg-type]
            algorithms=algorithms, trusted=frozenset(value("TRUSTED_HOSTS").replace(",", " ").split()),
            redirect_uri=f"{settings.public_url}/p/{PLUGIN}/callback",
        )

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that the claims of an ID token give."""
        found: Any = claims
        for part in self.role_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        values = {one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)}
        return next((role for role, wanted in self.roles if wanted & values), self.default_role)

    def name_of(self, claims: Mapping[str, Any]) -> str:
        """Return what a new user is called."""
        given = claims.get(self.name_claim)
        return given if isinstance(given, str) else "user"


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())


def _wrong(name: str, why: str) -> InvalidInput:
    return InvalidInput(f"MCPWEB_PLUGIN_SIGNIN_OIDC_{name} {why}.")
