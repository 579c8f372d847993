"""Redaction: no spelling of a known secret gets through, and nothing else is touched."""
from __future__ import annotations

import base64
import html
import json
import random
import shlex
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mcpweb.contracts import Sensitive
from mcpweb.redaction import MARK, MIN_LENGTH, Redactor, redactable
from tests.sizes import size

# the same examples each time: a search that finds something new belongs at a desk, with --hypothesis-seed
SETTINGS = settings(max_examples=size(25, 1000), deadline=None, derandomize=True)
TRICKY = "abcXYZ019 \"'\\/&%<>=+-_.:;#$!?@{}[]()|~^`*,\t\u00e9\u00df\u65e5\u672c\U0001f600\x01"
KEY = "k9F2vQ7xLm4TzR8w"
PASSWORD = "p@ss/w+rd \"ü\" & <50%>\\'end"


def half(choice: random.Random, text: str, escape: Callable[[str], str], always: str) -> str:
    """Escape each second character or so, and those that begin an escape in one of the notations.

    A backslash left as it is between escapes of another notation is not found: it could be a part of the text around.
    """
    return "".join(escape(char) if char in always or choice.random() < 0.5 else char for char in text)


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def utf16_units(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[at: at + 2], "big") for at in range(0, len(data), 2)]


def wrapped(text: str, width: int = 76) -> str:
    return "\n".join(text[at: at + width] for at in range(0, len(text), width))


def blob(choice: random.Random, text: str) -> bytes:
    """The secret inside something larger, at any alignment."""
    return choice.randbytes(choice.randrange(50)) + text.encode() + choice.randbytes(choice.randrange(50))


def spelled(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in utf16_units(char))


ENCODINGS: dict[str, Callable[[random.Random, str], str]] = {
    "raw": lambda choice, text: text,
    "base64": lambda choice, text: base64.b64encode(blob(choice, text)).decode(),
    "base64 for addresses": lambda choice, text: base64.urlsafe_b64encode(blob(choice, text)).decode().rstrip("="),
    "base64 in lines": lambda choice, text: base64.encodebytes(blob(choice, text)).decode(),
    "base64 in lines of PEM": lambda choice, text: wrapped(base64.b64encode(blob(choice, text)).decode(), 64) + "\n",
    "base64 in lines, as JSON": lambda choice, text: json.dumps(base64.encodebytes(blob(choice, text)).decode()),
    "base64 in an address": lambda choice, text: quote(base64.b64encode(blob(choice, text)), safe=""),
    "base64 of JSON": lambda choice, text: base64.b64encode(blob(choice, json.dumps(text))).decode(),
    "base64 of UTF-16": lambda choice, text: base64.b64encode(("xy" + text).encode("utf-16-le")).decode(),
    "hex": lambda choice, text: blob(choice, text).hex(),
    "HEX": lambda choice, text: blob(choice, text).hex().upper(),
    "address": lambda choice, text: quote(text, safe=""),
    "address, lower case": lambda choice, text: quote(text, safe="").lower() if text.isascii() else quote(text),
    "form": lambda choice, text: quote_plus(text),
    "address, twice": lambda choice, text: quote(quote(text, safe=""), safe=""),
    "address, every character": lambda choice, text: percent(text),
    "address, some characters": lambda choice, text: half(choice, text, percent, always="%\\"),
    "JSON": lambda choice, text: json.dumps(text)[1:-1],
    "JSON as it is": lambda choice, text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with slashes": lambda choice, text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda choice, text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON in JSON in JSON": lambda choice, text: json.dumps(json.dumps(json.dumps(text)[1:-1])[1:-1])[1:-1],
    "JSON, every character": lambda choice, text: "".join(spelled(char) for char in text),
    "JSON in an address": lambda choice, text: quote(json.dumps(text)[1:-1], safe=""),
    "HTML": lambda choice, text: html.escape(text),
    "HTML, decimal": lambda choice, text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, hex": lambda choice, text: "".join(f"&#x{ord(char):X};" for char in text),
    "HTML, some characters": lambda choice, text: half(choice, text, lambda char: f"&#{ord(char):04d};", always="&\\"),
    "HTML, twice": lambda choice, text: html.escape(html.escape(text)),
    "HTML of JSON": lambda choice, text: html.escape(json.dumps(text)[1:-1]),
    "XML": lambda choice, text: html.escape(text).replace("&#x27;", "&apos;"),
    "Python": lambda choice, text: repr(text),
    "Python, ASCII": lambda choice, text: ascii(text),
    "Python, bytes": lambda choice, text: repr(text.encode()),
    "C": lambda choice, text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "octal": lambda choice, text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "shell": lambda choice, text: shlex.quote(text),
    "SQL": lambda choice, text: text.replace("'", "''"),
    "CSV": lambda choice, text: text.replace('"', '""'),
    "UPPER CASE": lambda choice, text: text.upper() if text.isascii() else text,
    "UTF-16": lambda choice, text: text.encode("utf-16-le").decode("latin-1") if text.isascii() else text,
}

