"""The document of a whole set-up: servers, configurations, bindings, cases, schedules; secrets by name, never by value."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from mcpweb.errors import FieldError, InvalidInput
from mcpweb.schemas import test_cases
from mcpweb.schemas.configurations import flatten, load_config_data
from mcpweb.schemas.names import IMAGE, LONGEST_IMAGE, NAME, VARIABLE
from mcpweb.schemas.strict import Flag, Matches

VERSION = 1
KIND = "mcpweb-setup"
LARGEST = 10 << 20
MOST_SERVERS = 1000
_MOST_OF_ONE = 200
NO_VALUES = "a set-up holds no values of secrets: take it out, and give the value after the import"
_SCOPES = ("global", "server", "configuration")
_NEEDS = ("required", "optional", "conditional")
_image = Matches(re.compile(f"{IMAGE.pattern}|sha256:[a-f0-9]{{64}}"), "not an image reference")
_name = Matches(NAME, "not a valid name")
_variable = Matches(VARIABLE, "not a variable name")


class _Part(Schema):
    class Meta:
        unknown = RAISE


class SecretPart(_Part):
    name = fields.String(required=True, validate=_name)
    description = fields.String(load_default="", validate=validate.Length(max=500))
    expires_at = fields.String(load_default=None, allow_none=True, validate=Matches(
        re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,3})?Z"),
        "a time such as 2027-01-31T00:00:00.000Z",
    ))


class OwnSecretPart(SecretPart):
    configuration = fields.String(load_default=None, allow_none=True)


class BindingPart(_Part):
    variable = fields.String(required=True, validate=_variable)
    secret = fields.String(required=True, validate=_name)
    scope = fields.String(required=True, validate=validate.OneOf(_SCOPES))
    needed = fields.String(load_default="required", data_key="as", validate=validate.OneOf(_NEEDS))
    delivery = fields.String(load_default="stdin", validate=validate.OneOf(["stdin", "file", "environment"]))
    when = fields.Dict(keys=fields.String(validate=_variable), values=fields.String(), load_default=None, allow_none=True)
    usage_context = fields.String(load_default="", validate=validate.Length(max=500))


class ConfigurationPart(_Part):
    name = fields.String(required=True, validate=_name)
    description = fields.String(load_default="", validate=validate.Length(max=500))
    is_active = Flag(load_default=False)
    config_data = fields.Dict(required=True)
    bindings = fields.List(fields.Nested(BindingPart), load_default=list, validate=validate.Length(max=_MOST_OF_ONE))


class CasePart(_Part):
    name = fields.String(required=True, validate=_name)
    tool = fields.String(required=True, validate=validate.Length(1, 256))
    arguments = fields.Dict(load_default=dict)
    assertions = fields.List(fields.Dict(), load_default=list)
    is_active = Flag(load_default=True)


class SchedulePart(_Part):
    name = fields.String(required=True, validate=_name)
    types = fields.List(fields.String(), load_default=list, validate=validate.Length(max=50))
    configuration = fields.String(load_default=None, allow_none=True)
    profile = fields.String(load_default="quick", validate=validate.OneOf(["quick", "full"]))
    parameters = fields.Dict(load_default=dict)
    every_minutes = fields.Integer(strict=True, load_default=None, allow_none=True)
    on_new_image = Flag(load_default=False)
    is_active = Flag(load_default=True)


class ServerPart(_Part):
    name = fields.String(required=True, validate=_name)
    image = fields.String(required=True, validate=[validate.Length(max=LONGEST_IMAGE), _image])
    description = fields.String(load_default="", validate=validate.Length(max=500))
    metadata = fields.Dict(load_default=dict)
    pin_policy = fields.String(load_default="block", validate=validate.OneOf(["block", "warn"]))
    secrets = fields.List(fields.Nested(OwnSecretPart), load_default=list, validate=validate.Length(max=_MOST_OF_ONE))
    configurations = fields.List(fields.Nested(ConfigurationPart), load_default=list, validate=validate.Length(max=_MOST_OF_ONE))
    test_cases = fields.List(fields.Nested(CasePart), load_default=list, validate=validate.Length(max=500))
    schedules = fields.List(fields.Nested(SchedulePart), load_default=list, validate=validate.Length(max=_MOST_OF_ONE))


class ChoicesPart(_Part):
    keep_results_days = fields.Integer(strict=True)
    keep_audit_days = fields.Integer(strict=True)


class SetupSchema(_Part):
    schema_version = fields.Integer(strict=True, required=True, data_key="schemaVersion")
    kind = fields.String(load_default=KIND, validate=validate.Equal(KIND, error="this is another kind of document"))
    choices = fields.Nested(ChoicesPart, load_default=dict)
    secrets = fields.List(fields.Nested(SecretPart), load_default=list, validate=validate.Length(max=5000))
    servers = fields.List(fields.Nested(ServerPart), load_default=list)


def load(document: Any, is_secret: Callable[[str, str], bool] = lambda name, value: False) -> dict[str, Any]:
    """Return a checked set-up. Raises InvalidInput with a pointer to each fault; no value that was given is repeated.

    ``is_secret`` tells of a variable and its value whether that is a secret in the open, which is refused.
    """
    if not isinstance(document, Mapping):
        raise InvalidInput("A set-up is a JSON object.", errors=[FieldError("", "an object with schemaVersion and servers")])
    version = document.get("schemaVersion")
    if version != VERSION or isinstance(version, bool):
        detail = "missing" if version is None else f"only {VERSION} is known here"
        raise InvalidInput(
            "This set-up has another version.", errors=[FieldError("/schemaVersion", detail)],
            next_step="Export it from a version of mcpweb that fits.",
        )
    listed = document.get("servers")
    if isinstance(listed, list) and len(listed) > MOST_SERVERS:
        fault = FieldError("/servers", f"{len(listed)} servers")
        raise InvalidInput(f"A set-up has at most {MOST_SERVERS} servers.", errors=[fault])
    try:
        loaded: dict[str, Any] = SetupSchema().load(dict(document))
    except ValidationError as error:
        raise InvalidInput("The set-up is not valid.", errors=[_told(one) for one in flatten(error.messages)]) from None
    if faults := [*_twice(loaded), *_inner(loaded, is_secret)]:
        raise InvalidInput("The set-up is not valid.", errors=faults[:100])
    return loaded


def _told(error: FieldError) -> FieldError:
    if error.detail != "Unknown field.":
        return error
    inside = error.pointer.split("/")
    secret = (len(inside) > 3 and inside[-3] == "secrets") or inside[-1] in ("value", "values", "secret_value")
    return FieldError(error.pointer, NO_VALUES if secret else "not known here")


def _twice(loaded: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from _names(loaded["servers"], "/servers", lambda one: one["name"])
    yield from _names(loaded["secrets"], "/secrets", lambda one: one["name"])
    for at, server in enumerate(loaded["servers"]):
        for part in ("configurations", "test_cases", "schedules"):
            yield from _names(server[part], f"/servers/{at}/{part}", lambda one: one["name"])
        yield from _names(server["secrets"], f"/servers/{at}/secrets", lambda one: (one["configuration"], one["name"]))
        for number, configuration in enumerate(server["configurations"]):
            pointer = f"/servers/{at}/configurations/{number}/bindings"
            yield from _names(configuration["bindings"], pointer, lambda one: one["variable"], "variable")


def _names(parts: Iterable[Mapping[str, Any]], pointer: str, key: Any, field: str = "name") -> Iterator[FieldError]:
    seen = set()
    for at, one in enumerate(parts):
        if key(one) in seen:
            yield FieldError(f"{pointer}/{at}/{field}", "stands there already")
        seen.add(key(one))


def _inner(loaded: dict[str, Any], is_secret: Callable[[str, str], bool]) -> Iterator[FieldError]:
    for at, server in enumerate(loaded["servers"]):
        here = f"/servers/{at}"
        if test_cases.size(server["metadata"]) > 64 * 1024:
            yield FieldError(f"{here}/metadata", "at most 64 KiB")
        names = {one["name"] for one in server["configurations"]}
        for number, one in enumerate(server["secrets"]):
            if one["configuration"] is not None and one["configuration"] not in names:
                yield FieldError(f"{here}/secrets/{number}/configuration", "the server has no such configuration")
        if sum(one["is_active"] for one in server["configurations"]) > 1:
            yield FieldError(f"{here}/configurations", "at most one is active")
        for number, one in enumerate(server["configurations"]):
            try:
                one["config_data"] = load_config_data(one["config_data"]).to_json()
            except InvalidInput as failure:
                yield from _under(f"{here}/configurations/{number}/config_data", failure)
            else:
                for variable, text in one["config_data"]["environment"].items():
                    if is_secret(variable, text):
                        yield FieldError(f"{here}/configurations/{number}/config_data/environment/{variable}", NO_VALUES)
            for place, binding in enumerate(one["bindings"]):
                if (binding["needed"] == "conditional") != bool(binding["when"]):
                    pointer = f"{here}/configurations/{number}/bindings/{place}/when"
                    yield FieldError(pointer, "a conditional binding has a condition, no other has")
        for number, one in enumerate(server["test_cases"]):
            try:
                one["arguments"], one["assertions"] = test_cases.checked(one["arguments"], one["assertions"])
            except InvalidInput as failure:
                yield from _under(f"{here}/test_cases/{number}", failure)
        for number, one in enumerate(server["schedules"]):
            if one["configuration"] is not None and one["configuration"] not in names:
                yield FieldError(f"{here}/schedules/{number}/configuration", "the server has no such configuration")


def _under(pointer: str, failure: InvalidInput) -> list[FieldError]:
    found = [FieldError(pointer + error.pointer, error.detail) for error in failure.errors]
    return found or [FieldError(pointer, failure.detail)]
