"""F09 and F10: what results hold, against what was promised and against their own bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcpweb.plugin import CheckResult, TestError

from .base import Attempt, Bench, cut, reproduce
from .frames import AUTHOR
from .wire import exchanges

MOST = 15
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S", re.S)
BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}\Z")
MAGIC: tuple[tuple[bytes, int, tuple[str, ...]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, ("image/png", "image/apng")),
    (b"\xff\xd8\xff", 0, ("image/jpeg", "image/jpg", "image/pjpeg")),
    (b"GIF87a", 0, ("image/gif",)),
    (b"GIF89a", 0, ("image/gif",)),
    (b"WEBP", 8, ("image/webp",)),
    (b"BM", 0, ("image/bmp", "image/x-bmp")),
    (b"%PDF-", 0, ("application/pdf",)),
    (b"WAVE", 8, ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")),
    (b"ID3", 0, ("audio/mpeg", "audio/mp3")),
    (b"OggS", 0, ("audio/ogg", "application/ogg", "video/ogg", "audio/opus")),
    (b"fLaC", 0, ("audio/flac", "audio/x-flac")),
    (b"PK\x03\x04", 0, ("application/zip",)),
    (b"\x1f\x8b", 0, ("application/gzip", "application/x-gzip")),
)
KNOWN = {name for _, _, names in MAGIC for name in names} - {"application/zip", "application/gzip", "application/x-gzip"}


def structured(bench: Bench) -> Iterator[CheckResult]:
    """F09: with an outputSchema there is structuredContent, it fits, and a text that repeats it says the same."""
    promised = {str(one["name"]): one["outputSchema"] for one in bench.tools if isinstance(one.get("outputSchema"), dict)}
    failed: dict[str, int] = {}
    judged = 0
    for attempt in bench.attempts:
        if attempt.outcome != "ok" or attempt.tool in failed:
            continue
        schema = promised.get(attempt.tool)
        fault, at = _fault(bench, attempt, schema)
        judged += schema is not None
        if fault:
            failed[attempt.tool] = 1
            yield CheckResult(
                "F09",
                "fail",
                f"{fault}",
                tool=attempt.tool,
                key=at,
                severity="medium" if at == "/content" else "high",
                evidence={"result": cut(attempt.result), "schema": cut(schema) if schema else None},
                input=attempt.request,
                next_step=AUTHOR + "clients and models rely on the output schema.",
                reproduce=reproduce(attempt),
            )
    if failed:
        return
    if not promised:
        yield CheckResult("F09", "not_applicable", "No tool promises structured results.")
    elif not judged:
        yield CheckResult("F09", "undecided", "No call of a tool that promises structured results succeeded.")
    else:
        yield CheckResult("F09", "pass", f"{judged} structured results fit the schemas of {len(promised)} tools.")


def _fault(bench: Bench, attempt: Attempt, schema: Any) -> tuple[str, str]:
    result = attempt.result
    if schema is not None:
        if "structuredContent" not in result:
            return "structuredContent is missing, although there is an outputSchema.", "/structuredContent"
        try:
            faults = bench.context.value_faults(schema, result["structuredContent"])
        except TestError:
            faults = []  # a schema that is not usable is F03's business
        if faults:
            return f"structuredContent does not fit the outputSchema: {faults[0][:300]}", "/structuredContent" + faults[
                0
            ].partition(":")[0].rstrip("/")
    given = result.get("structuredContent")
    content = result.get("content")
    if not isinstance(given, dict) or not isinstance(content, list):
        return "", ""
    for block in content:
        text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
        try:
            said = json.loads(text) if isinstance(text, str) and len(text) < 1_000_000 else None
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and set(said) == set(given) and given and not _alike(said, given):
            differ = next(key for key in given if not _alike(said[key], given[key]))
            return f"The text repeats the structured result and differs from it in {differ!r}.", "/content"
    return "", ""


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
    return bool(one == other)


def content(bench: Bench) -> Iterator[CheckResult]:
    """F10: base64 decodes, bytes are of the type they claim, URIs are absolute."""
    found: dict[tuple[str, str], tuple[Any, Any]] = {}
    seen = 0
    for attempt in bench.attempts:
        for block in _blocks(attempt.result):
            seen += 1
            for fault in _block_faults(block):
                found.setdefault((attempt.tool, fault), (block, attempt.request))
    for _, frames in bench.frames():
        for one in exchanges(frames):
            result = one.result or {}
            for key in ("contents", "resources"):
                for item in result.get(key) if isinstance(result.get(key), list) else ():  # type: ignore[union-attr]
                    if isinstance(item, dict):
                        seen += 1
                        for fault in _resource_faults(item):
                            found.setdefault(("*", fault), (item, {"method": one.method, "params": {"uri": item.get("uri")}}))
    for (tool, fault), (block, request) in list(found.items())[:MOST]:
        yield CheckResult(
            "F10",
            "fail",
            f"{fault}.",
            tool=tool,
            key=fault.partition(":")[0],
            evidence={"block": cut(block, 600)},
            input=request,
            next_step=AUTHOR + "clients show content by its type.",
        )
    if not found:
        yield CheckResult(
            "F10",
            "pass" if seen else "not_applicable",
            f"{seen} blocks of content are what they are called." if seen else "No content came.",
        )


def _blocks(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    given = result.get("content")
    for block in given if isinstance(given, list) else []:
        if isinstance(block, dict):
            yield block


def _block_faults(block: Mapping[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind in ("image", "audio"):
        yield from _data_faults(str(kind), block.get("data"), block.get("mimeType"))
        mime = block.get("mimeType")
        if isinstance(mime, str) and "/" not in mime:
            yield f"{kind}: the mimeType {mime[:40]!r} is none"
    elif kind == "resource" and isinstance(block.get("resource"), dict):
        yield from _resource_faults(block["resource"])
    elif kind == "resource_link":
        yield from _resource_faults(block)


def _resource_faults(item: Mapping[str, Any]) -> Iterator[str]:
    uri = item.get("uri")
    if isinstance(uri, str) and not URI.match(uri):
        yield f"URI: {uri[:60]!r} is not absolute"
    if "blob" in item:
        yield from _data_faults("blob", item["blob"], item.get("mimeType"))


def _data_faults(kind: str, data: Any, mime: Any) -> Iterator[str]:
    if not isinstance(data, str):
        return  # F01 says so
    raw = data.encode("ascii", "replace")
    if not BASE64.match(raw) or len(raw) % 4:
        yield f"{kind}: its data is not base64"
        return
    try:
        head = base64.b64decode(raw[:64], validate=True)
    except (binascii.Error, ValueError):
        yield f"{kind}: its data is not base64"
        return
    named = mime.partition(";")[0].strip().lower() if isinstance(mime, str) else ""
    is_of = next((names for magic, offset, names in MAGIC if head[offset : offset + len(magic)] == magic), None)
    if named in KNOWN and is_of is not None and named not in is_of:
        yield f"{kind}: it is called {named} and its bytes are {is_of[0]}"
    elif named in ("image/png", "image/jpeg", "image/gif", "application/pdf") and is_of is None and head:
        yield f"{kind}: it is called {named} and its bytes are not"
