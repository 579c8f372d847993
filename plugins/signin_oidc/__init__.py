"""Signing in through an OpenID Connect provider; needs `pip install 'mcpweb[oidc]'` and an ISSUER.

Authorization code with PKCE, state and nonce. Who somebody is, is the pair of issuer and subject of a signed ID token, never an
address; what they may, a claim of it mapped to a role, anew at each sign-in. Nothing else the provider says is believed.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweb.plugin import InvalidInput, Link, Setting, hookimpl

if TYPE_CHECKING:
    from mcpweb.settings import Settings

mcpweb_api = 1

SETTINGS = [
    Setting("ISSUER", "", "Address of the provider, as its ID tokens name it; without it nobody signs in this way."),
    Setting("CLIENT_ID", "", "Name of this application at the provider."),
    Setting("CLIENT_SECRET", "", "Its secret there; none for a public client.", secret=True),
    Setting("NAME", "OpenID Connect", "What the button on the sign-in page calls the provider."),
    Setting("SCOPES", "openid profile", "What is asked for."),
    Setting("NAME_CLAIM", "preferred_username", "Claim that holds the name of a new user."),
    Setting("ROLE_CLAIM", "groups", "Claim that decides the role; dots lead into it, as in `realm_access.roles`."),
    Setting("ADMINS", "", "Values of that claim, separated by commas, that make an admin."),
    Setting("OPERATORS", "", "Values that make an operator."),
    Setting("VIEWERS", "", "Values that make a viewer."),
    Setting("DEFAULT_ROLE", "", "Role of whom no value fits: viewer, operator, or empty for nobody."),
    Setting("ALGORITHMS", "RS256 ES256 PS256 EdDSA", "Signatures that are believed; none and shared secrets never are."),
    Setting("TRUSTED_HOSTS", "", "Names that may lie on this machine or a private network."),
]


@hookimpl
def mcpweb_add_settings() -> list[Setting]:
    return SETTINGS


@hookimpl
def mcpweb_add_blueprints(settings: Settings) -> list[Any]:
    from .config import Config
    from .pages import blueprint

    config = Config.of(settings)
    return [blueprint(config)] if config else []


@hookimpl
def mcpweb_add_sign_in_links(settings: Settings) -> list[Link]:
    from .config import Config

    try:
        config = Config.of(settings)
    except InvalidInput:  # told once, when the pages were mounted
        return []
    return [Link(config.name, "/p/signin_oidc/start")] if config else []
