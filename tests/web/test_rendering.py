"""The one helper that renders, in both dialects of htmx; nonces at compile time; forms from schemas of strangers."""
from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flask import Flask, url_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from mcpweb import clock
from mcpweb.app import create_app
from mcpweb.core import Core
from mcpweb.errors import InvalidInput
from mcpweb.services import arguments
from mcpweb.testing.fixtures import HOST
from mcpweb.web import formats, forms, rendering
from mcpweb.web.hxnonce import HxNonce
from mcpweb.web.watching import charts
from tests.sizes import size

HTMX_4 = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Source": "button#b", "HX-Target": "div#out"}
HTMX_2 = {"HX-Request": "true", "HX-Trigger": "b", "HX-Trigger-Name": "n", "HX-Target": "out"}


def _whole(headers: dict[str, str]) -> dict[str, str]:
    """Return what version 4 says when it changes the whole body."""
    return {"HX-Request-Type": "full"} if "HX-Request-Type" in headers else {}


def test_a_boosted_form_that_changes_a_part_asks_for_a_fragment(app: Flask) -> None:
    with app.test_request_context("/servers", base_url=f"http://{HOST}", headers={**HTMX_4, "HX-Boosted": "true"}):
        assert rendering.is_partial()


@pytest.mark.parametrize("headers", [HTMX_4, HTMX_2])
def test_both_dialects_ask_for_fragments(app: Flask, headers: dict[str, str]) -> None:
    with app.test_request_context("/servers", base_url=f"http://{HOST}", headers=headers):
        assert rendering.is_partial()
    with app.test_request_context("/servers", headers={**headers, **_whole(headers), "HX-Boosted": "true"}):
        assert not rendering.is_partial()
    with app.test_request_context("/servers", headers={**headers, "HX-Request-Type": "full"}):
        assert not rendering.is_partial()


def test_an_action_is_a_redirect_for_a_form_and_a_fact_for_htmx(app: Flask) -> None:
    with app.test_request_context("/x", method="POST"):
        answer = rendering.done("/servers", event="server-changed")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/servers") and "HX-Trigger" not in answer.headers
    with app.test_request_context("/x", method="POST", headers=HTMX_4):
        answer = rendering.done("/servers", event="server-changed")
        assert (answer.status_code, answer.headers["HX-Trigger"], answer.get_data()) == (204, "server-changed", b"")


@pytest.mark.parametrize(
    ("source", "stamped"),
    [
        ("<a hx-get='/x'>", True), ('<div id="a" {% if x %} hx-get="/x"{% endif %}>', True), ("<p\n hx-post='/y'>", True),
        ('<a title="{{ a > b }}" hx-get="/x">', True), ('<a title="hx-get=x">', False), ("<a href='/hx-get'>", False),
        ("hx-get='/x'", False), ("{{ '<a hx-get=x>' if false }}", True),
    ],
)
def test_the_nonce_is_stamped_where_our_own_tags_speak_htmx(app: Flask, source: str, stamped: bool) -> None:
    extension = HxNonce(app.jinja_env)
    assert ("hx-nonce" in extension.preprocess(source, None)) is stamped


def test_markup_that_arrives_as_data_never_gets_a_nonce(app: Flask) -> None:
    with app.test_request_context("/"):
        template = app.jinja_env.from_string("<a hx-get='/x'>{{ given }}</a>", globals=None)
        text = template.render(given="<b hx-get='/y'>")
        assert text.count("hx-nonce") == 1 and "&lt;b" in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12,
)
WORDS = ("type", "properties", "required", "enum", "default", "examples", "description", "anyOf", "items", "minimum", "pattern",
         "maxLength", "minLength", "format", "maximum", "$ref", "oneOf", "allOf", "const", "title", "minItems")
