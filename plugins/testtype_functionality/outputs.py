"""F09 and F10: what results hold, against what was promised and against their own bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcpweb.plugin import CheckResult, TestError

from .base import Attempt, Bench, cut, reproduce, text_of
from .frames import AUTHOR, no_meta
from .mirror import mirrored
from .wire import exchanges

MOST, MOST_VARIED, QUICK_MS = 15, 3, 300.0
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
SURE = KNOWN - {"audio/mpeg", "audio/mp3", "image/apng", "image/pjpeg"} | {"application/zip", "application/gzip"}


def structured(bench: Bench) -> Iterator[CheckResult]:
    """F09: with an outputSchema there is structuredContent, it fits, and a text that repeats it says the same."""
    promised = {str(one["name"]): one["outputSchema"] for one in bench.tools if isinstance(one.get("outputSchema"), dict)}
    failed: dict[str, int] = {}
    judged = 0
    for definition in [one for one in bench.tools if str(one["name"]) in promised][:MOST]:
        _vary(bench, definition)
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


def _vary(bench: Bench, definition: Mapping[str, Any]) -> None:
    """Call a tool as it worked, with another value for one argument it can do without: what was kept may be told again."""
    worked = bench.worked(str(definition["name"]))
    schema = definition.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if worked is None or worked.ms > QUICK_MS or not isinstance(properties, Mapping) or bench.context.remaining_s() < 5:
        return
    needed = schema.get("required") if isinstance(schema, Mapping) else None
    cases = [one.arguments for one in bench.context.inputs(definition, valid=8, invalid=0)]
    for name in [one for one in properties if one not in (needed if isinstance(needed, list) else ())][:MOST_VARIED]:
        rules = properties[name]
        usual = (worked.arguments.get(name), rules.get("default") if isinstance(rules, Mapping) else None)
        other = next((one[name] for one in cases if name in one and one[name] not in usual), None)
        if other is not None:
            bench.call(definition, {**worked.arguments, name: other}, deadline_s=3.0, label=f"/{name}: another")


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
    differs = mirrored(given, text_of(result)) if isinstance(given, dict) else ""
    return (differs, "/content") if differs else ("", "")


def content(bench: Bench) -> Iterator[CheckResult]:
    """F10: base64 decodes, bytes are of the type they claim, URIs are absolute."""
    found: dict[tuple[str, str], tuple[Any, Any]] = {}
    listed: dict[str, str] = {}  # what the list says of each
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
                        listed.setdefault(str(item.get("uri")), essence(item.get("mimeType"))) if key == "resources" else None
                        was = listed.get(str(item.get("uri")), "") if key == "contents" else ""
                        faults = [*_resource_faults(item if item.get("mimeType") or not was else {**item, "mimeType": was})]
                        if was and essence(item.get("mimeType")) not in ("", was):
                            faults.append(f"mimeType: it is listed as {was} and read as {essence(item.get('mimeType'))}")
                        for fault in faults:
                            found.setdefault(("*", fault), (item, {"method": one.method, "params": {"uri": item.get("uri")}}))
            for message in result.get("messages") if isinstance(result.get("messages"), list) else ():  # type: ignore[union-attr]
                part = message.get("content") if isinstance(message, dict) else None
                for fault in _block_faults(part) if isinstance(part, dict) else ():
                    found.setdefault(("*", fault), (part, {"method": one.method, "params": dict(no_meta(one.request))}))
    for attempt in bench.attempts:
        for block in _blocks(attempt.result):
            kind = block.get("resource") if isinstance(block.get("resource"), dict) else block
            was = listed.get(str(kind.get("uri")), "") if isinstance(kind, Mapping) else ""
            if was and isinstance(kind, Mapping) and essence(kind.get("mimeType")) not in ("", was):
                fault = f"mimeType: {str(kind.get('uri'))[:80]} is listed as {was} and given as {essence(kind.get('mimeType'))}"
                found.setdefault((attempt.tool, fault), (block, attempt.request))
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
        if isinstance(mime, str) and not mime.lower().startswith(f"{kind}/"):
            yield f"{kind}: the mimeType {mime[:40]!r} is none of its kind"
    elif kind == "resource" and isinstance(block.get("resource"), dict):
        yield from _resource_faults(block["resource"])
    elif kind == "resource_link":
        yield from _resource_faults(block)


def _resource_faults(item: Mapping[str, Any]) -> Iterator[str]:
    uri, mime = item.get("uri"), item.get("mimeType")
    if isinstance(uri, str) and not URI.match(uri):
        yield f"URI: {uri[:60]!r} is not absolute"
    if "blob" in item:
        yield from _data_faults("blob", item["blob"], mime)
    text, named = item.get("text"), essence(mime)
    if not isinstance(text, str) or not text.strip():
        return
    if named in KNOWN or (named.partition("/")[0] in ("image", "audio", "video") and not named.endswith("xml")):
        yield f"text: it is called {named} and is a text"
    elif (named == "application/json" or named.endswith("+json")) and len(text) < 1_000_000:
        try:
            json.loads(text)
        except ValueError:
            yield f"text: it is called {named} and is no JSON"
        except RecursionError:
            return
    elif named in ("application/xml", "text/xml", "image/svg+xml") and not text.lstrip("\ufeff \r\n\t").startswith("<"):
        yield f"text: it is called {named} and is no XML"


def essence(mime: Any) -> str:
    """Return a media type without its parameters, in small letters."""
    return mime.partition(";")[0].strip().lower() if isinstance(mime, str) else ""


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
    named = essence(mime)
    is_of = next((names for magic, offset, names in MAGIC if head[offset : offset + len(magic)] == magic), None)
    if named in KNOWN and is_of is not None and named not in is_of:
        yield f"{kind}: it is called {named} and its bytes are {is_of[0]}"
    elif named in SURE and is_of is None and head:
        yield f"{kind}: it is called {named} and its bytes are not"
    elif is_of is not None and (named.startswith("text/") or named == "application/json"):
        yield f"{kind}: it is called {named} and its bytes are {is_of[0]}"
