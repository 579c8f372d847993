"""Input for tools: what is made fits, what is made wrong is wrong, the same every time, and no schema can hurt."""
from __future__ import annotations

import json
import socket
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpweb.bench.inputs import cases, schema_faults, shrink, value_faults
from mcpweb.errors import TestError
from tests.sizes import size


def of(schema: Any, seed: int = 1, **more: Any) -> list[Any]:
    return cases({"name": "t", "inputSchema": schema}, seed=seed, **more)


def labels(schema: Any, valid: bool) -> str:
    return "\n".join(case.label for case in of(schema, valid=40, invalid=60) if case.valid is valid)


def best(schema: Any, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = of(schema, **more)[0].arguments
    return made


def prop(schema: Any, **more: Any) -> Any:
    """Return the likeliest value of one required property."""
    name = more.pop("name", "x")
    return best({"type": "object", "properties": {name: schema}, "required": [name]}, **more)[name]


TREE = {"type": "object", "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["value"], "additionalProperties": False}
SCHEMAS: dict[str, Any] = {
    "plain": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer", "minimum": 1, "maximum": 9}},
              "required": ["a"], "additionalProperties": False},
    "nested": {"type": "object", "properties": {"o": {"type": "object", "properties": {"k": {"enum": ["x", "y"]}, "l": {"type": "array",
               "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 2, "maxItems": 4, "uniqueItems": True}},
               "required": ["k", "l"]}}, "required": ["o"]},
    "recursive": TREE,
    "defs": {"type": "object", "$defs": {"p": {"type": "object", "properties": {"n": {"$ref": "#/$defs/q"}}, "required": ["n"]},
             "q": {"type": "string", "minLength": 3, "maxLength": 5}}, "properties": {"p": {"$ref": "#/$defs/p"}}, "required": ["p"]},
    "allOf": {"type": "object", "allOf": [{"properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
              {"properties": {"a": {"maximum": 5}, "b": {"type": "boolean"}}, "required": ["b"]}]},
    "oneOf": {"type": "object", "oneOf": [{"properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}, "required": ["kind", "n"]},
              {"properties": {"kind": {"const": "b"}, "s": {"type": "string"}}, "required": ["kind", "s"]}]},
    "conditional": {"type": "object", "properties": {"mode": {"enum": ["fast", "slow"]}, "why": {"type": "string"}}, "required": ["mode"],
                    "if": {"properties": {"mode": {"const": "slow"}}}, "then": {"required": ["why"]}},
    "dependent": {"type": "object", "properties": {"card": {"type": "string"}, "address": {"type": "string"}},
                  "dependentRequired": {"card": ["address"]}},
    "unevaluated": {"type": "object", "allOf": [{"properties": {"a": {"type": "string"}}}], "properties": {"b": {"type": "null"}},
                    "unevaluatedProperties": False},
    "formats": {"type": "object", "properties": {name.replace("-", "_"): {"type": "string", "format": name} for name in (
        "date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "json-pointer", "regex")},
        "required": ["date", "date_time", "email", "uuid", "uri"]},
    "pattern": {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3,}(x|yz)?$"},
                "not": {"type": "string", "pattern": "^(?!-)[a-z]+$"}}, "required": ["code", "not"]},
    "unions": {"type": "object", "properties": {"v": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
               "w": {"type": ["integer", "null"], "minimum": 0}}, "required": ["v", "w"]},
    "open": {"type": "object"},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "tuple": {"type": "object", "properties": {"t": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}],
              "items": False, "minItems": 2}}, "required": ["t"]},
    "contains": {"type": "object", "properties": {"t": {"type": "array", "contains": {"const": 7}}}, "required": ["t"]},
    "multiple": {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 7, "minimum": 10, "exclusiveMaximum": 50}},
                 "required": ["n"]},
    "draft7": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "definitions": {"s": {"type": "string"}},
               "properties": {"s": {"$ref": "#/definitions/s"}, "l": {"type": "array", "items": [{"type": "string"}]}},
               "required": ["s"], "dependencies": {"l": ["s"]}},
    "anchor": {"type": "object", "$defs": {"x": {"$anchor": "thing", "type": "integer"}}, "properties": {"i": {"$ref": "#thing"}}, "required": ["i"]},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_valid_cases_fit_and_invalid_ones_do_not(name: str) -> None:
    schema = SCHEMAS[name]
    made = of(schema)
    good, bad = [case for case in made if case.valid], [case for case in made if not case.valid]
    assert good and len(good) <= 10 and len(bad) <= 15
    assert bad or name in ("open", "unevaluated")
    checks = jsonschema_rs.validator_for(schema, validate_formats=True)
    assert all(checks.is_valid(case.arguments) for case in good)
    assert not any(jsonschema_rs.is_valid(schema, case.arguments) for case in bad)
    assert len({json.dumps(case.arguments, sort_keys=True) for case in made}) == len(made)