secrets = st.text(TRICKY, min_size=MIN_LENGTH, max_size=40).map(str.strip).filter(lambda text: redactable(Sensitive(text)))
simple = st.text("abcdefghijKLMNOPQ0123456789", min_size=MIN_LENGTH, max_size=60)
around = st.text(TRICKY + "\n", max_size=30)
chunks = st.lists(st.integers(1, 40), min_size=1, max_size=20) | st.just([1])


def leaks(encoded: str, text: str, out: str, size: int = 7) -> list[str]:
    """Return what of an encoded secret is still there, ends that belong to the encoding (quotes, padding) aside."""
    surroundings = text.replace(encoded, "\n")
    windows = [encoded[at: at + size] for at in range(2, len(encoded) - size - 1)]
    return [window for window in windows if window in out and window not in surroundings and window not in MARK]


def streamed(redactor: Redactor, data: bytes, sizes: list[int]) -> bytes:
    stream, at, out = redactor.stream(), 0, b""
    while at < len(data):
        size = sizes[at % len(sizes)]
        out += stream.feed(data[at: at + size])
        at += size
    return out + stream.flush()


@pytest.mark.parametrize("encoding", ENCODINGS)
@SETTINGS
@given(secret=secrets | simple, before=around, after=around, choice=st.randoms(use_true_random=False), sizes=chunks)
def test_no_spelling_of_a_secret_gets_through(
    encoding: str, secret: str, before: str, after: str, choice: random.Random, sizes: list[int]
) -> None:
    assume(redactable(Sensitive(secret)))
    encoded = ENCODINGS[encoding](choice, secret)
    if encoding.startswith("base64"):  # letters of the blob itself would be letters of the secret's neighbours
        before, after = before + " ", " " + after
    text = f"{before}{encoded}{after}"
    redactor = Redactor([Sensitive(secret), Sensitive("another secret")], patterns=False)
    out = redactor.text(text)
    assert MARK in out
    assert redactor.detects(text)
    if encoding.startswith(("base64", "hex", "HEX")):
        assert not redactor.detects(out)
    else:
        assert not leaks(encoded, text, out)
    assert streamed(redactor, text.encode("utf-8"), sizes) == out.encode("utf-8")


@SETTINGS
@given(secret=simple, text=st.text(max_size=300), data=st.binary(max_size=300), sizes=chunks)
def test_what_holds_no_secret_is_not_touched(secret: str, text: str, data: bytes, sizes: list[int]) -> None:
    redactor = Redactor([Sensitive(secret + "unheard-of")], patterns=False)
    assert redactor.text(text) is text
    assert redactor.data(data) == data
    assert streamed(redactor, data, sizes) == data
    value = {text: [text, 1, 2.5, None, True, {"a": text}]}
    assert redactor.json(value) is value


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_chunks_show_no_part_of_a_secret_on_the_way(size: int) -> None:
    stream = Redactor([Sensitive(KEY)]).stream()
    data = f"one\ntwo {KEY} three\n{KEY}\n{KEY[:8]}\nin the middle{KEY}".encode()
    shown = b""
    for at in range(0, len(data), size):
        shown += stream.feed(data[at: at + size])
        assert b"one\ntwo [redacted] three\n[redacted]\nk9F2vQ7x\n".startswith(shown)
    assert shown + stream.flush() == b"one\ntwo [redacted] three\n[redacted]\nk9F2vQ7x\nin the middle[redacted]"


def test_a_line_passes_as_soon_as_it_is_whole() -> None:
    stream = Redactor([Sensitive(KEY), Sensitive(PASSWORD)]).stream()
    for line in (b"ready\n", b"{\"level\": \"info\"}\r\n", b"k9F2\n", b"100 %\n", b"C:\\\n", b"\n", b"a sha " + b"e3b0c442" * 8 + b"!\n"):
        assert stream.feed(line) == line


def test_a_line_without_end_does_not_fill_the_memory_and_hides_what_it_must() -> None:
    redactor = Redactor([Sensitive(KEY), Sensitive("0" * 20)], patterns=False)
    stream, out, most = redactor.stream(), b"", 0
    for _ in range(200):
        out += stream.feed(b"-" * 1000 + KEY.encode() + b"." * 777 + b"0" * 3001)
        most = max(most, len(stream._rest))
    out += stream.flush()
    assert out == (b"-" * 1000 + b"[redacted]" + b"." * 777 + b"[redacted]") * 200
    assert most < 2 * redactor.longest + 10_000


