"""Sentences made in Python are said in the language of the page: names stay, markup stays inert, the data stay English."""
from __future__ import annotations

import ast
import importlib
import re
import time
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from mcpweb import clock, paths
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs, servers
from mcpweb.services import jobs as job_services
from mcpweb.testing.fixtures import Htmx, MakeServer, Visitor
from mcpweb.web import language, words
from mcpweb.web.phrases import LONGEST, Phrases

TEXTS = {
    "There is no server {0}.": "サーバー {0} はありません。",
    "{0} exists already.": "{0} はすでにあります。",
    "{0} cannot be switched off. {1}": "{0} はオフにできません。{1}",
    "It is the application itself.": "アプリケーション本体です。",
    "The job is over already ({0}).": "ジョブはすでに終わっています ({0:word})。",
    "The engine could not start the container: {0}": "エンジンがコンテナーを起動できませんでした: {0}",
    "Run `mcpweb servers pull {0}`.": "`mcpweb servers pull {0}` を実行してください。",
    "Try again.": "もう一度お試しください。",
    "Settings": "設定",
    "{0} {1}: {2}.": "{0}: {1:ours} ({2})。",
    "takes any text": "任意のテキストを受け取ります",
    "The image holds {0} in layer {1}": "イメージのレイヤー {1} に {0} があります",
    "a file of keys": "鍵のファイル",
    "A result comes late. {0}": "結果が遅れて届きます。{0}",
}


@pytest.fixture
def phrases() -> Phrases:
    return Phrases(TEXTS.items(), TEXTS.get, lambda name: {"failed": "失敗"}.get(name, name))


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(paths.PACKAGE.parent / "tools"))
    return importlib.import_module("sentences")


@pytest.mark.parametrize("text, told", [
    ("There is no server alpha.", "サーバー alpha はありません。"),
    ("There is no server Settings.", "サーバー Settings はありません。"),
    ("core cannot be switched off. It is the application itself.", "core はオフにできません。アプリケーション本体です。"),
    ("The job is over already (failed).", "ジョブはすでに終わっています (失敗)。"),
    ("There is no server a. Try again.", "サーバー a はありません。もう一度お試しください。"),
    ("The engine could not start the container: no such file. Run `mcpweb servers pull a`.",
     "エンジンがコンテナーを起動できませんでした: no such file. `mcpweb servers pull a` を実行してください。"),
    ("The engine could not start the container: {0} and {1}", "エンジンがコンテナーを起動できませんでした: {0} and {1}"),
    ("run takes any text: path.", "run: 任意のテキストを受け取ります (path)。"),
    ("The image holds a file of keys in layer 1.", "イメージのレイヤー 1 に鍵のファイルがあります。"),
    ("A result comes late.", "結果が遅れて届きます。"),
])
def test_a_sentence_is_said_with_its_names_and_its_next_step(phrases: Phrases, text: str, told: str) -> None:
    assert phrases.said(text) == told


@pytest.mark.parametrize("text", [
    "", "Nobody knows this sentence.", "This tool of somebody else exists already.", "There is no server alpha", "x" * (LONGEST + 1),
    "error code: 5.", "foreign {0} text: {1}.",
])
def test_what_is_not_ours_stays_as_it_is(phrases: Phrases, text: str) -> None:
    assert phrases.said(text) == text


@pytest.mark.parametrize("piece", [
    "There is no server a. ", "The engine could not start the container: ", "{0} ", ". ", "Try again. ", "a exists already. ",
    "core cannot be switched off. ", "(", "`", "\0",
])
def test_a_text_made_to_cost_time_costs_next_to_none(piece: str) -> None:
    words._said("ja", "There is no server warm.")
    text = (piece * LONGEST)[:LONGEST]
    started = time.process_time()
    words._phrases("ja").said(text)
    assert time.process_time() - started < 0.5


def test_every_sentence_of_the_code_is_said_in_japanese(tool: ModuleType) -> None:
    found = tool.of_code()
    assert len(found) > 900
    filled = {text: re.sub(r"\{(\d+)\}", r"name\1", text) for text in found if ":ours}" not in str(language.has("ja", text))}
    english = [text for text, one in filled.items() if words._said("ja", one) == one]
    assert not english
    lost = [text for text, one in filled.items() if not set(re.findall(r"name\d", one)) <= set(_names(words._said("ja", one)))]
    assert not lost


