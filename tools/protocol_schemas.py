"""Write the JSON Schemas of what MCP servers send, one file for each revision, from the wire models of ``mcp_types``.

    python tools/protocol_schemas.py [--check]

The models of 2025-11-25 and 2026-07-28 are taken as they are; the three older revisions are that of 2025-11-25 less what
was not there yet (``LATER``), so that what a newer revision typed is a free extra field in an older one. Whatever is
unknown to a schema is allowed, as the protocol demands; an optional field is absent or typed, never null.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

FOLDER = Path(__file__).resolve().parents[1] / "plugins" / "testtype_functionality" / "protocol"
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
DROPPED = ("title", "description", "default", "examples", "deprecated", "additionalProperties")

# What came later than a revision: definitions that content may not be, and properties by definition ("*": in all)
LATER: dict[str, dict[str, list[str]]] = {
    "2025-06-18": {"*": ["icons", "websiteUrl", "execution", "tasks"], "Implementation": ["description"],
                   "ServerCapabilities": ["extensions"]},
    "2025-03-26": {"*": ["title", "lastModified", "context", "outputSchema", "structuredContent"],
                   "content": ["ResourceLink"], "TextContent": ["_meta"], "ImageContent": ["_meta"], "AudioContent": ["_meta"],
                   "EmbeddedResource": ["_meta"], "Resource": ["_meta"], "ResourceTemplate": ["_meta"], "Prompt": ["_meta"],
                   "Tool": ["_meta"], "TextResourceContents": ["_meta"], "BlobResourceContents": ["_meta"]},
    "2024-11-05": {"content": ["AudioContent"], "Tool": ["annotations"], "ServerCapabilities": ["completions"],
                   "ProgressNotificationParams": ["message"]},
}


def made(kind: Any) -> dict[str, Any]:
    """Return the schema of a model, its definitions inside."""
    return TypeAdapter(kind).json_schema(by_alias=True, mode="validation", ref_template="#/$defs/{model}")


def compact(node: Any, inside: str = "") -> Any:
    """Return a schema without words for people, without nulls for what is absent, and open to unknown fields."""
    if isinstance(node, list):
        return [compact(item) for item in node]
    if not isinstance(node, dict):
        return node
    if inside in ("properties", "$defs"):
        return {name: compact(inner) for name, inner in node.items()}
    optional = "default" in node and node["default"] is None
    left = {key: value for key, value in node.items() if key not in DROPPED}
    if optional and "anyOf" in left:
        left["anyOf"] = [way for way in left["anyOf"] if way != {"type": "null"}]
        if len(left["anyOf"]) == 1:
            return compact({**{key: value for key, value in left.items() if key != "anyOf"}, **left["anyOf"][0]}, inside)
    if isinstance(node.get("additionalProperties"), dict):
        left["additionalProperties"] = node["additionalProperties"]
    return {key: compact(inner, key) for key, inner in left.items()}


def told_apart(node: Any, defs: dict[str, Any]) -> Any:
    """Turn a choice between types of content into a question for ``type``, so that a fault is told where it is."""
    if isinstance(node, list):
        return [told_apart(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: told_apart(inner, defs) for key, inner in node.items()}
    ways = [way.get("$ref", "").rpartition("/")[2] for way in node.get("anyOf", [])]
    kinds = [defs.get(way, {}).get("properties", {}).get("type", {}).get("const") for way in ways]
    if len(ways) < 2 or None in kinds:
        return node
    rest = {key: inner for key, inner in node.items() if key != "anyOf"}
    chosen = [{"if": {"required": ["type"], "properties": {"type": {"const": kind}}}, "then": {"$ref": f"#/$defs/{way}"}}
              for kind, way in zip(kinds, ways, strict=True)]
    return {**rest, "type": "object", "required": ["type"], "properties": {"type": {"enum": kinds}}, "allOf": chosen}


def older(defs: dict[str, Any], later: dict[str, list[str]]) -> dict[str, Any]:
    """Return definitions without what came later."""
    gone = set(later.get("content", ()))
    left: dict[str, Any] = {}
    for name, node in defs.items():
        if name not in gone:
            drop = {*later.get("*", ()), *later.get(name, ())}
            properties = {key: inner for key, inner in node.get("properties", {}).items() if key not in drop}
            left[name] = without({**node, **({"properties": properties} if "properties" in node else {})}, gone)
    return left


def without(node: Any, gone: set[str]) -> Any:
    if isinstance(node, list):
        return [without(item, gone) for item in node
                if not (isinstance(item, dict) and item.get("$ref", "").rpartition("/")[2] in gone)]
    return {key: without(inner, gone) for key, inner in node.items()} if isinstance(node, dict) else node


def revision(version: str) -> dict[str, Any]:
    """Return the schemas of one revision: results, requests and notifications by method, and the definitions they share."""
    from mcp_types import methods

    defs: dict[str, Any] = {}
    roots: dict[str, dict[str, str]] = {"results": {}, "requests": {}, "notifications": {}}
    for part, table in (("results", methods.SERVER_RESULTS), ("requests", methods.SERVER_REQUESTS),
                        ("notifications", methods.SERVER_NOTIFICATIONS)):
        for (method, spoken), kind in table.items():
            if spoken != version:
                continue
            schema = made(kind)
            defs |= schema.pop("$defs", {})
            if "$ref" in schema:
                name = schema["$ref"].rpartition("/")[2]
            elif "anyOf" in schema:  # a result, or the wish for more input, which says so itself
                name = next(way["$ref"].rpartition("/")[2] for way in schema["anyOf"] if "InputRequired" not in way["$ref"])
            else:
                name = getattr(kind, "__name__", method)
                defs[name] = schema
            roots[part][method] = name
    defs = {name: compact(node) for name, node in sorted(defs.items())}
    for step in ("2025-06-18", "2025-03-26", "2024-11-05"):
        if version <= step:
            defs = older(defs, LATER[step])
    defs = {name: told_apart(node, defs) for name, node in defs.items()}
    return {"revision": version, **roots, "$defs": defs}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for version in REVISIONS:
        text = json.dumps(revision(version), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        place = FOLDER / f"{version}.json"
        if "--check" in sys.argv:
            stale += [version] if not place.is_file() or place.read_text() != text else []
        else:
            place.write_text(text)
    print(f"not as the models say: {', '.join(stale)}" if stale else "the protocol's schemas are as the models say")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
