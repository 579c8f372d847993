"""The settings document of a configuration (CONTRACT §4), checked strictly: unknown keys are errors."""
from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from mcpweb.contracts import ConfigData
from mcpweb.errors import FieldError, InvalidInput
from mcpweb.schemas.names import VARIABLE
from mcpweb.schemas.strict import Flag, Matches

_PATH = re.compile(r"/[^\x00-\x1f]{0,254}")
_ABSOLUTE = re.compile(r"/(?!\.\.?(?:/|$))[^\x00:,]{1,1023}")
_SIZE = re.compile(r"[1-9][0-9]{0,9}[kmg]?")
_CAPABILITY = re.compile(r"[A-Z][A-Z_]{2,30}")
_USER = re.compile(r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?")
_TEXT = Matches(re.compile(r"[^\x00]*"), "no zero bytes")
MOST = 100


class MountSchema(Schema):
    class Meta:
        unknown = RAISE

    type = fields.String(required=True, validate=validate.OneOf(["bind", "volume"]))
    source = fields.String(required=True, validate=[validate.Length(1, 1024), _TEXT])
    target = fields.String(required=True, validate=Matches(_ABSOLUTE, "an absolute path inside the container"))
    read_only = Flag(load_default=True)


class LimitsSchema(Schema):
    class Meta:
        unknown = RAISE

    memory_mb = fields.Integer(strict=True, load_default=512, validate=validate.Range(6, 1 << 20))
    cpus = fields.Float(load_default=1.0, validate=validate.Range(0.01, 256))
    pids = fields.Integer(strict=True, load_default=256, validate=validate.Range(1, 32768))


class ConfigDataSchema(Schema):
    class Meta:
        unknown = RAISE

    transport = fields.String(load_default="stdio", validate=validate.OneOf(["stdio", "http"]))
    port = fields.Integer(strict=True, load_default=None, allow_none=True, validate=validate.Range(1, 65535))
    path = fields.String(load_default="/mcp", validate=Matches(_PATH, "a path that begins with /"))
    entrypoint = fields.List(fields.String(validate=_TEXT), load_default=None, allow_none=True, validate=validate.Length(1, MOST))
    command = fields.List(fields.String(validate=_TEXT), load_default=None, allow_none=True, validate=validate.Length(0, MOST))
    environment = fields.Dict(
        keys=fields.String(validate=Matches(VARIABLE, "not a variable name")),
        values=fields.String(validate=[validate.Length(max=32768), _TEXT]),
        load_default=dict, validate=validate.Length(max=MOST),
    )
    network = fields.String(validate=validate.OneOf(["none", "published", "outbound"]))
    mounts = fields.List(fields.Nested(MountSchema), load_default=list, validate=validate.Length(max=MOST))
    tmpfs = fields.Dict(
        keys=fields.String(validate=Matches(_ABSOLUTE, "an absolute path inside the container")),
        values=fields.String(validate=Matches(_SIZE, "a size such as 64m")),
        load_default=lambda: {"/tmp": "64m"}, validate=validate.Length(max=MOST),  # noqa: S108 - inside the container
    )
    limits = fields.Nested(LimitsSchema, load_default=lambda: LimitsSchema().load({}))
    read_only_root = Flag(load_default=True)
    capabilities = fields.List(
        fields.String(validate=Matches(_CAPABILITY, "a name such as NET_BIND_SERVICE")), load_default=list,
        validate=validate.Length(max=40),
    )
    user = fields.String(load_default=None, allow_none=True, validate=Matches(_USER, "user or user:group"))
    tools = fields.List(
        fields.String(validate=validate.Length(1, 256)), load_default=None, allow_none=True, validate=validate.Length(max=1000)
    )
    active_probes = Flag(load_default=False)

    @validates_schema
    def fits_together(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("transport") == "http":
            if data.get("port") is None:
                raise ValidationError("an http server needs the port it listens on", "port")
            if data.get("network") == "none":
                raise ValidationError("an http server needs the network published or outbound", "network")
        targets = [mount["target"] for mount in data.get("mounts", [])] + list(data.get("tmpfs", {}))
        if len(targets) != len(set(targets)):
            raise ValidationError("two mounts or tmpfs share a target", "mounts")


def load_config_data(document: Mapping[str, Any]) -> ConfigData:
    """Return the checked document; absent keys take the hardened defaults. Raises InvalidInput with pointers."""
    if not isinstance(document, Mapping):
        raise InvalidInput("A configuration is a JSON object.")
    try:
        data = ConfigDataSchema().load(dict(document))
    except ValidationError as error:
        raise InvalidInput("The configuration is not valid.", errors=flatten(error.messages)) from None
    data.setdefault("network", "published" if data["transport"] == "http" else "none")
    return ConfigData.from_json(data)


def flatten(messages: Any, pointer: str = "") -> list[FieldError]:
    """Turn marshmallow's nested messages into pointers; given values never appear in them."""
    if isinstance(messages, Mapping):
        found = []
        for key, inner in messages.items():
            step = "" if key == "_schema" else "/" + str(key).replace("~", "~0").replace("/", "~1")[:100]
            found += flatten(inner, pointer + step)
        return found
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        return [FieldError(pointer, str(message)) for message in messages if isinstance(message, str)] + [
            error for message in messages if isinstance(message, Mapping) for error in flatten(message, pointer)
        ]
    return [FieldError(pointer, str(messages))]


def from_cli_options(
    *,
    transport: str = "stdio",
    port: int | None = None,
    path: str = "/mcp",
    env: Sequence[str] = (),
    command: str | None = None,
    network: str | None = None,
    memory: int | None = None,
) -> ConfigData:
    """Return the configuration that a handful of options describe. Raises InvalidInput."""
    environment = {}
    for pair in env:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput("--env is NAME=VALUE.", errors=[FieldError("/environment", "NAME=VALUE")])
        environment[name] = value
    try:
        words = shlex.split(command) if command else None
    except ValueError as error:
        raise InvalidInput(f"The command cannot be split into words: {error}.") from None
    document: dict[str, Any] = {"transport": transport, "port": port, "path": path, "environment": environment}
    if words is not None:
        document["command"] = words
    if network:
        document["network"] = network
    if memory is not None:
        document["limits"] = {"memory_mb": memory}
    return load_config_data(document)
