"""HashiCorp Vault: the keys that wrap the keys stay in its transit engine, and never leave it."""
from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweb.plugin import KeySource, Setting, hookimpl

from .transit import Transit

if TYPE_CHECKING:
    from mcpweb.settings import Settings

mcpweb_api = 1
SETTINGS = (
    Setting("ADDRESS", "", "Address of Vault: https://…, or http:// on this machine."),
    Setting("TOKEN", "", "Token that may encrypt and decrypt with the key (better: …_TOKEN_FILE).", secret=True),
    Setting("NAMESPACE", "", "Namespace of the engine, where Vault has them."),
    Setting("MOUNT", "transit", "Where the transit engine is mounted."),
    Setting("KEY", "mcpweb", "Name of the key; it is made at the first start where the token may."),
    Setting("CA", "", "Certificates to trust instead of the system's, PEM (…_CA_FILE names a file)."),
    Setting("TIMEOUT", "5", "Seconds that an answer may take, at most 30."),
)


@hookimpl
def mcpweb_add_settings() -> list[Setting]:
    return list(SETTINGS)


@hookimpl
def mcpweb_add_key_sources(settings: Settings) -> list[KeySource]:
    values = {one.name.lower(): settings.plugin_values.get(f"PLUGIN_VAULT_TRANSIT_{one.name}", one.default) for one in SETTINGS}
    return [Transit(**values)]