def test_the_same_seed_makes_the_same_cases_and_another_seed_others() -> None:
    one, twin, other = of(SCHEMAS["nested"]), of(SCHEMAS["nested"]), of(SCHEMAS["nested"], seed=2)
    assert one == twin and one != other


def test_faults_of_every_kind_are_made_and_named() -> None:
    schema = {"type": "object", "additionalProperties": False, "required": ["n", "s", "e", "l"], "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 9}, "s": {"type": "string", "minLength": 2, "maxLength": 9, "pattern": "^[a-z]+$"},
        "e": {"enum": ["a", "b"]}, "l": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3, "uniqueItems": True},
        "o": {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]}}}
    said = labels(schema, False)
    for expected in ("/n: below the minimum", "/n: above the maximum", "/n: a number in a text", "/n: null", "/s: longer than allowed",
                     "/s: shorter than allowed", "/s: 64 kB", "/s: Unicode", "/s: empty", "/s: does not match the pattern",
                     "/e: not one of the options", "/l: more items than allowed", "/l: an item twice", "/l: empty", "/n: missing", "/o/k: missing",
                     "/mcpwebUnknown: a property that is not allowed", "/n: a fraction for a whole number", "/l/0: a number in a text"):
        assert expected in said, expected
    valid = labels(schema, True)
    for expected in ("/n: minimum", "/n: maximum", "/s: longest", "/s: shortest", "/e: option", "/l: most items", "/o: given", "required only", "with every property"):
        assert expected in valid, expected


def test_fifteen_faults_of_many_properties_are_of_many_kinds() -> None:
    schema = {"type": "object", "additionalProperties": False, "required": [f"p{n}" for n in range(20)],
              "properties": {f"p{n}": {"type": "integer", "minimum": 0, "maximum": 5} for n in range(20)}}
    bad = [case.label.partition(": ")[2] for case in of(schema) if not case.valid]
    assert len(bad) == 15 and len(set(bad)) >= 6 and "missing" in bad and "a property that is not allowed" in bad


def test_pairs_of_boundary_values_meet_in_one_case() -> None:
    schema = {"type": "object", "properties": {name: {"enum": [0, 1]} for name in "abcd"}, "required": list("abcd")}
    rows = [case.arguments for case in of(schema, valid=12) if case.valid]
    for one, other in (("a", "b"), ("a", "d"), ("b", "c"), ("c", "d")):
        assert {(row[one], row[other]) for row in rows} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_the_likeliest_value_comes_from_what_the_schema_says_and_then_from_names() -> None:
    text = {"type": "string"}
    assert prop({**text, "default": "d", "examples": ["e"]}) == "d"
    assert prop({**text, "examples": ["e"], "description": "e.g. 'f'"}) == "e"
    assert prop({**text, "enum": ["b", "a"]}) == "b"
    assert prop({**text, "description": "Zone name (e.g., 'America/New_York', 'Europe/London'). Use 'UTC' if unknown."}) == "America/New_York"
    assert prop({**text, "description": "An amount like 12 EUR"}) == "12"
    assert prop({"type": "integer", "description": "How many, for example 42."}) == 42
    assert prop(text, name="file_path", known={"path": ["/data/a.txt"]}) == "/data/a.txt"
    assert prop({"type": "integer"}, name="issueId", known={"id": [77, 78]}) == 77
    assert prop(text, name="target_timezone") == "UTC" and prop(text, name="homepageUrl").startswith("https://")
    assert prop({**text, "description": "Time to convert in 24-hour format (HH:MM)"}) == "12:30"
    assert prop({**text, "format": "date"}, name="when") == "2024-05-17"
    assert prop({**text, "maxLength": 2}, name="url") != ""


