"""Where keys come from: the key ring beside the data folder, a mounted credential, the environment, a passphrase."""
from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweb.plugin import KeySource, Setting, hookimpl

from .given import CredentialKey, EnvironmentKey
from .passphrase import PassphraseKey
from .ring import KeyRing

if TYPE_CHECKING:
    from mcpweb.settings import Settings

mcpweb_api = 1


@hookimpl
def mcpweb_add_settings() -> list[Setting]:
    return [Setting("CREDENTIAL", "", "File of the key source `credential`. Default: the mounted `mcpweb.key`.")]


@hookimpl
def mcpweb_add_key_sources(settings: Settings) -> list[KeySource]:
    return [KeyRing(settings), CredentialKey(settings), EnvironmentKey(settings), PassphraseKey(settings)]
