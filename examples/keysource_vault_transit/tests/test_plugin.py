"""The key source keeps the promises of every key source on Vault's own protocol, and says what is wrong when Vault is not well."""
from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from mcpweb_vault_transit.transit import Transit
from transit_server import TOKEN, TransitServer

from mcpweb.plugin import InvalidInput, Tampered, VaultLocked
from mcpweb.testing.vaultcontracts import KeySourceContract


@pytest.fixture
def vault() -> Iterator[TransitServer]:
    with TransitServer() as made:
        yield made


@pytest.fixture
def ready(vault: TransitServer) -> Transit:
    made = Transit(vault.address, TOKEN, timeout="1")
    made.prepare()
    return made


class TestContract(KeySourceContract):
    @pytest.fixture
    def source(self, vault: TransitServer) -> Transit:
        return Transit(vault.address, TOKEN)

    @pytest.fixture
    def absent_source(self) -> Transit:
        return Transit("http://127.0.0.1:9", TOKEN)


def test_a_key_of_the_same_name_in_another_vault_is_another_key(ready: Transit) -> None:
    wrapped = ready.wrap(b"k" * 32, b"a")
    with TransitServer() as other:
        elsewhere = Transit(other.address, TOKEN)
        elsewhere.prepare()
        with pytest.raises(VaultLocked) as caught:
            elsewhere.unwrap(wrapped.kek_id, wrapped.blob, b"a")
    assert caught.value.code == "KEY_WRONG"


def test_a_namespace_is_sent_and_a_wrong_one_is_told() -> None:
    with TransitServer(namespace="team/a") as vault:
        Transit(vault.address, TOKEN, namespace="team/a").prepare()
        said = Transit(vault.address, TOKEN, namespace="team/b").health()
    assert not said.ok and "404" in said.detail and "NAMESPACE" in said.next_step


@pytest.mark.parametrize(("change", "said", "step"), [
    ({"sealed": True}, "503", "Unseal"), ({"deny": ("keys",)}, "permission denied", "policy"), ({"redirects": True}, "307", "active node"),
    ({"slow_s": 3.0}, "took too long", "unlock"), ({"drips": True}, "took too long", "unlock"),
])
def test_what_is_wrong_with_vault_is_told_within_the_time(vault: TransitServer, ready: Transit, change: dict, said: str, step: str) -> None:
    vars(vault).update(change)
    began = time.monotonic()
    health = ready.health()
    assert time.monotonic() - began < 2.5 and not health.ok
    assert said in health.detail and step in health.next_step and TOKEN not in repr(health) + repr(ready)
    vars(vault).update(sealed=False, deny=(), redirects=False, slow_s=0.0, drips=False)
    assert ready.health().ok


def test_a_wrong_token_and_a_token_that_may_not_rotate(vault: TransitServer, ready: Transit) -> None:
    assert "403" in Transit(vault.address, "hvs.wrong").health().detail
    vault.deny = ("rotate",)
    with pytest.raises(InvalidInput) as caught:
        ready.add_kek()
    assert "in Vault itself" in caught.value.next_step


def test_a_rotation_in_vault_is_seen_and_what_is_too_old_is_not_taken_for_damage(vault: TransitServer, ready: Transit) -> None:
    wrapped = ready.wrap(b"k" * 32, b"a")
    vault.keys["mcpweb"].rotate()
    ready.refresh()
    assert ready.unwrap(wrapped.kek_id, wrapped.blob, b"a") == b"k" * 32 and ready.kek_ids()[0] != wrapped.kek_id
    vault.keys["mcpweb"].least_decrypt = 2
    with pytest.raises(VaultLocked):
        ready.unwrap(wrapped.kek_id, wrapped.blob, b"a")
    with pytest.raises(Tampered):
        ready.unwrap(ready.kek_ids()[0], b"x" * 60, b"a")


@pytest.mark.parametrize("address", ["http://vault.example.org:8200", "ftp://127.0.0.1", "", "http://10.0.0.1:8200"])
def test_a_token_never_leaves_this_machine_in_the_clear(address: str) -> None:
    said = Transit(address, TOKEN).health()
    assert not said.ok and "ADDRESS" in said.next_step


def test_what_vault_rewraps_still_opens(vault: TransitServer, ready: Transit) -> None:
    import base64

    wrapped = ready.wrap(b"k" * 32, b"a")
    vault.keys["mcpweb"].rotate()
    ready.refresh()
    told = vault._coded("rewrap", "mcpweb", {"ciphertext": f"vault:v1:{base64.b64encode(wrapped.blob).decode()}"})
    newest = ready.kek_ids()[0]
    assert ready.unwrap(newest, base64.b64decode(told["ciphertext"].split(":")[2]), b"a") == b"k" * 32


class TestInTheApplication:
    @pytest.fixture
    def plugin_settings(self, vault: TransitServer) -> dict[str, str]:
        return {"plugin_vault_transit_address": vault.address, "plugin_vault_transit_token": TOKEN}

    def test_a_key_under_it_seals_and_opens_and_a_sealed_vault_locks(self, core, vault: TransitServer) -> None:
        with core.db.writing() as conn:
            core.vault.source("vault_transit").prepare()
            core.vault.add_key(conn, "team", created_by="cli:tester", source="vault_transit")
        vault.sealed = True
        assert core.vault.source("vault_transit").health().code == "KEY_MISSING"
