"""A team's plugin that raises, hangs, exits, returns rubbish or was built for another API, in every hook: the application goes on."""
from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpweb import plugincalls, pluginhost, pluginload, pluginprobe
from mcpweb.app import create_app
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.dao import plugin_events
from mcpweb.errors import Conflict, Failure, NotFound
from mcpweb.events import ServerChanged
from mcpweb.kit.check import HOOKS
from mcpweb.services import health, plugins, servers
from mcpweb.settings import load
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import Visitor, check_markup

ME = Actor.cli("tester")
MODES = {
    "raises": "raise ValueError('boom')", "exits": "raise SystemExit(3)", "interrupts": "raise KeyboardInterrupt",
    "rubbish": "return 5", "a list of rubbish": "return [5]", "a generator that fails": "yield from (1 / 0 for _ in [1])",
    "hangs": "import time; time.sleep(30)",
}
CALLED = [name for name in HOOKS if name not in ("mcpweb_run_test", "mcpweb_authorize")]  # the first runs in a run child
SOUND = '"""Hears."""\nfrom mcpweb.plugin import hookimpl\nmcpweb_api = 1\nheard = []\n\n@hookimpl\ndef mcpweb_track_event(event):\n    heard.append(event)\n'


def source(body: str, hooks: list[str], head: str = "") -> str:
    functions = "".join(f"\n\n@hookimpl\ndef {hook}({', '.join(HOOKS[hook])}):\n    {body}\n" for hook in hooks)
    return f'"""Faulty."""\nfrom mcpweb.plugin import hookimpl\nmcpweb_api = 1\n{head}\n{functions}'


Opened = Callable[..., Core]


@pytest.fixture
def opened(tmp_path: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.setattr(plugincalls, "CALL_S", 0.4)
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    made: list[Core] = []

    def opened(text: str | None = None, **more: str) -> Core:
        if text is not None:
            (folder / "faulty.py").write_text(text)
            (folder / "sound.py").write_text(SOUND)
        core = open_core(load({"MCPWEB_DATA_DIR": str(tmp_path / "data"), "MCPWEB_PLUGINS_DIR": str(folder), **more}), role="web")
        made.append(core)
        return core

    yield opened
    for core in made:
        core.close()


def used(core: Core, runtime: FakeRuntime) -> Visitor:
    """Use the whole application once: pages, a change that is announced, the vault, the runtimes."""
    visitor = Visitor(create_app(core), core, runtime).sign_in()
    for path in ("/", "/plugins", "/settings", "/settings/doctor", "/keys", "/servers", "/test-runs"):
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        check_markup(visitor.app, answer.text)
    assert Visitor(visitor.app, core, runtime).get("/sign-in").status_code == 200
    assert "docker" in core.runtimes and core.vault.cipher("A256GCM") and {"connection", "security"} <= set(core.test_types)
    servers.add(core, ME, name=f"demo-{time.monotonic_ns()}", image="tiny:1")
    return visitor


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "hangs"])
def test_a_fault_in_every_hook_is_told_and_everything_else_goes_on(opened: Opened, runtime: FakeRuntime, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pluginprobe, "refusal", lambda *given: "")  # it loads well, which another test says
    monkeypatch.setattr(pluginhost, "FAULTS", 10_000)
    core = opened(source(MODES[mode], CALLED))
    used(core, runtime)
    core.plugins.ready(core)
    assert "added" in [getattr(one, "change", "") for one in core.plugins.records["sound"].module.heard]  # type: ignore[union-attr]
    assert core.plugins.records["faulty"].state == "loaded"
    with core.db.reading() as conn:
        told = {one.hook for one in plugin_events.recent(conn, "faulty", limit=1000)}
    # what only listens may return what it likes
    listening = set() if mode in ("raises", "exits", "interrupts") else {"mcpweb_track_event", "mcpweb_app_ready"}
    assert set(CALLED) - told <= listening, mode


def test_one_that_hangs_everywhere_costs_its_time_once_and_is_in_quarantine_until_it_is_enabled(opened: Opened, runtime: FakeRuntime) -> None:
    core = opened(source(MODES["hangs"], CALLED))
    visitor = used(core, runtime)
    record = core.plugins.records["faulty"]
    assert record.state == "quarantined" and "did not come back" in record.error
    page = visitor.get("/plugins").text
    assert "faulty is in quarantine" in page and any("quarantine: faulty" in one.sentence for one in health.findings(core))
    assert len([one for one in threading.enumerate() if one.name == "plugin"]) <= 4
    again = opened()
    assert again.plugins.records["faulty"].state == "quarantined", "a restart alone does not bring it back"
    plugins.enable(again, ME, "faulty")
    del sys.modules["mcpweb_plugins.faulty"]  # another process has not loaded it
    (Path(record.origin)).write_text(SOUND)
    assert opened().plugins.records["faulty"].state == "loaded"


def test_faults_add_up_to_a_quarantine_that_every_process_sees_and_ours_never_do(opened: Opened) -> None:
    core, other = opened(source("raise ValueError('boom')", ["mcpweb_track_event"])), opened()
    for _ in range(pluginhost.FAULTS - 1):
        core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert core.plugins.records["faulty"].state == "loaded"
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    for each in (core, other):
        assert each.plugins.records["faulty"].state == "quarantined", each
    for _ in range(pluginhost.FAULTS + 1):
        core.plugins.fail("events_log", "mcpweb_track_event", ValueError("ours"))
    assert core.plugins.records["events_log"].state == "loaded"


