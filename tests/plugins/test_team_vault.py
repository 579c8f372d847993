"""A team brings its own cipher and its own key source: they keep the contracts and work from the first start on."""
from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from mcpweb.app import create_app
from mcpweb.contracts import Actor, Cipher, KeySource, Sensitive
from mcpweb.core import Core, load_plugins, make_vault, open_core
from mcpweb.dao import keys
from mcpweb.errors import Tampered, VaultLocked
from mcpweb.services import audit, bindings, configurations, jobs, keycheck, keydestroy, secrets, servers
from mcpweb.services import keys as service
from mcpweb.settings import Settings, load
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import Visitor
from mcpweb.testing.vaultcontracts import CipherContract, KeySourceContract
from mcpweb.vault import Place
from mcpweb.worker import Worker

CHACHA = '''"""ChaCha20-Poly1305, for machines without AES instructions."""
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mcpweb.plugin import Cipher, Tampered, hookimpl

mcpweb_api = 1


class ChaCha(Cipher):
    name, key_bytes, uses_warn, uses_limit = "C20P", 32, 2**30, 2**31

    def encrypt(self, key, plaintext, associated):
        nonce = os.urandom(12)
        return nonce, ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)

    def decrypt(self, key, nonce, body, associated):
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, body, associated)
        except (InvalidTag, ValueError):
            raise Tampered() from None


@hookimpl
def mcpweb_add_ciphers(settings):
    return [ChaCha()]
'''
SAFE = '''"""A key management service, here a folder that stands for it."""
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mcpweb.plugin import KeySource, KeySourceHealth, Setting, Tampered, VaultLocked, Wrapped, hookimpl

mcpweb_api = 1


class Safe(KeySource):
    name = "safe"

    def __init__(self, folder):
        self.file = os.path.join(folder, "key") if folder else ""

    def _key(self):
        try:
            with open(self.file, "rb") as file:
                return file.read()
        except OSError:
            raise VaultLocked("The safe does not answer.", code="KEY_MISSING", next_step="Call the safe's owner.") from None

    def prepare(self):
        if self.file and not os.path.exists(self.file):
            with open(self.file, "wb") as file:
                file.write(os.urandom(32))
        self._key()

    def kek_ids(self):
        self._key()
        return ("safe/1",)

    def wrap(self, key, associated):
        nonce = os.urandom(12)
        return Wrapped("safe/1", nonce + AESGCM(self._key()).encrypt(nonce, key, associated))

    def unwrap(self, kek_id, blob, associated):
        key = self._key()
        if kek_id != "safe/1":
            raise VaultLocked(f"The safe does not know {kek_id}.", code="KEY_WRONG")
        try:
            return AESGCM(key).decrypt(blob[:12], blob[12:], associated)
        except (InvalidTag, ValueError):
            raise Tampered() from None

    def health(self):
        try:
            self._key()
        except VaultLocked as failure:
            return KeySourceHealth(False, failure.code, failure.detail, failure.next_step)
        return KeySourceHealth(True)


@hookimpl
def mcpweb_add_settings():
    return [Setting("FOLDER", "", "Where the safe stands.")]


@hookimpl
def mcpweb_add_key_sources(settings):
    return [Safe(settings.plugin_values.get("PLUGIN_SAFE_FOLDER", ""))]
'''
PLACE = Place("sec_1", "API_KEY", "global", "", 1)


@pytest.fixture
def wanted(tmp_path: Path) -> Settings:
    for name, text in (("chacha", CHACHA), ("safe", SAFE)):
        (tmp_path / "plugins" / name).mkdir(parents=True, mode=0o755)
        (tmp_path / "plugins" / name / "__init__.py").write_text(text)
    (tmp_path / "plugins").chmod(0o700)
    (tmp_path / "the-safe").mkdir()
    return load({
        "MCPWEB_DATA_DIR": str(tmp_path / "data"), "MCPWEB_PLUGINS_DIR": str(tmp_path / "plugins"),
        "MCPWEB_KEY_SOURCE": "safe", "MCPWEB_PLUGIN_SAFE_FOLDER": str(tmp_path / "the-safe"),
    })


class TestTheTeamsCipher(CipherContract):
    @pytest.fixture
    def cipher(self, wanted: Settings) -> Cipher:
        return make_vault(wanted, load_plugins(wanted)).cipher("C20P")


class TestTheTeamsKeySource(KeySourceContract):
    @pytest.fixture
    def source(self, wanted: Settings) -> KeySource:
        return make_vault(wanted, load_plugins(wanted)).source("safe")

    @pytest.fixture
    def absent_source(self, wanted: Settings, tmp_path: Path) -> KeySource:
        elsewhere = replace(wanted, plugin_values={"PLUGIN_SAFE_FOLDER": str(tmp_path / "nowhere")})
        return make_vault(elsewhere, load_plugins(elsewhere)).source("safe")


