"""The page of the API: all operations by area, and each with what it takes and answers."""
from __future__ import annotations

import re
import shlex

import pytest
from flask import Flask

from mcpweb.rest.document import AREAS, operations
from mcpweb.testing.fixtures import NewVisitor, Visitor, check_markup
from mcpweb.web import api


def test_all_operations_are_listed_by_area_and_each_leads_to_its_page(app: Flask, visitor: Visitor) -> None:
    text = visitor.get("/api").text
    check_markup(app, text)
    listed = re.findall(r'href="/api\?operation=([\w.]+)"', text)
    assert sorted(listed) == sorted(operation["operationId"] for _, _, operation in operations(app))
    assert set(api.AREAS) == set(AREAS.values()) and all(f"<h2>{area}</h2>" in text for area in AREAS.values())
    assert len(re.findall(r"<\w", text)) < 1500 and 'href="/api/v1/openapi.json"' in text
    assert 'href="/api"' in visitor.get("/settings").text


def test_each_page_names_all_that_the_document_does(app: Flask, visitor: Visitor) -> None:
    for method, path, operation in operations(app):
        text = visitor.get(f"/api?operation={operation['operationId']}").text
        assert f">{method.upper()} {path}</h1>" in text
        for parameter in operation["parameters"]:
            assert f"<code>{parameter['name']}</code>" in text
        for status in operation["responses"]:
            assert f"<td><code>{status}</code></td>" in text
    check_markup(app, text)
    assert "<code>config_data.limits" in visitor.get("/api?operation=servers.create").text
    assert visitor.get("/api?operation=none").status_code == 404


def test_the_command_is_the_readers_own_and_whole(visitor: Visitor) -> None:
    text = visitor.get("/api?operation=servers.create").text
    shown = re.search(r"<pre [^>]*>(curl.*?)</pre>", text, re.S)
    assert shown is not None
    command = shown[1].replace("&#34;", '"').replace("&#39;", "'").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    words = shlex.split(command)
    assert words[:4] == ["curl", "-sS", "-X", "POST"] and words[-1] == "http://127.0.0.1:8080/api/v1/servers"
    assert '"name": "weather"' in words[words.index("-d") + 1]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_frame_speaks_the_readers_language(visitor: Visitor, language: str) -> None:
    visitor.client.set_cookie("mcpweb-language", language, domain="127.0.0.1")
    text = visitor.get("/api").text
    assert ("試す" in text) == (language == "ja") and 'lang="en">Add a server' in text


def test_signed_out_it_leads_to_the_sign_in_page(new_visitor: NewVisitor) -> None:
    answer = new_visitor().get("/api")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=%2Fapi")