def test_a_wrapped_blob_waits_only_when_it_could_be_ours() -> None:
    encoded = base64.encodebytes(b"x" * 50 + KEY.encode() + b"y" * 50)
    first, second = encoded.split(b"\n")[:2]
    stream = Redactor([Sensitive(KEY)]).stream()
    shown = stream.feed(first + b"\n")
    assert shown == b""  # it ends with the beginning of the secret
    shown = stream.feed(second + b"\n")
    assert b"[redacted]" in shown
    assert first[-4:] not in shown


def test_a_line_that_ends_like_a_secret_by_chance_does_not_wait_for_the_next_one() -> None:
    hexed = KEY.encode().hex()
    for few in range(1, 4):
        stream = Redactor([Sensitive(KEY)]).stream()
        assert stream.feed(b"x" * 40 + hexed[:few].encode() + b"\n") == b"x" * 40 + hexed[:few].encode() + b"\n"
        # and if it was one, the rest of it is hidden
        shown = stream.feed(hexed[few:].encode() + b"\nnext\n")
        assert shown == b"[redacted]\nnext\n"
    stream = Redactor([Sensitive(KEY)]).stream()
    letters = b"".join(stream.feed(f"{letter}\n".encode()) for letter in hexed)
    assert letters + stream.flush() == "\n".join(hexed[:3]).encode() + b"\n[redacted]\n"


def test_a_line_of_a_secret_alone_is_told_at_once_whatever_it_ends_with() -> None:
    for end in "0123456789abcdef":
        value = f"canary-{random.Random(end).getrandbits(120):030x}{end}"
        assert Redactor([Sensitive(value)]).stream().feed(value.encode() + b"\n") == b"[redacted]\n"


def test_each_line_of_a_long_secret_disappears_but_not_the_lines_everybody_knows() -> None:
    body = [base64.b64encode(random.Random(at).randbytes(48)).decode() for at in range(5)]
    pem = "\n".join(["-----BEGIN SPECIAL THING-----", *body, "end", "-----END SPECIAL THING-----", ""])
    redactor = Redactor([Sensitive(pem)])
    assert redactor.text(pem).replace(MARK, "") == "-----BEGIN SPECIAL THING-----\n\n\n\n\n\nend\n-----END SPECIAL THING-----\n"
    assert redactor.text("".join(body)) == MARK
    assert body[2] not in redactor.text(json.dumps(pem))
    assert redactor.text("-----BEGIN SPECIAL THING-----") == "-----BEGIN SPECIAL THING-----"
    long = "".join(f"{random.Random(at).getrandbits(64):x}" for at in range(40))
    assert Redactor([Sensitive(long)]).text(f"({long})") == f"({MARK})"


def test_what_is_too_short_says_so() -> None:
    for value, kept in {"12345": False, "123456": True, "ab\ncd\nef\ngh": False, "ab\ncdefgh": True, "": False, "redacted": False}.items():
        assert redactable(Sensitive(value)) is kept
        assert Redactor([Sensitive(value)]).detects(f"<{value}>") is kept


def test_json_keeps_its_shape() -> None:
    redactor = Redactor([Sensitive(KEY), Sensitive(PASSWORD), Sensitive("4711081501")])
    value = {
        "content": [{"type": "text", "text": f"it is {KEY}"}, {"type": "text", "text": "fine"}],
        KEY: 1, f"x{KEY}": 2, "x[redacted]": 3, "number": 4711081501, "numbers": [1, 2.5, True, None, 47110815010],
        "parts": [KEY[:5], KEY[5:]], "nested": json.dumps({"p": PASSWORD, "n": 4711081501}),
    }
    out = redactor.json(value)
    assert out["content"] == [{"type": "text", "text": "it is [redacted]"}, {"type": "text", "text": "fine"}]
    assert (out[MARK], out["x[redacted]"], out["x[redacted] 2"]) == (1, 2, 3)
    assert (out["number"], out["numbers"]) == (MARK, [1, 2.5, True, None, MARK])
    assert out["nested"] == '{"p": "[redacted]", "n": [redacted]}'
    assert not redactor.detects(json.dumps({**out, "parts": []}))
    assert value["content"][0]["text"] == f"it is {KEY}", "the value itself is left alone"


def test_json_that_is_too_deep_ends_in_a_mark() -> None:
    value: object = KEY
    for _ in range(5000):
        value = [value]
    text = repr(Redactor([Sensitive(KEY)]).json({"deep": value, "flat": 1}))
    assert KEY not in text
    assert MARK in text