def _names(text: str) -> list[str]:
    return re.findall(r"name\d", text)


def test_a_new_sentence_is_found_however_it_is_made(tool: ModuleType) -> None:
    source = '''
from mcpweb.errors import Conflict, FieldError, NotFound
_STEP = "Do that first."
_TABLE = {"x": "The {word} of the table is new."}

def refuse(name, flag, error):
    """A docstring is no sentence of the page."""
    log.warning("This is for the log %s.", name)
    sentence = f"{name} is new."
    if flag:
        sentence = "Nothing is new here."
    if error:
        raise NotFound(f"New is {name}, {'quite' if flag else 'hardly'}", next_step=_STEP)
    progress(0.5, "looking for news")
    raise Conflict(sentence, errors=[FieldError("/name", "not " + "new")])
'''
    assert set(tool.of_tree(ast.parse(source))) == {
        "New is {0}, quite", "New is {0}, hardly", "Do that first.", "The {0} of the table is new.", "{0} is new.",
        "Nothing is new here.", "looking for news", "not new",
    }


def test_a_sentence_without_a_translation_is_told(tool: ModuleType) -> None:
    pytest.importorskip("babel")
    messages: Any = importlib.import_module("messages")
    found = messages.collect()
    assert not messages.check("ja", found)
    found.add("A sentence nobody translated {0}.")
    assert [fault for fault in messages.check("ja", found) if "nobody translated" in fault]


def test_a_page_shows_failure_step_and_fault_in_japanese_and_the_api_in_english(visitor: Visitor) -> None:
    visitor.post("/preferences", {"language": "ja"})
    page = visitor.get("/servers/lost%3Cb%3E").text
    assert "サーバー lost&lt;b&gt; はありません。" in page and "There is no server" not in page
    assert "<code>mcpweb servers list</code> ですべて確認できます。" in page
    form = visitor.post("/servers", {"name": "no name!", "image": "x y"}, page="/servers/new").text
    assert "名前として正しくありません" in form and "ハイフン、アンダースコアで 63 文字までにしてください。" in form
    assert "not a valid name" not in form
    visitor.post("/preferences", {"language": "en"})
    assert "There is no server lost&lt;b&gt;." in visitor.get("/servers/lost%3Cb%3E").text


def test_a_notice_is_in_japanese(visitor: Visitor, hx: Htmx) -> None:
    visitor.post("/preferences", {"language": "ja"})
    assert "ジョブ job_none はありません。" in hx.post("/jobs/job_none/cancel").text


def test_jobs_and_states_are_told_in_japanese_and_kept_in_english(
    core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer,
) -> None:
    server = make_server("demo")
    with core.db.writing() as conn:
        running = job_services.draft(actor, "start", subject="server:srv_other", payload={})
        failed = job_services.draft(actor, "pull", subject=f"server:{server.id}", payload={})
        for job in (running, failed):
            jobs.insert(conn, job)
        now = clock.now()
        conn.execute(
            "UPDATE jobs SET state = 'running', message = 'Waiting for the MCP handshake', started_at = ? WHERE id = ?",
            (now, running.id),
        )
        conn.execute(
            "UPDATE jobs SET state = 'failed', finished_at = ?, error = ? WHERE id = ?",
            (now, '{"code": "image_missing", "detail": "The image a<i>b:1 is not on this machine. Run `mcpweb servers pull demo`."}',
             failed.id),
        )
        conn.execute(
            "UPDATE servers SET status = 'error', status_detail = 'The server ended with exit code 3.' WHERE id = ?", (server.id,)
        )
    visitor.post("/preferences", {"language": "ja"})
    listing = visitor.get("/jobs").text
    assert "MCP ハンドシェイクを待っています" in listing
    told = "イメージ a&lt;i&gt;b:1 はこのマシンにありません。<code>mcpweb servers pull demo</code> を実行してください。"
    assert told in listing and told in visitor.get(f"/jobs/{failed.id}").text
    assert "サーバーが終了コード 3 で終了しました。" in visitor.get("/").text
    assert "サーバーが終了コード 3 で終了しました。" in visitor.get("/servers").text
    with core.db.reading() as conn:
        assert servers.get(conn, server.id).status_detail == "The server ended with exit code 3."


def test_an_english_page_loads_no_catalogue(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_said", lambda *_given: pytest.fail("looked up"))
    with app.test_request_context("/"):
        assert words.said("There is no server alpha.") == "There is no server alpha."