def test_shrinking_keeps_the_fault_and_little_else() -> None:
    asked = []

    def fails(arguments: dict[str, Any]) -> bool:
        asked.append(arguments)
        return "x" in arguments.get("text", "")

    small = shrink({"text": "a" * 30 + "x" + "b" * 30, "other": {"deep": [1, 2, 3]}, "n": 5}, fails)
    assert "x" in small["text"] and len(small) == 1 and len(small["text"]) <= 4 and len(asked) <= 30
    assert shrink({"a": 1}, lambda arguments: False) == {"a": 1}


def _doubling(levels: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"type": "object", "$defs": {**defs, f"d{levels}": {"type": "object"}}, "$ref": "#/$defs/d0"}


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def _of_x(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, "required": ["x"]}


HOSTILE: dict[str, Any] = {
    "doubling references": _doubling(40),
    "deep": _deep(500),
    "very deep": _deep(900),
    "wide": {"type": "object", "properties": {f"p{n}": {"type": "string", "description": "x" * 100} for n in range(20_000)}},
    "in-place loop": {"type": "object", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
    "remote": _of_x({"$ref": "http://127.0.0.1:9/schema.json"}),
    "remote file": _of_x({"$ref": "file:///etc/passwd"}),
    "remote dialect": {"$schema": "http://127.0.0.1:9/meta", "type": "object"},
    "no such reference": _of_x({"$ref": "#/$defs/nothing"}),
    "broken keyword": _of_x({"type": "strong"}),
    "broken pattern": _of_x({"type": "string", "pattern": "("}),
    "no object": ["type"],
    "huge pattern": _of_x({"type": "string", "pattern": "(((a{1000}){1000}){1000}){1000}"}),
}
NASTY: dict[str, Any] = {
    "many branches": _of_x({"anyOf": [{"anyOf": [{"anyOf": [{"const": 1}] * 20}] * 20}] * 20}),
    "evil pattern": _of_x({"type": "string", "pattern": "^(a+)+$"}),
    "evil lookahead": _of_x({"type": "string", "pattern": "^(?=(a|aa|a?)+$)\\1*b?$"}),
    "empty repetition": _of_x({"type": "string", "pattern": "^(?:(?:){900}){900}a$"}),
    "minLength of a gigabyte": _of_x({"type": "string", "minLength": 1 << 30}),
    "minItems of a billion": _of_x({"type": "array", "items": {"type": "integer"}, "minItems": 10**9}),
    "numbers beyond measure": _of_x({"type": "number", "minimum": 1e308, "multipleOf": 1e-308}),
    "integers beyond measure": _of_x({"type": "integer", "minimum": 10**60}),
    "mutual recursion": {"type": "object", "$defs": {"a": {"type": "object", "properties": {f"p{n}": {"$ref": "#/$defs/b"} for n in range(9)}},
                         "b": {"type": "object", "properties": {f"q{n}": {"$ref": "#/$defs/a"} for n in range(9)}}}, "$ref": "#/$defs/a"},
    "required recursion": {"type": "object", "$defs": {"a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/a"}}, "required": ["b"]}},
                           "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]},
    "half characters": {"type": "object", "properties": {"\ud800": {"type": "string", "enum": ["\udfff"]}}, "required": ["\ud800"]},
    "weird keywords": {"type": "object", "properties": {"x": {"minimum": True, "enum": [], "items": 5}}, "required": "x", "allOf": {}},
    "false": _of_x(False),
    "not": {"type": "object", "not": {}},
    "wide enough": {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(1500)}, "required": [f"p{n}" for n in range(1500)]},
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("something connects")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_called_unusable_in_time_and_makes_no_case(name: str, no_network: None) -> None:
    started = time.monotonic()
    assert schema_faults(HOSTILE[name])
    assert of(HOSTILE[name]) == []
    assert time.monotonic() - started < 8.0


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_schema_costs_little_and_what_it_makes_still_fits(name: str, no_network: None) -> None:
    started = time.monotonic()
    for case in of(NASTY[name]):
        assert jsonschema_rs.is_valid(NASTY[name], case.arguments) is case.valid
    schema_faults(NASTY[name])
    assert time.monotonic() - started < 8.0


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_sound_schema_has_no_faults(name: str) -> None:
    assert schema_faults(SCHEMAS[name]) == []


