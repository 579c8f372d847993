"""Lines of the protocol to messages and back, with bounds on what decoding a stranger's line may cost.

Decoding holds the interpreter lock whichever thread does it, so the bound is on the work: 16 MiB of text take 20 ms,
but 16 MiB of ``[],[],`` would take seconds. The decoder itself refuses more than 200 levels, NaN and broken UTF-8.
"""
from __future__ import annotations

import json
import re
from typing import Any

from mcp_types import ErrorData
from mcp_types.jsonrpc import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter
from pydantic import ValidationError
from pydantic_core import from_json

from mcpweb.errors import InvalidInput

MOST_VALUES = 200_000
_LARGE = 256 * 1024
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')

_FIELDS = ("jsonrpc", "id", "method", "params", "result", "error")

MALFORMED = object()
"""The data of an error made here for a reply that is no reply, so that who asked need not wait."""


def loads(line: bytes) -> Any:
    """Decode strict JSON of bounded cost. Raises ValueError."""
    if len(line) > _LARGE and _values(line) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError:
        if b"\\u" not in line:
            raise
    # half an emoji, as JavaScript writes what it has cut: readable, but no text that could be stored
    text = json.dumps(json.loads(line), ensure_ascii=False)
    return from_json(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), allow_inf_nan=False)


def _values(line: bytes) -> int:
    """Count what makes decoding slow; commas inside of texts do not."""
    rough = len(line) - len(line.translate(None, b",[{"))
    if rough <= MOST_VALUES:
        return rough
    bare = _STRING.sub(b"", line)
    return len(bare) - len(bare.translate(None, b",[{"))


def parse(line: bytes) -> tuple[Any, Any]:
    """Return the SDK's message and the decoded JSON of a line; (None, …) when it is no JSON-RPC message."""
    try:
        parsed = loads(line)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(parsed, dict):
        return None, parsed
    number = parsed.get("id")
    if isinstance(number, bool) or ("result" in parsed and "error" in parsed):
        return None, parsed
    result = parsed.get("result")
    if (
        parsed.get("jsonrpc") == "2.0" and isinstance(result, dict) and isinstance(number, int | str)
        and "method" not in parsed and "error" not in parsed
    ):
        return JSONRPCResponse.model_construct(jsonrpc="2.0", id=number, result=result), parsed
    try:
        return jsonrpc_message_adapter.validate_python(parsed), parsed
    except (ValidationError, RecursionError):
        return None, parsed


def broken_reply(parsed: Any) -> JSONRPCError | None:
    """Return an error in the place of a reply that names its request and is none; None for anything else."""
    if not isinstance(parsed, dict) or "method" in parsed or not ("result" in parsed or "error" in parsed):
        return None
    number = parsed.get("id")
    if isinstance(number, bool) or not isinstance(number, int | str):
        return None
    error = ErrorData(code=-32600, message="The reply is not a JSON-RPC response", data=MALFORMED)
    return JSONRPCError(jsonrpc="2.0", id=number, error=error)


def encode(message: Any) -> bytes:
    """Return a message as one line. Raises InvalidInput for what JSON cannot say."""
    fields = {name: getattr(message, name) for name in _FIELDS if name in message.model_fields_set}
    if isinstance(fields.get("error"), ErrorData):
        fields["error"] = fields["error"].model_dump(exclude_unset=True)
    try:
        try:
            return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        except UnicodeEncodeError:
            return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The request cannot be written as JSON: {error}.") from None
