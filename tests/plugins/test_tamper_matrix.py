"""Whatever somebody does to encrypted values or to the key ring, it is told by its own name and nothing is overwritten."""
from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from mcpweb import settings
from mcpweb.app import create_app
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.dao import audit, secrets
from mcpweb.dao.secrets import Secret
from mcpweb.db import Connection
from mcpweb.errors import Failure, Tampered, VaultLocked
from mcpweb.services import keycheck
from mcpweb.services import secrets as service
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import MakeServer, Visitor
from mcpweb.vault import Material, Place, Token
from plugins.cipher_aesgcm import AesGcm

ME = Actor.cli("tester")


@pytest.fixture
def two(core: Core) -> tuple[Secret, Secret]:
    return (
        service.add(core, ME, name="FIRST", value=Sensitive("first-value!")),
        service.add(core, ME, name="SECOND", value=Sensitive("second-value")),
    )


def put(conn: Connection, secret_id: str, **columns: object) -> None:
    names = ", ".join(f"{name} = :{name}" for name in columns)
    conn.execute(f"UPDATE secrets SET {names} WHERE id = :id", {**columns, "id": secret_id})


def flipped(token: str, place: int) -> str:
    parsed = Token.parse(token)
    body = bytearray(parsed.body)
    body[place] ^= 1
    return str(Token(parsed.alg, parsed.key_id, parsed.key_version, parsed.value_version, parsed.nonce, bytes(body)))


def loose(token: str) -> str:
    """Return a token whose last base64 digit differs in bits that decoding drops."""
    head, _, body = token.rpartition(":")
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for digit in digits:
        other = body[:-1] + digit
        pad = "=" * (-len(body) % 4)
        if digit != body[-1] and base64.urlsafe_b64decode(other + pad) == base64.urlsafe_b64decode(body + pad):
            return f"{head}:{other}"
    raise AssertionError("this length has no loose bits")