def test_a_reference_to_a_dialect_itself_is_not_remote() -> None:
    assert schema_faults({"type": "object", "properties": {"schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}}) == []
    assert schema_faults({"type": "object", "properties": {"$ref": {"type": "string"}}, "default": {"$ref": "http://x"}}) == []


def test_faults_of_a_value_name_the_place() -> None:
    assert value_faults(SCHEMAS["nested"], {"o": {"k": "x", "l": [1, 2]}}) == []
    (fault,) = value_faults(SCHEMAS["nested"], {"o": {"k": "z", "l": [1, 2]}})
    assert fault.startswith("/o/k: ")
    with pytest.raises(TestError):
        value_faults(_doubling(40), {})
    with pytest.raises(TestError):
        value_faults({"$ref": "http://127.0.0.1:9/x"}, {})
    with pytest.raises(TestError):
        value_faults({"type": "object"}, "\ud800")
    assert value_faults({"type": "string"}, 5)  # the judge that was ended has a successor


def test_a_hundred_tools_cost_seconds() -> None:
    started = time.monotonic()
    for at in range(100):
        assert cases({"name": f"t{at}", "inputSchema": SCHEMAS["nested"]}, seed=3)
    assert time.monotonic() - started < 10.0


NAMES = st.sampled_from(["id", "path", "url", "count", "items", "x", "naïve/~name", "$weird"])
LEAVES = st.one_of(
    st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, st.integers(0, 5), st.integers(0, 9)),
    st.builds(lambda pattern: {"type": "string", "pattern": pattern}, st.sampled_from(["^a+$", "[0-9]{2}", "^(x|yy)*$", "\\w+@\\w+", "^[^\\s/]{1,8}$"])),
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, st.integers(-9, 9), st.integers(0, 20)),
    st.builds(lambda low, more: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + more}, st.integers(-9, 9), st.integers(1, 9)),
    st.builds(lambda step: {"type": "integer", "multipleOf": step}, st.integers(1, 12)),
    st.builds(lambda values: {"enum": values}, st.lists(st.one_of(st.none(), st.booleans(), st.integers(0, 5), st.sampled_from("ab")), min_size=1, max_size=4, unique_by=repr)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"const": [1, {"a": 2}]}, True, {},
                     {"type": "string", "format": "date"}, {"$ref": "#/$defs/shared"}]),
)


def _objects(inner: Any) -> Any:
    return st.builds(
        lambda properties, required, closed: {
            "type": "object", "properties": properties, "required": [name for name in properties if name in required],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(NAMES, inner, max_size=4), st.sets(NAMES), st.booleans(),
    )


TREES = st.recursive(LEAVES, lambda inner: st.one_of(
    _objects(inner),
    st.builds(lambda items, low: {"type": "array", "items": items, "minItems": low, "maxItems": low + 2}, inner, st.integers(0, 2)),
    st.builds(lambda one, other, key: {key: [one, other]}, inner, inner, st.sampled_from(["anyOf", "oneOf", "allOf"])),
), max_leaves=8)


@settings(max_examples=size(25, 1000), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(schema=_objects(TREES), seed=st.integers(0, 999))
def test_for_any_schema_valid_cases_fit_and_invalid_ones_do_not(schema: Any, seed: int) -> None:
    schema = {**schema, "$defs": {"shared": {"type": "string", "minLength": 1}}}
    for case in of(schema, seed):
        assert isinstance(case.arguments, dict)
        for formats in (True, False):
            assert jsonschema_rs.is_valid(schema, case.arguments, validate_formats=formats) is case.valid, case.label
        json.dumps(case.arguments, allow_nan=False)


def test_faults_and_options_of_a_nested_object_are_not_cut_short() -> None:
    member = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 40},
            "tier": {"enum": ["basic", "plus", "gold"]},
            "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 3, "uniqueItems": True},
        },
        "required": ["name", "tier"],
        "additionalProperties": False,
    }
    definition = {"name": "lend", "inputSchema": {"type": "object", "properties": {"member": member}, "required": ["member"]}}
    made = cases(definition, seed=7, valid=36, invalid=90)
    labels = {case.label for case in made if not case.valid}
    assert {"/member/tags: an item twice", "/member/tags/0: empty", "/member/mcpwebUnknown: a property that is not allowed"} <= labels
    assert {case.arguments["member"]["tier"] for case in made if case.valid} == {"basic", "plus", "gold"}