def test_blobs_that_go_on_in_the_next_string_are_found() -> None:
    lines = base64.encodebytes(b"x" * 51 + KEY.encode() * 3).decode().split()
    out = Redactor([Sensitive(KEY)]).json({"lines": lines})
    assert not Redactor([Sensitive(KEY)]).detects("\n".join(out["lines"]))


CAUGHT = [
    "Authorization: Bearer abcdef0123456789abcdef", "authorization: Basic dXNlcjpwYXNzd29yZA==", "curl -H 'Bearer  a1b2c3d4e5f6a7b8c9'",
    "key AKIAIOSFODNN7EXAMPLE in use", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "github_pat_11ABCDEFG0123456789_abcdefghij",
    "glpat-0123456789abcdefghij", "xoxb-123456789012-abcdefghijkl", "sk_live_0123456789abcdefghij", "OPENAI=sk-proj-0123456789abcdefghij",
    "AIza0123456789abcdefghijklmnopqrstuvwxy", "hf_abcdefghijklmnopqrstuvwxyz01234567", "npm_0123456789abcdefghijABCDEFGHIJ012345",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "mcpweb_pat_abc_0123456789abcdefghijABCDEFGHIJ0123456789abc_9f8e", "postgres://app:hunter22@db:5432/x",
    "password=hunter2hunter2", "DB_PASSWORD = 's3cr3t-value'", '{"api_key": "0123456789abcdef"}', "X-Api-Key: 0123456789abcdef",
    "client_secret=abcdefghijkl", "token: a1b2c3d4e5f6", "--token=abcdefghijkl", 'env: "{\\"token\\": \\"a1b2c3d4e5f6\\"}"',
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END RSA PRIVATE KEY-----",
]
LEFT_ALONE = [
    "The token expired; ask the bearer of this letter.", "bearer token is missing", "Bearer <token>", "password must have 12 characters",
    "password: required", "token: string", "token=${TOKEN}", "password=********", "max_tokens=4096", "tokens: 1234567890", "token=42",
    "password=<your password>", "password=your-password", "secret: none", "monkey: abc12345678", "keyboard=qwertyuiop", "token == expected",
    "sk-ip this and go on with the next one", "task-0123456789abcdefghijklmno", "passwd=/run/secrets/db", "a://b/c:d", "http://h:8080/p?x=1",
    "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "async def token(self) -> str:", "secret=", "password = getpass()", "AKIA is how they begin", "eyJ is base64 of {\"",
    '{"type": "object", "properties": {"password": {"type": "string"}, "token": {"type": "string"}}}',
]


@pytest.mark.parametrize("text", CAUGHT)
def test_what_looks_like_a_secret_disappears(text: str) -> None:
    out = Redactor().text(text)
    assert MARK in out
    assert Redactor().text(out) == out
    assert streamed(Redactor(), text.encode(), [3]).decode() == out
    assert Redactor(patterns=False).text(text) == text


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_talks_of_secrets_stays(text: str) -> None:
    assert Redactor().text(text) == text
    assert streamed(Redactor(), text.encode(), [5]).decode() == text


@pytest.mark.parametrize(
    "unit",
    ["%61", "\\u0061", "\\", "a", "&amp;", "&#97;", "token=", "secret:", "bearer ", "-----BEGIN PRIVATE KEY-----\n", "eyJaaaaaaaaaa.", "://a:",
     "p@ss/w", "\\\"", "''", "%25", "k9F2vQ7x", "\0k", "\n ", "= ", "a1B2", "\\x61\\141"],
)
def test_no_text_makes_it_slow(unit: str) -> None:
    redactor = Redactor([Sensitive(KEY), Sensitive(PASSWORD), Sensitive("a" * 30), Sensitive("\\\"\\\"\\\"\\\"\\\"\\\"\\\"&&&'a'")])
    text = unit * (256 * 1024 // len(unit))
    started = time.process_time()
    redactor.spans(text.encode())
    assert time.process_time() - started < 1.5


def test_ordinary_text_is_fast() -> None:
    words = random.Random(1).choices(["GET", "/api/v1/items?limit=50", "status=200", "worker-3", "handled", "request", "in", "12 ms\n"], k=150_000)
    text = " ".join(words).encode()
    redactor = Redactor([Sensitive(f"{random.Random(at).getrandbits(160):x}") for at in range(20)])
    started = time.process_time()
    assert redactor.data(text) == text
    rate = len(text) / (time.process_time() - started) / 1e6
    assert rate > 8, f"{rate:.1f} MB/s"  # 30 and more on an idle machine