def test_the_first_key_stands_under_the_teams_source_and_no_ring_is_made(wanted: Settings) -> None:
    core = open_core(wanted)
    with core.db.writing() as conn:
        version = keys.active_version(conn, keys.by_name(conn, "main").id)
        assert (version.kek_source, version.kek_id, version.alg) == ("safe", "safe/1", "A256GCM")
        sealed = core.vault.seal(conn, PLACE, Sensitive("word"))
        assert core.vault.open(conn, PLACE, sealed.token).reveal() == "word"
    assert not wanted.key_file.exists()
    core.close()


def test_a_key_with_the_teams_cipher_seals_opens_and_gets_new_versions(wanted: Settings) -> None:
    core = open_core(wanted)
    with core.db.writing() as conn:
        key = core.vault.add_key(conn, "team", created_by="cli:tester", cipher="C20P")
        old = core.vault.seal(conn, PLACE, Sensitive("word"), key_name="team")
        core.vault.add_version(conn, key)
        new = core.vault.seal(conn, PLACE, Sensitive("word"), key_name="team")
        assert ":C20P:" in old.token and (old.key_version, new.key_version) == (1, 2)
        assert [core.vault.open(conn, PLACE, one.token).reveal() for one in (old, new)] == ["word", "word"]
        with pytest.raises(Tampered):
            core.vault.open(conn, PLACE, old.token.replace("C20P", "A256GCM"))
    core.close()


def test_without_its_plugins_the_vault_is_locked_and_the_rest_works(wanted: Settings, tmp_path: Path) -> None:
    core = open_core(wanted)
    with core.db.writing() as conn:
        core.vault.add_key(conn, "team", created_by="cli:tester", cipher="C20P")
        sealed = core.vault.seal(conn, PLACE, Sensitive("word"), key_name="team")
    core.close()

    def without(name: str) -> Core:
        (tmp_path / "plugins" / name).rename(tmp_path / f"away-{name}")
        return open_core(wanted)

    for plugin, code in (("chacha", "CIPHER_MISSING"), ("safe", "KEY_MISSING")):
        core = without(plugin)
        with core.db.reading() as conn:
            with pytest.raises(VaultLocked) as caught:
                core.vault.open(conn, PLACE, sealed.token)
            assert caught.value.code == code and caught.value.next_step
        core.close()
    with core.db.reading() as conn:
        assert [key.key_name for key in keys.listing(conn)] == ["main", "team"]
        assert core.vault.state(conn).locked


def test_from_the_first_secret_to_a_started_server_and_on_to_the_next_version(wanted: Settings, runtime: FakeRuntime) -> None:
    """Everything people do with secrets, with nothing of ours that encrypts."""
    core = open_core(wanted, role="web")
    core.use_runtime(runtime)
    worker = Worker(core, brief=True)
    assert worker.elect()
    worker.start()
    me = Actor.cli("tester")
    try:
        service.add(core, me, "team", cipher="C20P", source="safe")
        made = secrets.add(core, me, name="api-key", value=Sensitive("canary of a team"), key_name="team")
        server = servers.add(core, me, name="demo", image="tiny:1")
        active = configurations.active(core, me, server.id)
        bindings.bind(core, me, made.id, active.id, variable="API_KEY", scope="required")
        assert jobs.wait(core, servers.request(core, me, server.id, "start").id, 30).state == "succeeded"
        told = jobs.wait(core, servers.call(core, me, server.id, "digest", {"variable": "API_KEY"}).id, 30)
        assert hashlib.sha256(b"canary of a team").hexdigest() in str(told.result)

        rotated = jobs.wait(core, service.rotate(core, me, "team").id, 30)
        assert rotated.state == "succeeded" and (rotated.result["resealed"], rotated.result["retired"]) == (1, [1]), rotated
        stored = secrets.get(core, me, made.id)
        assert ":C20P:" in stored.encrypted_value and stored.key_version == 2
        assert secrets.reveal(core, me, made.id).reveal() == "canary of a team"
        assert keycheck.verify(core, me).ok and jobs.wait(core, keycheck.request_verify(core, me).id, 30).result["ok"]

        evidence = keydestroy.destroy(core, me, "team", 1)
        assert not evidence["complete"] and "key-encryption key is still the same" in evidence["undone"][0]
        assert secrets.reveal(core, me, made.id).reveal() == "canary of a team"
        assert audit.verify(core, me)["ok"] and not wanted.key_file.exists()
        page = Visitor(create_app(core), core, runtime).sign_in().get("/keys").text
        assert "C20P" in page and "safe/1" in page and "canary" not in page
    finally:
        worker.stop()
        core.close()