SCHEMA = st.recursive(
    JSON,
    lambda inner: st.dictionaries(
        st.sampled_from(WORDS), inner | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_size=5
    ),
    max_leaves=12,
)
OBJECT = st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=5), SCHEMA)})
WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(schema=SCHEMA | OBJECT)
@settings(max_examples=size(60, 2000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_schema_breaks_the_form(schema: Any) -> None:
    fields = list(forms.leaves(forms.fields(schema)))
    assert len({field.pointer for field in fields}) == len(fields) <= forms.MOST_FIELDS
    given = {field.pointer: "1" for field in fields} | {f"n:/{name}": "2" for name in (schema if isinstance(schema, dict) else {})}
    forms.fields(schema, given)
    try:
        arguments.faults_of(schema, forms.read(schema, given))
    except InvalidInput as fault:
        assert fault.errors
    forms.texts(schema, {"a": {"b": 1}})
    forms.holds(schema, {"a": [1, {"b": None}]})


PLAIN: dict[str, Any] = {
    "type": "object", "properties": {
        "s": {"type": "string"}, "n": {"type": "number"}, "i": {"type": ["integer", "null"]}, "b": {"type": "boolean"},
        "e": {"enum": [1, "two", None, {"three": 3}]}, "o": {"type": "object", "properties": {"a/b~c": {"type": "string"}}},
        "l": {"type": "array"}, "m": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/pair"}}, "names": {"type": "array", "items": {"type": "string"}},
        "shape": {"oneOf": [
            {"type": "object", "required": ["kind", "r"], "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}},
            {"type": "object", "required": ["kind", "a"], "properties": {"kind": {"const": "box"}, "a": {"type": "integer"}}},
            {"type": "string"},
        ]},
    },
    "$defs": {"pair": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"$ref": "#/$defs/number"}}}, "number": {"type": "integer"}},
}


@given(st.fixed_dictionaries({}, optional={
    "s": WORD, "n": st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9),
    "i": st.integers(), "b": st.booleans(), "e": st.sampled_from([1, "two", {"three": 3}]), "l": st.lists(JSON, min_size=1),
    "o": st.fixed_dictionaries({"a/b~c": WORD}), "names": st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1),
    "rows": st.lists(st.fixed_dictionaries({"k": WORD, "v": st.integers()}), min_size=1, max_size=5),
    "shape": WORD | st.fixed_dictionaries({"kind": st.just("circle"), "r": st.floats(-9, 9)})
    | st.fixed_dictionaries({"kind": st.just("box"), "a": st.integers()}),
}))
@settings(max_examples=size(60, 2000), deadline=None)
def test_arguments_survive_the_way_through_the_form(given_arguments: dict[str, Any]) -> None:
    texts = forms.texts(PLAIN, given_arguments)
    assert json.dumps(forms.read(PLAIN, texts), sort_keys=True) == json.dumps(given_arguments, sort_keys=True)


ROWS: dict[str, Any] = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}},
                        "deep": {"type": "array", "items": {"type": "object", "properties": {"in": {"type": "array", "items": {"type": "integer"}}}}}}}


def test_rows_are_added_and_dropped_wherever_they_are() -> None:
    texts = forms.texts(ROWS, {"tags": ["a", "b", "c"], "deep": [{"in": [1]}, {"in": [2, 3]}, {"in": [4]}]})
    texts = forms.changed(texts, "drop:/tags/0")
    assert forms.read(ROWS, texts)["tags"] == ["b", "c"]
    texts = forms.changed(forms.changed(texts, "drop:/deep/0"), "add:/deep/0/in") | {"/deep/0/in/2": "9"}
    assert forms.read(ROWS, texts)["deep"] == [{"in": [2, 3, 9]}, {"in": [4]}]
    for wish in ("drop:/tags/7", "drop:/tags/x", "drop:", "add:", "pick:", "nonsense"):
        forms.fields(ROWS, forms.changed(texts, wish))


def test_what_a_form_has_no_place_for_is_edited_as_json() -> None:
    assert forms.holds(ROWS, {"tags": ["a"]})
    assert not forms.holds(ROWS, {"tags": ["a"], "more": 1}), "a member the schema does not name"
    assert not forms.holds(ROWS, {"tags": ["a", 2]}), "a row of another kind"
    assert not forms.holds(ROWS, {"tags": ["a"] * (forms.MOST_ROWS + 1)}), "more rows than are shown"


