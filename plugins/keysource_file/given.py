"""A KEK that the environment or a mounted credential gives: 32 bytes as base64 or hex."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcpweb.plugin import FileNotPrivate, VaultLocked, read_private

from .local import LocalKeys, decode_key, kek_id

if TYPE_CHECKING:
    from mcpweb.settings import Settings

_SHAPE = "Give 32 random bytes as base64 or hex, for example from `openssl rand -base64 32`."


class EnvironmentKey(LocalKeys):
    """The KEK in ``MCPWEB_KEY_ENV`` (or its ``_FILE``); ``serve`` reads it once and takes it out of the environment."""

    name = "environment"

    def __init__(self, settings: Settings) -> None:
        self._input = settings.key_input

    def keys(self) -> dict[str, bytes]:
        given = self._input.get("environment")
        if given is None:
            raise VaultLocked("MCPWEB_KEY_ENV is not set.", code="KEY_MISSING", next_step="Set it, then start again.")
        key = decode_key(given.reveal())
        if key is None:
            raise VaultLocked("MCPWEB_KEY_ENV is not a key.", code="KEY_WRONG", next_step=_SHAPE)
        return {kek_id(key): key}


class CredentialKey(LocalKeys):
    """The KEK in a file that systemd (LoadCredential) or Docker (secrets) mounts; read by others is tolerated there."""

    name = "credential"

    def __init__(self, settings: Settings) -> None:
        given = settings.plugin_values.get("PLUGIN_KEYSOURCE_FILE_CREDENTIAL", "")
        folder = settings.credentials_dir or Path("/run/secrets")
        self.path = Path(given) if given else folder / "mcpweb.key"

    def keys(self) -> dict[str, bytes]:
        try:
            # systemd and Docker make the folder; the link to the file's newest version is theirs too
            text = read_private(self.path.resolve(), shared=True)
        except FileNotFoundError:
            raise VaultLocked(
                f"The credential {self.path} is not there.", code="KEY_MISSING",
                next_step="Mount it, then run `mcpweb keys unlock`.",
            ) from None
        except FileNotPrivate as failure:
            raise VaultLocked(failure.detail, code="KEY_PERMISSIONS", next_step=failure.next_step) from None
        key = decode_key(text.decode(errors="replace"))
        if key is None:
            raise VaultLocked(f"The credential {self.path} is not a key.", code="KEY_WRONG", next_step=_SHAPE)
        return {kek_id(key): key}
