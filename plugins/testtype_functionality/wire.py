"""The protocol's schemas, and frames held against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mcpweb.plugin import Frame

FOLDER = Path(__file__).with_name("protocol")
META = "io.modelcontextprotocol/"
CACHED = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read", "server/discover")
OF_F05 = ("resultType", "ttlMs", "cacheScope")
_QUOTED = re.compile(r'"([^"]{1,80})"')


@dataclass(frozen=True)
class Exchange:
    """A request of ours, and what came back with its id."""

    request: Mapping[str, Any]
    reply: Mapping[str, Any] | None
    sent: Frame
    received: Frame | None

    @property
    def method(self) -> str:
        return str(self.request.get("method", ""))

    @property
    def params(self) -> Mapping[str, Any]:
        given = self.request.get("params")
        return given if isinstance(given, Mapping) else {}

    @property
    def result(self) -> Mapping[str, Any] | None:
        given = (self.reply or {}).get("result")
        return given if isinstance(given, Mapping) else None


@dataclass(frozen=True)
class Misfit:
    """A message that does not fit: what it was, where in it, and what the schema says."""

    what: str
    at: str
    said: str
    null: bool
    tool: str
    frame: Mapping[str, Any]
    request: Mapping[str, Any] | None = None

    @property
    def place(self) -> str:
        """The pointer with every index made one: the same place of a list is one finding."""
        return re.sub(r"/\d+(?=/|$)", "/*", self.at)


@cache
def revision(version: str) -> dict[str, Any] | None:
    """Return the schemas of a protocol revision, None for one that is not known."""
    place = FOLDER / f"{version}.json"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", version) or not place.is_file():
        return None
    loaded: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return loaded


@cache
def _validator(version: str, name: str) -> Any:
    import jsonschema_rs

    known = revision(version)
    assert known is not None
    return jsonschema_rs.validator_for({"$ref": f"#/$defs/{name}", "$defs": known["$defs"]}, offline=True)


def exchanges(frames: Sequence[Frame]) -> list[Exchange]:
    """Pair requests of ours with the first reply that has their id."""
    replies: dict[Any, Frame] = {}
    for frame in frames:
        message = frame.message
        if frame.direction == "received" and isinstance(message, dict) and "method" not in message:
            replies.setdefault(_key(message.get("id")), frame)
    found = []
    for frame in frames:
        message = frame.message
        if frame.direction == "sent" and isinstance(message, dict) and isinstance(message.get("method"), str) and "id" in message:
            reply = replies.get(_key(message["id"]))
            found.append(Exchange(message, reply.message if reply else None, frame, reply))  # type: ignore[arg-type]
    return found


def _key(number: Any) -> str:
    return json.dumps(number) if isinstance(number, str | int) else ""


def misfits(frames: Sequence[Frame], version: str) -> Iterator[Misfit]:
    """Yield what does not fit the schemas of a revision; F05's three fields are left to F05."""
    known = revision(version)
    if known is None:
        return
    asked = {_key(one.request["id"]): one for one in exchanges(frames)}
    for frame in frames:
        message = frame.message
        if frame.direction != "received" or message is None:
            continue
        if isinstance(message, list) and version == "2025-03-26":
            continue  # a batch, which this revision alone knows
        if not isinstance(message, dict):
            yield Misfit("message", "", "A message is an object.", False, "*", {"message": str(message)[:200]})
            continue
        yield from _envelope(message)
        method = message.get("method")
        if isinstance(method, str):
            name = known["requests" if "id" in message else "notifications"].get(method)
            if name is not None:
                yield from _faults(version, name, message, method, "*", message, None)
            continue
        number = message.get("id")
        if number is None and "error" in message:
            yield Misfit("error", "/id", "All that was asked had an id, and this error has none.", True, "*", message)
        elif isinstance(number, str) and number.isdecimal() and number in asked:
            yield Misfit("reply", "/id", "The request it answers has a number as its id, and not a text.", False, "*", message)
        exchange = asked.get(_key(number))
        if exchange is None or not isinstance(message.get("result"), dict):
            continue
        name = known["results"].get(exchange.method)
        result = message["result"]
        if result.get("resultType") == "input_required" and "InputRequiredResult" in known["$defs"]:
            name = "InputRequiredResult"
        if name is not None:
            called = exchange.params.get("name") if exchange.method == "tools/call" else None
            tool = called if isinstance(called, str) else "*"
            yield from _faults(version, name, result, exchange.method, tool, message, exchange.request)


def broken(lines: Iterable[bytes]) -> Iterator[Misfit]:
    """Yield what is wrong with lines that are JSON objects, and no messages."""
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and ("jsonrpc" in value or "id" in value):
            yield from _envelope(value)


def stray(lines: Iterable[bytes]) -> list[str]:
    """Return lines that are not JSON; those before the first call are the connection test's business too."""
    found = []
    for line in lines:
        try:
            json.loads(line)
        except RecursionError:
            continue
        except ValueError:
            found.append(line.decode(errors="replace"))
    return found


def _envelope(message: Mapping[str, Any]) -> Iterator[Misfit]:
    def wrong(at: str, said: str) -> Misfit:
        return Misfit("message", at, said, False, "*", message)

    if message.get("jsonrpc") != "2.0":
        yield wrong("/jsonrpc", 'jsonrpc is not "2.0".')
    if "method" in message:
        if "id" in message and (message["id"] is None or not isinstance(message["id"], str | int)):
            yield wrong("/id", "A request's id is a text or a whole number.")
        return
    if ("result" in message) == ("error" in message):
        yield wrong("", "A reply has either a result or an error.")
        return
    if "id" not in message and "result" in message:
        yield wrong("/id", "A result has the id of its request.")
    if "result" in message and not isinstance(message["result"], dict):
        yield wrong("/result", "A result is an object.")
    error = message.get("error")
    if "error" in message and not (
        isinstance(error, dict)
        and isinstance(error.get("message"), str)
        and isinstance(error.get("code"), int)
        and not isinstance(error.get("code"), bool)
    ):
        yield wrong("/error", "An error has a whole number as code and a text as message.")


def _faults(
    version: str,
    name: str,
    value: Mapping[str, Any],
    what: str,
    tool: str,
    frame: Mapping[str, Any],
    request: Mapping[str, Any] | None,
) -> Iterator[Misfit]:
    try:
        for count, error in enumerate(_validator(version, name).iter_errors(value)):
            path = list(error.instance_path)
            missing = _QUOTED.match(error.message) if "required property" in error.message else None
            if (path and path[-1] in OF_F05) or (missing and not path and missing.group(1) in OF_F05):
                continue
            at = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
            at += f"/{missing.group(1)}" if missing else ""
            yield Misfit(what, at, error.message[:300], not missing and _at(value, path) is None, tool, frame, request)
            if count >= 20:
                return
    except (ValueError, TypeError, UnicodeError):  # half characters: the schema has nothing to say
        return


def _at(value: Any, path: Sequence[Any]) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return value