Change = Callable[[Connection, Secret, Secret], None]
CHANGES: dict[str, Change] = {
    "the value of another row": lambda c, a, b: put(c, a.id, encrypted_value=b.encrypted_value),
    "another name": lambda c, a, b: put(c, a.id, name="OTHER"),
    "another owner": lambda c, a, b: put(c, a.id, scope="server", owner_id="srv_x"),
    "a bit of the first byte": lambda c, a, b: put(c, a.id, encrypted_value=flipped(a.encrypted_value, 0)),
    "a bit of the tag": lambda c, a, b: put(c, a.id, encrypted_value=flipped(a.encrypted_value, -1)),
    "a cut value": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value[:-4]),
    "a cut token": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value[:30]),
    "nothing": lambda c, a, b: put(c, a.id, encrypted_value=""),
    "one more field": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value + ":AAAA"),
    "a newline at the end": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value + "\n"),
    "padding": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value + "="),
    "base64 that is not canonical": lambda c, a, b: put(c, a.id, encrypted_value=loose(a.encrypted_value)),
    "another algorithm": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value.replace("A256GCM", "A128GCM")),
    "another format": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value.replace("mcpweb1", "mcpweb2")),
    "an unknown key": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value.replace("key_", "key_0")),
    "an unknown version": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value.replace(":1:1:", ":9:1:")),
    "another value version": lambda c, a, b: put(c, a.id, value_version=2),
    "a zero before a number": lambda c, a, b: put(c, a.id, encrypted_value=a.encrypted_value.replace(":1:1:", ":01:1:")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_value_does_not_open_and_is_the_only_one_verify_names(
    core: Core, two: tuple[Secret, Secret], name: str
) -> None:
    with core.db.writing() as conn:
        CHANGES[name](conn, *two)
        left = secrets.get(conn, two[0].id).encrypted_value
    with pytest.raises(Tampered) as caught:
        service.reveal(core, ME, two[0].id)
    assert caught.value.code == "integrity" and "first-value!" not in caught.value.sentence
    assert [fault.secret_id for fault in keycheck.verify(core, ME).faults] == [two[0].id]
    assert service.reveal(core, ME, two[1].id).reveal() == "second-value"
    with core.db.reading() as conn:
        assert secrets.get(conn, two[0].id).encrypted_value == left
        (refused,) = audit.listing(conn, audit.Wanted(action="secret.reveal.refused"))
    assert (refused.target, refused.detail, refused.actor) == (two[0].id, {"code": "integrity"}, ME.name)


def test_an_untouched_store_is_fine(core: Core, two: tuple[Secret, Secret]) -> None:
    assert keycheck.verify(core, ME) == keycheck.Verification(2, ())


def test_an_older_value_put_back_whole_opens_and_is_named_by_verify(core: Core, two: tuple[Secret, Secret]) -> None:
    service.replace(core, ME, two[0].id, Sensitive("newer-value"))
    assert keycheck.verify(core, ME).ok
    with core.db.writing() as conn:
        put(conn, two[0].id, encrypted_value=two[0].encrypted_value, value_version=1)
    (fault,) = keycheck.verify(core, ME).faults
    assert fault.secret_id == two[0].id and "earlier value" in fault.reason


class StuckNonce(AesGcm):
    """A cipher whose random numbers are none."""

    def encrypt(self, key: bytes, plaintext: bytes, associated: bytes) -> tuple[bytes, bytes]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return b"\0" * 12, AESGCM(key).encrypt(b"\0" * 12, plaintext, associated)


def test_a_nonce_that_was_used_twice_is_named(core: Core, two: tuple[Secret, Secret]) -> None:
    core.vault.ciphers = {"A256GCM": StuckNonce()}
    third, fourth = (service.add(core, ME, name=name, value=Sensitive("some value")) for name in ("THIRD", "FOURTH"))
    found = keycheck.verify(core, ME).faults
    assert [fault.code for fault in found] == ["nonce_twice"]
    assert found[0].secret_id in (third.id, fourth.id) and (third.id in found[0].reason or fourth.id in found[0].reason)


def test_a_value_under_a_version_out_of_use_is_named(core: Core, two: tuple[Secret, Secret]) -> None:
    with core.db.writing() as conn:
        conn.execute("DROP TRIGGER IF EXISTS encryption_key_versions_states")
        for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'encryption_key_versions'").fetchall():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("UPDATE encryption_key_versions SET state = 'retired'")
    assert {fault.code for fault in keycheck.verify(core, ME).faults} == {"closed_version"}


def test_a_value_the_audit_log_does_not_tell_of_is_named(core: Core, two: tuple[Secret, Secret]) -> None:
    """Sealed by somebody who has the keys, and put into the row past the log."""
    with core.db.writing() as conn:
        secret = secrets.get(conn, two[0].id)
        place = replace_place(secret)
        sealed = core.vault.seal(conn, place, Sensitive("a value of mine"))
        put(conn, secret.id, encrypted_value=sealed.token, value_version=2)
    (fault,) = keycheck.verify(core, ME).faults
    assert (fault.secret_id, fault.code) == (two[0].id, "unknown_value")


def replace_place(secret: Secret) -> Place:
    return Place(secret.id, secret.name, secret.scope, secret.owner_id, secret.value_version + 1)


@pytest.mark.parametrize(("uses", "code"), [(2**30, "near_limit"), (2**30 - 1, None), (0, "counter_low"), (1, "counter_low"), (2, None)])
def test_a_key_near_its_limit_or_with_a_counter_set_back_asks_for_a_rotation(
    core: Core, two: tuple[Secret, Secret], uses: int, code: str | None
) -> None:
    with core.db.writing() as conn:
        conn.execute("UPDATE encryption_key_versions SET uses = ?", (uses,))
    found = keycheck.verify(core, ME)
    assert found.ok and [notice.code for notice in found.notices] == ([code] if code else [])


def other_ring(core: Core) -> None:
    ring = json.loads(core.settings.key_file.read_text())
    from plugins.keysource_file.local import kek_id

    key = os.urandom(32)
    ring["keks"] = [{"id": kek_id(key), "created_at": "", "key": base64.b64encode(key).decode()}]
    core.settings.key_file.write_text(json.dumps(ring))


def linked(core: Core) -> None:
    core.settings.key_file.rename(core.settings.key_file.with_name("elsewhere.json"))
    core.settings.key_file.symlink_to("elsewhere.json")


def piped(core: Core) -> None:
    core.settings.key_file.unlink()
    os.mkfifo(core.settings.key_file, 0o600)


def content(core: Core) -> bytes | None:
    """Return what lies in the place of the ring, None for anything but a plain file."""
    file = core.settings.key_file
    return file.read_bytes() if file.is_file() else None


RINGS: dict[str, tuple[Callable[[Core], None], str]] = {
    "missing": (lambda core: core.settings.key_file.unlink(), "KEY_MISSING"),
    "another ring": (other_ring, "KEY_WRONG"),
    "damaged": (lambda core: core.settings.key_file.write_text("{}") and None, "KEY_WRONG"),
    "open to others": (lambda core: core.settings.key_file.chmod(0o644), "KEY_PERMISSIONS"),
    "a symbolic link": (linked, "KEY_PERMISSIONS"),
    "a pipe": (piped, "KEY_PERMISSIONS"),
}


@pytest.mark.parametrize("name", RINGS)
def test_without_its_ring_the_vault_says_why_pages_answer_and_nothing_is_written(
    core: Core, two: tuple[Secret, Secret], visitor: Visitor, make_server: MakeServer, name: str
) -> None:
    spoil, code = RINGS[name]
    make_server("one")
    spoil(core)
    core.vault.forget()
    before = content(core)
    with core.db.reading() as conn:
        assert core.vault.state(conn).code == code
    for refused in (
        lambda: service.reveal(core, ME, two[0].id), lambda: service.add(core, ME, name="THIRD", value=Sensitive("third-value")),
        lambda: service.replace(core, ME, two[0].id, Sensitive("newer-value")),
    ):
        with pytest.raises(VaultLocked) as caught:
            refused()
        assert (caught.value.status, caught.value.code) == (503, code) and caught.value.next_step
    for page in ("/", "/servers", "/servers/one", "/test-runs", "/jobs", "/settings", "/plugins", "/secrets", "/keys", "/audit"):
        assert visitor.get(page).status_code == 200, page
    assert content(core) == before
    with core.db.reading() as conn:
        assert [secrets.get(conn, one.id) for one in two] == list(two)


def test_a_ring_inside_the_data_folder_locks_the_vault_when_the_product_starts(
    core: Core, two: tuple[Secret, Secret], runtime: FakeRuntime
) -> None:
    core.close()
    folder = core.settings.data_dir / "keys"
    shutil.copytree(core.settings.key_dir, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    moved = open_core(
        settings.load({"MCPWEB_DATA_DIR": str(core.settings.data_dir), "MCPWEB_KEY_FILE": str(folder / "ring.json")}), role="web"
    )
    moved.use_runtime(runtime)
    with moved.db.reading() as conn:
        state = moved.vault.state(conn)
    assert state.locked and state.code == "KEY_PERMISSIONS" and "data folder" in state.detail and state.next_step
    with pytest.raises(VaultLocked):
        service.reveal(moved, ME, two[0].id)
    visitor = Visitor(create_app(moved), moved, runtime).sign_in()
    for page in ("/", "/servers", "/jobs", "/secrets", "/keys", "/audit"):
        assert visitor.get(page).status_code == 200, page
    assert all(path.read_bytes() == content for path, content in before.items())
    moved.close()


def test_each_way_to_spoil_a_ring_has_a_sentence_of_its_own(core: Core, two: tuple[Secret, Secret]) -> None:
    ring, told = core.settings.key_file.read_bytes(), set()
    for spoil, _ in RINGS.values():
        spoil(core)
        core.vault.forget()
        with core.db.reading() as conn:
            told.add(core.vault.state(conn).detail)
        core.settings.key_file.unlink(missing_ok=True)
        core.settings.key_file.write_bytes(ring)
        core.settings.key_file.chmod(0o600)
    assert len(told) == len(RINGS)


def test_the_same_ring_given_back_opens_everything_again(core: Core, two: tuple[Secret, Secret]) -> None:
    ring = core.settings.key_file.read_bytes()
    other_ring(core)
    core.vault.forget()
    with pytest.raises(Failure):
        service.reveal(core, ME, two[0].id)
    core.settings.key_file.write_bytes(ring)
    core.vault.forget()
    assert service.reveal(core, ME, two[0].id).reveal() == "first-value!"


def test_a_wrapped_key_that_was_changed_is_not_taken_for_a_damaged_value(core: Core, two: tuple[Secret, Secret]) -> None:
    with core.db.writing() as conn:
        conn.execute("UPDATE encryption_key_versions SET wrapped_key = zeroblob(60)")
    core.vault.forget()
    with core.db.reading() as conn:
        state = core.vault.state(conn)
    assert state.locked and state.code == "KEY_WRONG" and "wrapped key" in state.detail


def test_places_differ_in_every_field() -> None:
    """Fields that run into each other would let a value move between rows."""
    material = Material("key_1", 1, AesGcm(), bytes(32))
    places = [
        Place("sec_1", "AB", "global", "", 1), Place("sec_1", "A", "Bglobal", "", 1), Place("sec_1", "A", "B", "global", 1),
        Place("sec_1A", "B", "global", "", 1), Place("sec_1", "AB", "global", "", 11),
    ]
    for sealed_at in places:
        token = Token.parse(material.seal(sealed_at, Sensitive("same everywhere")).token)
        for opened_at in places:
            moved = str(replace(token, value_version=opened_at.value_version))
            if opened_at == sealed_at:
                assert material.open(opened_at, moved).reveal() == "same everywhere"
            else:
                with pytest.raises(Tampered):
                    material.open(opened_at, moved)


