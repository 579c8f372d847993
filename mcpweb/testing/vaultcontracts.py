"""What every cipher and every key source must keep: inherit a contract in a test module, give the fixture, and pass."""
from __future__ import annotations

import re
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcpweb.contracts import Cipher, KeySource
from mcpweb.errors import Conflict, Failure, InvalidInput, Tampered, VaultLocked


class CipherContract(ABC):
    """The promises of ``Cipher``. A subclass gives the fixture ``cipher``."""

    @pytest.fixture
    @abstractmethod
    def cipher(self) -> Cipher:
        """The cipher under test."""

    @pytest.fixture
    def key(self, cipher: Cipher) -> bytes:
        return bytes(range(cipher.key_bytes))

    def test_its_name_fits_into_a_token(self, cipher: Cipher) -> None:
        assert re.fullmatch(r"[A-Z0-9]{1,32}", cipher.name)
        assert cipher.key_bytes >= 16 and 0 < cipher.uses_warn < cipher.uses_limit

    @pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 65536])
    def test_what_was_encrypted_opens_again(self, cipher: Cipher, key: bytes, size: int) -> None:
        plaintext = bytes(number % 251 for number in range(size))
        nonce, body = cipher.encrypt(key, plaintext, b"row 1")
        assert cipher.decrypt(key, nonce, body, b"row 1") == plaintext

    def test_the_plaintext_does_not_stand_in_the_body(self, cipher: Cipher, key: bytes) -> None:
        nonce, body = cipher.encrypt(key, b"a secret of some length", b"")
        assert b"a secret" not in nonce + body

    def test_no_nonce_and_no_body_comes_twice(self, cipher: Cipher, key: bytes) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: cipher.encrypt(key, b"the same", b"row 1"), range(2000)))
        assert len({nonce for nonce, _ in made}) == len({body for _, body in made}) == 2000

    def test_every_changed_bit_is_found(self, cipher: Cipher, key: bytes) -> None:
        nonce, body = cipher.encrypt(key, b"value", b"row 1")
        for place in range(len(nonce) * 8):
            with pytest.raises(Tampered):
                cipher.decrypt(key, _flipped(nonce, place), body, b"row 1")
        for place in range(len(body) * 8):
            with pytest.raises(Tampered):
                cipher.decrypt(key, nonce, _flipped(body, place), b"row 1")

    @pytest.mark.parametrize("cut", [0, 1, 8, -1])
    def test_a_cut_value_is_found(self, cipher: Cipher, key: bytes, cut: int) -> None:
        nonce, body = cipher.encrypt(key, b"value", b"row 1")
        with pytest.raises(Tampered):
            cipher.decrypt(key, nonce, body[:cut], b"row 1")
        with pytest.raises(Tampered):
            cipher.decrypt(key, nonce[:cut], body, b"row 1")

    def test_another_key_and_another_row_are_found(self, cipher: Cipher, key: bytes) -> None:
        nonce, body = cipher.encrypt(key, b"value", b"row 1")
        for other_key, row in ((_flipped(key, 0), b"row 1"), (key, b"row 2"), (key, b"")):
            with pytest.raises(Tampered):
                cipher.decrypt(other_key, nonce, body, row)


class KeySourceContract(ABC):
    """The promises of ``KeySource``. A subclass gives ``source`` (a new one, not prepared) and ``absent_source``."""

    @pytest.fixture
    @abstractmethod
    def source(self) -> KeySource:
        """A source that can be prepared."""

    @pytest.fixture
    @abstractmethod
    def absent_source(self) -> KeySource:
        """A source whose key material is not there."""

    @pytest.fixture
    def ready(self, source: KeySource) -> KeySource:
        source.prepare()
        return source

    def test_a_key_comes_back_as_it_was_wrapped(self, ready: KeySource) -> None:
        wrapped = ready.wrap(b"k" * 32, b"key 1")
        assert wrapped.kek_id == ready.kek_ids()[0]
        assert ready.unwrap(wrapped.kek_id, wrapped.blob, b"key 1") == b"k" * 32
        assert b"k" * 8 not in wrapped.blob and b"k" * 8 not in repr(wrapped).encode()

    def test_preparing_again_keeps_the_keys(self, ready: KeySource) -> None:
        wrapped = ready.wrap(b"k" * 32, b"key 1")
        before = ready.kek_ids()
        ready.prepare()
        ready.refresh()
        assert ready.kek_ids() == before
        assert ready.unwrap(wrapped.kek_id, wrapped.blob, b"key 1") == b"k" * 32

    def test_a_changed_moved_or_cut_blob_is_found(self, ready: KeySource) -> None:
        wrapped = ready.wrap(b"k" * 32, b"key 1")
        for blob, associated in (
            (_flipped(wrapped.blob, 3), b"key 1"), (_flipped(wrapped.blob, len(wrapped.blob) * 8 - 1), b"key 1"),
            (wrapped.blob[:-1], b"key 1"), (b"", b"key 1"), (wrapped.blob, b"key 2"),
        ):
            with pytest.raises(Tampered):
                ready.unwrap(wrapped.kek_id, blob, associated)

    def test_a_kek_it_does_not_hold_is_named(self, ready: KeySource) -> None:
        wrapped = ready.wrap(b"k" * 32, b"key 1")
        with pytest.raises(VaultLocked) as caught:
            ready.unwrap("kek_of_somebody_else", wrapped.blob, b"key 1")
        assert caught.value.code == "KEY_WRONG" and "kek_of_somebody_else" in caught.value.detail

    def test_health_tells_what_is_missing_and_never_raises(self, ready: KeySource, absent_source: KeySource) -> None:
        assert ready.health().ok
        missing = absent_source.health()
        assert not missing.ok and missing.code.startswith("KEY_") and missing.detail and missing.next_step

    def test_without_material_nothing_is_wrapped(self, absent_source: KeySource) -> None:
        asks = (
            absent_source.kek_ids, lambda: absent_source.wrap(b"k" * 32, b""), lambda: absent_source.unwrap("x", b"", b"")
        )
        for ask in asks:
            with pytest.raises(VaultLocked) as caught:
                ask()
            assert caught.value.next_step

    def test_a_new_kek_wraps_and_the_old_one_still_unwraps_or_it_is_refused(self, ready: KeySource) -> None:
        wrapped = ready.wrap(b"k" * 32, b"key 1")
        try:
            new = ready.add_kek()
        except InvalidInput as refused:
            assert refused.next_step
            return
        assert ready.kek_ids()[0] == new != wrapped.kek_id
        assert ready.wrap(b"k" * 32, b"key 1").kek_id == new
        assert ready.unwrap(wrapped.kek_id, wrapped.blob, b"key 1") == b"k" * 32
        with pytest.raises(Conflict):
            ready.remove_kek(new)
        ready.remove_kek(wrapped.kek_id)
        with pytest.raises(VaultLocked):
            ready.unwrap(wrapped.kek_id, wrapped.blob, b"key 1")

    def test_no_failure_and_no_repr_shows_key_material(self, ready: KeySource) -> None:
        wrapped = ready.wrap(b"material-of-a-key-0123456789abcd", b"key 1")
        texts = [repr(ready), repr(wrapped), repr(ready.health())]
        try:
            ready.unwrap(wrapped.kek_id, wrapped.blob, b"key 2")
        except Failure as failure:
            texts.append(failure.sentence)
        assert not any("material-of" in text for text in texts)


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
