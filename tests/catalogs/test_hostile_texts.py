"""Texts that want to be trouble: bombs, depth, size, templates, odd types. Parsers end soon and raise InvalidInput only."""
from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpweb import catalogs
from mcpweb.catalogs import templates
from mcpweb.errors import InvalidInput
from mcpweb.schemas.names import NAME
from tests.catalogs import samples

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS, "a: &a [*a]\n", "[" * 100_000, "{" * 100_000, '{"a":' * 100_000, "- " * 100_000 + "x", "? " * 50_000, "[" * 100_000 + "]" * 100_000,
        '{"a": ' * 33 + "1" + "}" * 33, "x" * ((10 << 20) + 1), "é" * (6 << 20), '{"a": "\ud800"}', "\ud800", "a: \x00", "\x1b[31mred", "a: \x07",
        "registry:\n" + "".join(f" a{i}: {{image: x}}\n" for i in range(5001)), "[" + "1," * 20_000 + "1]", "a: &a 1\n" + "b: [" + "*a," * 200 + "1]\n",
        '{"a": NaN}', '{"a": ' + "9" * 5000 + "}", "a: " + "9" * 5000, "registry: {a: {image: " + "9" * 5000 + "}}", '{"mcpServers": {"a": {"command": "' + "x " * 200_000 + '"}}}',
        '{"a": 1, "b": {"c": 1, "c": 2}}', '{"a": "\\ud800"}', "%YAML 9.9\n---\na: 1", "!!binary aGk=", "a: !<tag:evil> b", "{a: b, ? [c]: d}", '"', "'", "`", "@", "%", "|", "> ",
    ],
)  # fmt: skip
def test_a_bomb_is_refused_at_once(text: str) -> None:
    before = time.process_time()
    with pytest.raises(InvalidInput) as caught:
        catalogs.read(text)
    assert time.process_time() - before < 3.0
    assert all(len(error.detail) < 400 for error in caught.value.errors) and len(caught.value.errors) <= 20


def test_names_with_markup_terminal_codes_and_turned_writing_give_a_plain_name_and_keep_their_text_for_the_page() -> None:
    nasty = ["<script>alert(1)</script>", "\x1b[31mred", "\u202eevil", "a" * 10_000, "{{7*7}}", "${HOME}", "..", "", "'; DROP TABLE servers", "日本語"]
    text = json.dumps({"mcpServers": {name: {"command": "docker", "args": ["run", "-i", "example/x"]} for name in nasty}})
    for draft in catalogs.read(text).drafts:
        assert NAME.fullmatch(draft.name) and draft.image == "example/x"


@pytest.mark.parametrize("template", ["{{a.b|exec:id}}", "{{", "}}", "{{a.b", "{{ 7*7 }}", "{{a.b|volume|shell}}", "{% for x in y %}{{x}", "{{a['b']}}", "{{a.__class__.__mro__}}x{{"])
def test_a_template_that_is_not_a_plain_place_is_lost_and_never_evaluated(template: str) -> None:
    text = json.dumps({"registry": {"a": {"image": "x/y", "command": [template], "volumes": [template], "user": template, "env": [{"name": "V", "value": template}]}}})
    (draft,) = catalogs.read(text).drafts
    assert {item.code for item in draft.lost} & {"template", "mount", "user"}
    assert not draft.command and not draft.mounts and not draft.user and draft.variables[0].value == ""


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert templates.filled("--x={{a}}", {"a": "{{b}}", "b": "secret"}) == ["--x={{b}}"]
    assert templates.filled("{{p|volume-target|into}}", {"p": "/a\n/b\n"}) == ["/a", "/b"]
    assert templates.filled("{{a}}", {}) == [] and templates.filled("{{a|or:3}}", {}) == ["3"]


_SCALARS = st.none() | st.booleans() | st.integers(-5, 70_000) | st.floats(allow_nan=False) | st.text(max_size=12) | st.sampled_from([
    "docker", "run", "-e", "A=b", "--mount", "type=bind", "example/x:1", "{{a.b}}", "${X}", "-v", "a:/b:ro", "stdio", "oci", "npm", "npx", "{p}", "remote", "image",
])
_NAMES = st.sampled_from([
    "registry", "mcpServers", "servers", "server", "packages", "remotes", "name", "image", "type", "env", "secrets", "config", "properties", "volumes", "command",
    "args", "run", "about", "tools", "source", "transport", "url", "identifier", "registryType", "registry_type", "environmentVariables", "runtimeArguments",
    "packageArguments", "value", "variables", "required", "isSecret", "snapshot", "mcp", "inputs", "metadata", "_meta", "user", "remote", "oauth", "a", "default",
])
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=6), max_leaves=40)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_NAMES, _VALUES, max_size=6) | st.lists(_VALUES, max_size=4))
def test_whatever_shape_a_text_has_it_is_read_or_refused_and_what_is_read_can_be_written_down(value: object) -> None:
    try:
        found = catalogs.read(json.dumps(value))
    except InvalidInput as error:
        assert error.errors
        return
    for draft in found.drafts:
        assert NAME.fullmatch(draft.name)
        assert catalogs.Draft.from_json(json.loads(json.dumps(draft.to_json()))) == draft


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(samples.ALL)), st.integers(0, 4000), st.integers(0, 60), st.text(max_size=8))
def test_a_sample_with_a_piece_torn_out_is_read_or_refused(kind: str, at: int, length: int, put: str) -> None:
    text = samples.ALL[kind]
    at %= len(text)
    try:
        catalogs.read(text[:at] + put + text[at + length :])
    except InvalidInput as error:
        assert error.errors


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10) | st.sampled_from(["-e", "-v", "--mount", "-p", "-it", "--network", "--", "-", "--x=", "a=b", "-u"]), max_size=8))
def test_any_words_after_docker_run_are_read(words: list[str]) -> None:
    draft = catalogs.read(json.dumps({"mcpServers": {"a": {"command": "docker", "args": ["run", *words]}}})).drafts[0]
    assert draft.image or draft.why_not in ("no_image", "bad_image")