def test_a_definition_that_holds_itself_ends(app: Flask) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"list": {"$ref": "#/$defs/node"}, "own": {"$ref": "#/$defs/own"},
              "far": {"$ref": "https://example.org/x"}}, "$defs": {"node": node, "own": {"$ref": "#/$defs/own"}}}
    kinds = {field.pointer: field.kind for field in forms.leaves(forms.fields(schema))}
    assert kinds["/own"] == kinds["/far"] == "json" and kinds["/list/n"] == "integer" and len(kinds) < 10


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", "٣", "0x10", " ", "9" * 5000])
def test_what_json_does_not_call_a_number_is_none(text: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}, "i": {"type": "integer"}}}
    for name in ("n", "i"):
        with pytest.raises(InvalidInput):
            forms.read(schema, {f"/{name}": text})


def test_a_schema_without_end_is_cut(app: Flask) -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        deep = {"type": "object", "properties": {"a": deep}}
    wide = {"type": "object", "properties": {f"p{n}": {"enum": list(range(5000))} for n in range(5000)}}
    started = time.process_time()
    assert [field.kind for field in forms.leaves(forms.fields(deep))] == ["json"]
    found = forms.fields(wide)
    assert len(found) == forms.MOST_FIELDS and len(found[0].choices) == 200
    assert time.process_time() - started < 1


def test_an_evil_pattern_costs_nothing() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    started = time.perf_counter()
    assert arguments.faults_of(schema, {"a": "a" * 40 + "!"})
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("ms", "said"),
    [(None, "–"), (0.5, "0.50 ms"), (12.4, "12 ms"), (1500, "1.5 s"), (61_000, "1 min 1 s"), (3_600_000, "60 min 0 s")],
)
def test_durations_are_said_in_one_unit(ms: float | None, said: str) -> None:
    assert formats.duration(ms) == said


@pytest.mark.parametrize(("count", "said"), [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10**12, "931 GiB")])
def test_sizes_are_said_in_one_unit(count: float | None, said: str) -> None:
    assert formats.size(count) == said


def test_a_document_without_end_is_cut() -> None:
    assert len(formats.document(["x" * 100] * 10_000)) < formats.LONGEST_DOCUMENT + 10


def test_charts_stay_inside_their_frame() -> None:
    sample = {"at": clock.now(), "cpu_percent": 0.0, "memory_bytes": 0, "memory_limit": 0, "pids": 0, "rx_bytes": 0, "tx_bytes": 0}
    assert charts([]) == []
    for count in (1, 2, 120):
        for chart in charts([sample | {"cpu_percent": float(n), "rx_bytes": n * 10} for n in range(count)]):
            for point in chart.line[1:].split(" L"):
                x, y = map(float, point.split())
                assert 0 <= x <= 120 and 0 <= y <= 40


def test_a_sentence_shows_its_commands_as_code_and_nothing_of_it_becomes_markup() -> None:
    assert str(formats.prose("Run `mcpweb keys <b>`, then `x`.")) == (
        "Run <code>mcpweb keys &lt;b&gt;</code>, then <code>x</code>."
    )
    assert str(formats.prose("half `a <i>")) == "half `a &lt;i&gt;" and formats.prose(None) == ""


def test_what_builds_an_address_is_compiled_when_the_first_one_is_built(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_now = Rule._compile_builder
    monkeypatch.setattr(Rule, "_compile_builder", lambda rule, append: (compiled.append(rule.rule), compile_now(rule, append))[1])
    app = create_app(core)
    assert compiled == []
    with app.test_request_context():
        for _ in range(2):
            assert url_for("servers.show", server_id="a b", tab=1).endswith("/servers/a%20b?tab=1")
    assert compiled == ["/servers/<server_id>"]