def test_faults_that_are_far_apart_do_not_add_up(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pluginhost, "FAULTS_WITHIN_S", -1.0)
    core = opened(source("raise ValueError('boom')", ["mcpweb_track_event"]))
    for _ in range(pluginhost.FAULTS * 2):
        core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert core.plugins.records["faulty"].state == "loaded"


@pytest.mark.parametrize("mode", ["raises", "exits", "rubbish", "hangs"])
def test_a_policy_that_fails_denies_also_from_quarantine_and_the_command_line_can_lift_it(opened: Opened, runtime: FakeRuntime, mode: str) -> None:
    core = opened(source(MODES[mode], ["mcpweb_authorize"]))
    visitor = Visitor(create_app(core), core, runtime).sign_in()
    for _ in range(pluginhost.FAULTS + 2):
        assert visitor.get("/servers").status_code == 403
    assert core.plugins.records["faulty"].state == "quarantined"
    plugins.disable(core, ME, "faulty")
    assert visitor.get("/servers").status_code == 200


@pytest.mark.parametrize(("head", "said"), [
    ("import time; time.sleep(60)", "did not finish loading within"), ("import sys; sys.exit(0)", "tried to exit"),
    ("import os; os._exit(0)", "exit 0"), ("mcpweb_api = 7", "plugin API 7"), ("mcpweb_api = '1'", "plugin API '1'"),
])
def test_one_that_cannot_even_be_loaded_is_left_out_and_not_tried_again(opened: Opened, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, head: str, said: str) -> None:
    monkeypatch.setattr(pluginprobe, "TIME_LIMIT_S", 2)
    core = opened(source("pass", ["mcpweb_track_event"], head))
    assert core.plugins.records["faulty"].state == "broken" and said in core.plugins.records["faulty"].error
    used(core, runtime)
    monkeypatch.setattr(pluginload, "in_child", None)
    assert opened().plugins.records["faulty"].state == "broken", "its hash is known"


def test_one_that_hangs_only_when_it_is_loaded_again_is_left_out_too(opened: Opened, tmp_path: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugincalls, "LOAD_S", 0.5)
    mark = tmp_path / "loaded-once"
    core = opened(source("pass", ["mcpweb_track_event"], f"import os, time\nif os.path.exists({str(mark)!r}):\n    time.sleep(5)\nopen({str(mark)!r}, 'w').close()"))
    assert core.plugins.records["faulty"].state == "broken" and "OverTime" in core.plugins.records["faulty"].error
    used(core, runtime)


def test_disabling_acts_at_once_in_every_process_enabling_after_a_restart_and_both_are_audited(opened: Opened, runtime: FakeRuntime) -> None:
    core, other = opened(SOUND), opened()
    heard = core.plugins.records["sound"].module.heard  # type: ignore[union-attr]
    visitor = Visitor(create_app(other), other, runtime).sign_in()
    visitor.post("/plugins/testtype_security/disable", page="/plugins")
    visitor.post("/plugins/sound/disable", page="/plugins")
    before = len(heard)
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert len(heard) == before and core.plugins.records["sound"].state == "off" and "security" not in core.test_types
    assert "Switched off by" in visitor.get("/plugins").text

    visitor.post("/plugins/sound/enable", page="/plugins")
    record = core.plugins.records["sound"]
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert len(heard) == before and record.state == "off" and record.needs_restart
    assert "loaded when mcpweb starts again" in visitor.get("/plugins").text
    third = opened()
    assert third.plugins.records["sound"].state == "loaded" and "security" not in third.test_types
    with core.db.reading() as conn:
        rows = conn.execute("SELECT action, target FROM audit_log WHERE action LIKE 'plugin.%' ORDER BY seq").fetchall()
    assert [tuple(row) for row in rows] == [("plugin.disable", "testtype_security"), ("plugin.disable", "sound"), ("plugin.enable", "sound")]


def test_what_nobody_could_come_back_from_cannot_be_switched_off_and_settings_win(opened: Opened) -> None:
    core = opened(SOUND, MCPWEB_PLUGINS_OFF="sound")
    for name, failure in (("identity_accounts", Conflict), ("core", Conflict), ("nobody", NotFound)):
        with pytest.raises(failure):
            plugins.disable(core, ME, name)
    with pytest.raises(Conflict, match="MCPWEB_PLUGINS_OFF"):
        plugins.enable(core, ME, "sound")


def test_a_choice_whose_audit_row_cannot_be_written_is_not_made(opened: Opened) -> None:
    core = opened(SOUND)
    with core.db.writing() as conn:
        conn.execute("CREATE TABLE parent (id PRIMARY KEY)")  # the commit fails, after all was written
        conn.execute("CREATE TABLE child (id REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
        conn.execute("CREATE TRIGGER no_more AFTER INSERT ON audit_log BEGIN INSERT INTO child VALUES (1); END")
    with pytest.raises((Failure, Exception)):
        plugins.disable(core, ME, "sound")
    assert core.plugins.records["sound"].state == "loaded" and opened().plugins.records["sound"].state == "loaded"


def test_what_keys_need_is_not_switched_off_by_a_click_and_a_cipher_that_is_out_opens_nothing(opened: Opened) -> None:
    core = opened(SOUND)
    assert core.vault.cipher("A256GCM")
    for needed in ("cipher_aesgcm", "keysource_file"):
        with pytest.raises(Conflict, match=f"needs {needed}"):
            plugins.disable(core, ME, needed)
    core.plugins.quarantine("cipher_aesgcm", "It is a test.")
    with pytest.raises(Failure, match="A256GCM"):
        core.vault.cipher("A256GCM")
