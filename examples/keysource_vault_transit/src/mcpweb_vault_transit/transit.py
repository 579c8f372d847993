"""The key source: each version of the transit key is a KEK, and wrapping is one request."""
from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from typing import Any

from mcpweb.plugin import Conflict, InvalidInput, KeySource, KeySourceHealth, Tampered, VaultLocked, Wrapped

from .wire import Answer, Wire

_KNOWN_S = 30.0
_DIGEST = 32


class Transit(KeySource):
    """A KEK's id is ``vault/<mount>/<key>/<version>/<when it was made>``: another Vault's key of the same name has another one.

    What a data key belongs to is hashed into the plaintext, so it is bound even where Vault knows no associated data.
    """

    name = "vault_transit"

    def __init__(
        self, address: str, token: str, namespace: str = "", mount: str = "transit", key: str = "mcpweb", ca: str = "",
        timeout: str = "5",
    ) -> None:
        self._mount, self._key = mount.strip("/"), key
        self._wire = Wire(address, token, namespace, ca, timeout)
        self._guard = threading.Lock()
        self._known: dict[int, str] = {}
        self._until = 0.0

    def __repr__(self) -> str:
        return f"<Transit {self._mount}/{self._key}>"

    def prepare(self) -> None:
        if not self._versions(missing_is_fine=True):
            self._ask("POST", f"keys/{self._key}", {"type": "aes256-gcm96"})
            self.refresh()
            self._versions()

    def kek_ids(self) -> tuple[str, ...]:
        return tuple(self._versions().values())

    def wrap(self, key: bytes, associated: bytes) -> Wrapped:
        version, kek_id = next(iter(self._versions().items()))
        plaintext = base64.b64encode(hashlib.sha256(associated).digest() + key).decode()
        told = self._ask("POST", f"encrypt/{self._key}", {"plaintext": plaintext, "key_version": version})
        _, made, body = str(told["ciphertext"]).split(":", 2)
        if made != f"v{version}":
            raise VaultLocked(f"Vault encrypted with {made} instead of v{version}.", code="KEY_WRONG", next_step="Try again.")
        return Wrapped(kek_id, base64.b64decode(body))

    def unwrap(self, kek_id: str, blob: bytes, associated: bytes) -> bytes:
        version = next((number for number, one in self._versions().items() if one == kek_id), None)
        if version is None:
            self.refresh()  # somebody may have rotated the key in Vault
            version = next((number for number, one in self._versions().items() if one == kek_id), None)
        if version is None:
            step = "Connect to the Vault that wrapped it."
            raise VaultLocked(f"{kek_id} is not a key of this Vault.", code="KEY_WRONG", next_step=step)
        text = f"vault:v{version}:{base64.b64encode(blob).decode()}"
        told = self._ask("POST", f"decrypt/{self._key}", {"ciphertext": text}, wrong=Tampered)
        plain = base64.b64decode(str(told["plaintext"]))
        if not hmac.compare_digest(plain[:_DIGEST], hashlib.sha256(associated).digest()):
            raise Tampered()
        return plain[_DIGEST:]

    def health(self) -> KeySourceHealth:
        try:
            self.refresh()
            self._versions()
        except VaultLocked as failure:
            return KeySourceHealth(False, failure.code, failure.detail, failure.next_step)
        return KeySourceHealth(True)

    def add_kek(self) -> str:
        self._ask("POST", f"keys/{self._key}/rotate", {}, denied=InvalidInput)
        self.refresh()
        return self.kek_ids()[0]

    def remove_kek(self, kek_id: str) -> None:
        """Vault forgets versions from the oldest on, for good."""
        ids = self.kek_ids()
        if kek_id == ids[0]:
            raise Conflict(f"{kek_id} is the key that wraps.", next_step="Rotate first.")
        if kek_id != ids[-1]:
            raise Conflict(f"{kek_id} is not the oldest version; Vault removes the oldest first.")
        least = {one: number for number, one in self._versions().items()}[kek_id] + 1
        bounds = {"min_decryption_version": least, "min_encryption_version": least}
        self._ask("POST", f"keys/{self._key}/config", bounds, denied=InvalidInput)
        self._ask("POST", f"keys/{self._key}/trim", {"min_available_version": least}, denied=InvalidInput)
        self.refresh()

    def refresh(self) -> None:
        with self._guard:
            self._until = 0.0

    def _versions(self, *, missing_is_fine: bool = False) -> dict[int, str]:
        """Return the ids of the versions that decrypt, newest first."""
        with self._guard:
            if time.monotonic() < self._until:
                return self._known
        answer = self._wire.ask("GET", f"{self._mount}/keys/{self._key}")
        if answer.status == 404 and missing_is_fine:
            return {}
        told = self._told(answer, None, None)
        least = max(int(told["min_decryption_version"]), 1)
        found = {
            int(number): f"vault/{self._mount}/{self._key}/{number}/{made}"
            for number, made in sorted(told["keys"].items(), key=lambda pair: -int(pair[0])) if int(number) >= least
        }
        with self._guard:
            self._known, self._until = found, time.monotonic() + _KNOWN_S
        return found

    def _ask(
        self, method: str, path: str, body: dict[str, Any], *, wrong: type[Tampered] | None = None,
        denied: type[InvalidInput] | None = None,
    ) -> dict[str, Any]:
        return self._told(self._wire.ask(method, f"{self._mount}/{path}", body), wrong, denied)

    def _told(self, answer: Answer, wrong: type[Tampered] | None, denied: type[InvalidInput] | None) -> dict[str, Any]:
        """Return what an answer holds, or raise what it means for us."""
        if answer.status in (200, 204):
            return answer.data
        if answer.status == 400 and "too old" in answer.fault:
            step = "Lower min_decryption_version."
            raise VaultLocked("Vault uses this version of the key no more.", code="KEY_WRONG", next_step=step)
        if answer.status == 400 and wrong is not None:
            raise wrong()
        if answer.status == 403 and denied is not None:
            raise denied("The token may not do this.", next_step=f"Change {self._mount}/keys/{self._key} in Vault itself.")
        step = {
            403: "Give the token a policy for encrypt, decrypt and keys of this key, or a new token.",
            404: f"Mount the transit engine at {self._mount} and make the key {self._key}, or set MOUNT, KEY and NAMESPACE.",
            503: "Unseal Vault.", 307: "Set ADDRESS to the active node; a token is not sent on to another place.",
        }.get(answer.status, "Look at the log of Vault.")
        said = f": {answer.fault}" if answer.fault else ""
        detail = f"Vault answered {answer.status} for {self._mount}/{self._key}{said}."
        raise VaultLocked(detail, code="KEY_MISSING", next_step=step)
