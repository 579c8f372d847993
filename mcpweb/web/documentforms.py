"""The form of a configuration: its document as fields, and posted fields as a document again."""
from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from mcpweb.errors import FieldError, InvalidInput
from mcpweb.web.limits import check_depth

BLANK_MOUNTS = 2
_MOUNT = ("mount_type", "mount_source", "mount_target", "mount_access")


@dataclass(frozen=True)
class MountRow:
    type: str = "bind"
    source: str = ""
    target: str = ""
    access: str = "ro"


def values(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the fields show of a checked document."""
    limits = document.get("limits", {})
    allowed = document.get("tools")
    return {
        "transport": document["transport"], "port": document.get("port") or "", "path": document.get("path", "/mcp"),
        "entrypoint": shlex.join(document.get("entrypoint") or ()), "command": shlex.join(document.get("command") or ()),
        "environment": _lines(document.get("environment", {})), "tmpfs": _lines(document.get("tmpfs", {})),
        "network": document.get("network", ""), "memory_mb": limits.get("memory_mb", ""), "cpus": limits.get("cpus", ""),
        "pids": limits.get("pids", ""), "capabilities": " ".join(document.get("capabilities", ())),
        "user": document.get("user") or "", "writable_root": not document.get("read_only_root", True),
        "active_probes": bool(document.get("active_probes")), "tools_mode": "all" if allowed is None else "some",
        "tools": list(allowed or ()), "more_tools": "",
        "mounts": [
            MountRow(mount["type"], mount["source"], mount["target"], "ro" if mount.get("read_only", True) else "rw")
            for mount in document.get("mounts", ())
        ],
    }


def given(form: MultiDict[str, str]) -> dict[str, Any]:
    """Return posted fields as the form shows them again."""
    return {
        **form.to_dict(), "writable_root": "writable_root" in form, "active_probes": "active_probes" in form,
        "tools": form.getlist("tool"), "mounts": _mounts(form),
    }


def read(form: MultiDict[str, str]) -> dict[str, Any]:
    """Return the document that a posted form describes; the schema judges it afterwards. Raises InvalidInput."""
    if "config_data" in form:
        return parsed(form["config_data"])
    faults: list[FieldError] = []

    def number(name: str, kind: Callable[[str], Any], pointer: str) -> Any:
        text = form.get(name, "").strip()
        try:
            return kind(text) if text else None
        except ValueError:
            faults.append(FieldError(pointer, "a number"))
            return None

    def words(name: str) -> list[str] | None:
        try:
            return shlex.split(form.get(name, "")) or None
        except ValueError as error:
            faults.append(FieldError(f"/{name}", f"cannot be split into words: {error}"))
            return None

    document: dict[str, Any] = {
        "transport": form.get("transport", "stdio"), "port": number("port", int, "/port"),
        "path": form.get("path", "").strip() or "/mcp", "entrypoint": words("entrypoint"), "command": words("command"),
        "environment": _pairs(form.get("environment", ""), "/environment", faults),
        "tmpfs": _pairs(form.get("tmpfs", ""), "/tmpfs", faults),  # noqa: S108 - a pointer
        "limits": {
            "memory_mb": number("memory_mb", int, "/limits/memory_mb"), "cpus": number("cpus", float, "/limits/cpus"),
            "pids": number("pids", int, "/limits/pids"),
        },
        "read_only_root": "writable_root" not in form, "active_probes": "active_probes" in form,
        "capabilities": form.get("capabilities", "").replace(",", " ").split(), "user": form.get("user", "").strip() or None,
        "mounts": [
            {"type": row.type, "source": row.source, "target": row.target, "read_only": row.access != "rw"}
            for row in _mounts(form)
        ],
        "tools": None,
    }
    if form.get("network"):
        document["network"] = form["network"]
    if form.get("tools_mode") == "some":
        document["tools"] = list(dict.fromkeys([*form.getlist("tool"), *form.get("more_tools", "").split()]))
    document["limits"] = {name: value for name, value in document["limits"].items() if value is not None}
    if faults:
        raise InvalidInput("Some fields cannot be read.", errors=faults)
    return document


def parsed(text: str) -> dict[str, Any]:
    """Return a document that was written as JSON. Raises InvalidInput."""
    try:
        document = json.loads(text)
        check_depth(document)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InvalidInput("A configuration is a JSON object.")
    return document


def fits(document: Mapping[str, Any]) -> bool:
    """Tell whether fields can hold a document; values of several lines and names with spaces are edited as JSON."""
    texts = [*document.get("environment", {}).values(), *document.get("tmpfs", {}).values()]
    names = document.get("tools") or ()
    return not any("\n" in text or "\r" in text for text in texts) and not any(len(name.split()) != 1 for name in names)


def faults_by_field(errors: Sequence[FieldError]) -> dict[str, str]:
    """Return each fault under the name of the field that shows it."""
    found: dict[str, str] = {}
    for error in errors:
        name, *rest = error.pointer.removeprefix("/").split("/")
        if name == "limits" and rest:
            name, rest = rest[0], rest[1:]
        found.setdefault(name, f"{' / '.join(rest)}: {error.detail}" if rest else error.detail)
    return found


def _mounts(form: MultiDict[str, str]) -> list[MountRow]:
    rows = zip(*(form.getlist(name) for name in _MOUNT), strict=False)
    return [MountRow(kind, source.strip(), target.strip(), way) for kind, source, target, way in rows if source or target]


def _lines(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in pairs.items())


def _pairs(text: str, pointer: str, faults: list[FieldError]) -> dict[str, str]:
    """Return NAME=VALUE lines; a value that a person broke into lines can be written as JSON only."""
    found = {}
    for line in text.replace("\r", "").split("\n"):
        if line.strip():
            name, equals, value = line.partition("=")
            if not equals:
                faults.append(FieldError(pointer, "one NAME=VALUE a line"))
            found[name.strip()] = value
    return found
