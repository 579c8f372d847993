"""Every built-in cipher and key source keeps its contract."""
from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from mcpweb import core as cores
from mcpweb import settings
from mcpweb.contracts import Cipher, KeySource
from mcpweb.errors import VaultLocked
from mcpweb.settings import Settings
from mcpweb.testing.vaultcontracts import CipherContract, KeySourceContract

KEY = base64.b64encode(bytes(range(32))).decode()


def configured(folder: Path, **values: str) -> Settings:
    return settings.load({"MCPWEB_DATA_DIR": str(folder / "data"), **{f"MCPWEB_{name}": text for name, text in values.items()}})


def source_named(name: str, wanted: Settings) -> KeySource:
    return cores.make_vault(wanted, cores.load_plugins(wanted)).source(name)


class TestAesGcm(CipherContract):
    @pytest.fixture
    def cipher(self, tmp_path: Path) -> Cipher:
        wanted = configured(tmp_path)
        return cores.make_vault(wanted, cores.load_plugins(wanted)).cipher("A256GCM")


class TestKeyRing(KeySourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> KeySource:
        return source_named("file", configured(tmp_path))

    @pytest.fixture
    def absent_source(self, tmp_path: Path) -> KeySource:
        return source_named("file", configured(tmp_path / "absent"))

    def test_the_ring_is_ours_alone(self, ready: KeySource, tmp_path: Path) -> None:
        ring = tmp_path / "data.keys" / "ring.json"
        assert ring.stat().st_mode & 0o777 == 0o600 and ring.parent.stat().st_mode & 0o777 == 0o700


class TestEnvironmentKey(KeySourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> KeySource:
        return source_named("environment", configured(tmp_path, KEY_ENV=KEY))

    @pytest.fixture
    def absent_source(self, tmp_path: Path) -> KeySource:
        return source_named("environment", configured(tmp_path))


class TestCredentialKey(KeySourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> KeySource:
        (tmp_path / "credential").write_text(bytes(range(32)).hex() + "\n")
        (tmp_path / "credential").chmod(0o444)
        return source_named("credential", configured(tmp_path, PLUGIN_KEYSOURCE_FILE_CREDENTIAL=str(tmp_path / "credential")))

    @pytest.fixture
    def absent_source(self, tmp_path: Path) -> KeySource:
        return source_named("credential", configured(tmp_path, PLUGIN_KEYSOURCE_FILE_CREDENTIAL=str(tmp_path / "none")))

    def test_one_that_others_can_change_is_refused(self, ready: KeySource, tmp_path: Path) -> None:
        (tmp_path / "credential").chmod(0o446)
        assert ready.health().code == "KEY_PERMISSIONS"


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> KeySource:
    """A passphrase's source; a derivation costs a second, so one serves all."""
    folder = tmp_path_factory.mktemp("passphrase")
    (folder / "words").write_text("correct horse battery staple\n")
    return source_named("passphrase", configured(folder, PASSPHRASE_FILE=str(folder / "words")))


class TestPassphraseKey(KeySourceContract):
    @pytest.fixture
    def source(self, unlocked: KeySource) -> KeySource:
        return unlocked

    @pytest.fixture
    def absent_source(self, tmp_path: Path) -> KeySource:
        return source_named("passphrase", configured(tmp_path))

    def test_without_a_passphrase_it_asks_for_one(self, absent_source: KeySource) -> None:
        assert absent_source.health().code == "KEY_PASSPHRASE_NEEDED"

    def test_another_passphrase_is_another_kek(self, ready: KeySource, tmp_path: Path) -> None:
        (tmp_path / "words").write_text("correct horse battery stable\n")
        other = source_named("passphrase", configured(tmp_path, PASSPHRASE_FILE=str(tmp_path / "words")))
        other.prepare()
        with pytest.raises(VaultLocked) as caught:
            other.unwrap(ready.kek_ids()[0], b"", b"")
        assert caught.value.code == "KEY_WRONG"


# The ring is where an attacker or a tired administrator would go wrong


@pytest.fixture
def wanted(tmp_path: Path) -> Settings:
    made = configured(tmp_path)
    source_named("file", made).prepare()
    return made


def code_of(wanted: Settings) -> str:
    health = source_named("file", wanted).health()
    assert health.ok or (health.detail and health.next_step)
    return health.code


def test_a_sound_ring_is_fine(wanted: Settings) -> None:
    assert code_of(wanted) == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o644])
def test_a_ring_open_to_others_is_refused(wanted: Settings, mode: int) -> None:
    wanted.key_file.chmod(mode)
    assert code_of(wanted) == "KEY_PERMISSIONS"


def test_a_folder_others_can_write_is_refused(wanted: Settings) -> None:
    wanted.key_dir.chmod(0o777)
    assert code_of(wanted) == "KEY_PERMISSIONS"


def test_a_linked_ring_is_refused_and_a_linked_folder_is_followed(wanted: Settings, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    wanted.key_dir.rename(elsewhere)
    wanted.key_dir.symlink_to(elsewhere)
    assert code_of(wanted) == ""
    (elsewhere / "ring.json").rename(elsewhere / "real.json")
    (elsewhere / "ring.json").symlink_to("real.json")
    assert code_of(wanted) == "KEY_PERMISSIONS"


def test_a_fifo_in_its_place_is_refused_without_waiting(wanted: Settings) -> None:
    wanted.key_file.unlink()
    os.mkfifo(wanted.key_file, 0o600)
    assert code_of(wanted) == "KEY_PERMISSIONS"


def test_a_ring_of_another_user_is_refused(wanted: Settings) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(wanted.key_file, 12345, 12345)
    assert code_of(wanted) == "KEY_PERMISSIONS"


def test_a_ring_inside_the_data_folder_is_refused_even_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "door").symlink_to(tmp_path / "data")
    for place in (tmp_path / "data" / "ring.json", tmp_path / "data" / "deep" / "ring.json", tmp_path / "door" / "ring.json"):
        refused = source_named("file", configured(tmp_path, KEY_FILE=str(place)))
        assert refused.health().code == "KEY_PERMISSIONS"
        with pytest.raises(VaultLocked):
            refused.prepare()
        assert not place.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"keks": []}', '{"keks": [{}]}', '{"keks": "x"}', "\x00", '{"keks": [7]}'])
def test_a_damaged_ring_is_told_and_left_alone(wanted: Settings, text: str) -> None:
    wanted.key_file.write_text(text)
    assert code_of(wanted) == "KEY_WRONG"
    with pytest.raises(VaultLocked):
        source_named("file", wanted).prepare()
    assert wanted.key_file.read_text() == text


def test_a_key_that_does_not_fit_its_id_is_told(wanted: Settings) -> None:
    ring = json.loads(wanted.key_file.read_text())
    ring["keks"][0]["key"] = KEY
    wanted.key_file.write_text(json.dumps(ring))
    assert code_of(wanted) == "KEY_WRONG"


@pytest.mark.parametrize("text", ["", "short", KEY[:-4], KEY + "AAAA", "zz" * 32, "é" * 44])
def test_what_is_no_key_is_told_with_the_shape_it_must_have(tmp_path: Path, text: str) -> None:
    health = source_named("environment", configured(tmp_path, KEY_ENV=text)).health()
    assert health.code == ("KEY_WRONG" if text else "KEY_MISSING")
    assert not text or "openssl rand" in health.next_step
