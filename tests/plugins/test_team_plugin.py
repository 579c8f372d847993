"""A team's plugins: loaded through the folder, isolated when they fail, seen in lists, never able to stop the start."""
from __future__ import annotations

from pathlib import Path

import pytest

from mcpweb.core import Core, load_plugins, open_core
from mcpweb.dao import plugin_events, test_types
from mcpweb.errors import PluginBroken
from mcpweb.events import ServerChanged
from mcpweb.settings import Settings, load

GOOD = '''"""Counts what happens, in a table of its own."""
from pathlib import Path

from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1
seen = []


@hookimpl
def mcpweb_app_ready(core):
    seen.append(core.role)


@hookimpl
def mcpweb_track_event(event):
    seen.append(event.change)


@hookimpl
def mcpweb_add_migrations():
    return Path(__file__).parent / "sql"


def run(context):
    yield CheckResult("X01", "pass", "fine")


@hookimpl
def mcpweb_add_test_types():
    return [TestType("team_check", "Team", "A test type of a team.", (Check("X01", "X", "low"),), run)]
'''
CREATE = "-- a counter\nCREATE TABLE p_{name}_counts (id INTEGER PRIMARY KEY);\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    return folder


def settings(tmp_path: Path, folder: Path, **more: str) -> Settings:
    return load({"MCPWEB_DATA_DIR": str(tmp_path / "data"), "MCPWEB_PLUGINS_DIR": str(folder), **more})


def put(folder: Path, name: str, text: str, sql: str = "") -> None:
    (folder / name / "sql").mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    if sql:
        (folder / name / "sql" / "0001_counts.sql").write_text(sql)


def opened(tmp_path: Path, folder: Path, **more: str) -> Core:
    core = open_core(settings(tmp_path, folder, **more))
    core.plugins.ready(core)
    return core


def test_a_good_plugin_brings_a_test_type_a_table_and_hears_events(tmp_path: Path, folder: Path) -> None:
    put(folder, "counter", GOOD, CREATE.format(name="counter"))
    core = opened(tmp_path, folder)
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    record = core.plugins.records["counter"]
    assert record.state == "loaded" and record.source == "folder" and record.description.startswith("Counts")
    assert record.module.seen == ["cli", "added"]  # type: ignore[union-attr]
    assert "team_check" in core.test_types
    with core.db.reading() as conn:
        assert conn.execute("SELECT count(*) FROM p_counter_counts").fetchone()[0] == 0
        assert {"connection", "team_check"} <= {row.name for row in test_types.listing(conn) if row.installed}
    core.close()


def test_a_removed_plugin_leaves_its_test_type_known_but_not_installed(tmp_path: Path, folder: Path) -> None:
    put(folder, "counter", GOOD, CREATE.format(name="counter"))
    opened(tmp_path, folder).close()
    core = opened(tmp_path, folder, MCPWEB_PLUGINS_OFF="counter")
    assert "team_check" not in core.test_types and core.plugins.records["counter"].state == "off"
    with core.db.reading() as conn:
        assert {row.name: row.installed for row in test_types.listing(conn)}["team_check"] is False
    core.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('at import')", "at import"),
        ('"""Doc."""\nimport sys\nsys.exit(3)', ""),
        ('"""Doc."""\nimport os\nos._exit(9)', "exit 9"),
        ('"""Doc."""\nmcpweb_api = 99', "plugin API 99"),
        ("mcpweb_api = 1", "docstring"),
        ('"""Doc."""\nfrom mcpweb.plugin import hookimpl\nmcpweb_api = 1\n@hookimpl\ndef mcpweb_no_such_hook(): ...', "is not a hook"),
        ('"""Doc."""\nfrom mcpweb.plugin import hookimpl\nmcpweb_api = 1\n@hookimpl\ndef mcpweb_track_event(evnt): ...', "evnt"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_broken_plugin_is_shown_with_its_reason_and_the_rest_starts(
    tmp_path: Path, folder: Path, text: str, said: str
) -> None:
    put(folder, "broken", text)
    put(folder, "counter", GOOD, CREATE.format(name="counter"))
    core = opened(tmp_path, folder)
    record = core.plugins.records["broken"]
    assert record.state == "broken" and said in record.error
    assert core.plugins.records["counter"].state == "loaded"
    core.close()


def test_a_plugin_that_raises_in_a_hook_is_recorded_and_others_are_still_called(tmp_path: Path, folder: Path) -> None:
    put(folder, "counter", GOOD, CREATE.format(name="counter"))
    put(folder, "a_raiser", '"""Raises."""\nfrom mcpweb.plugin import hookimpl\nmcpweb_api = 1\n'
        "@hookimpl\ndef mcpweb_track_event(event):\n    raise ValueError('in the hook')")
    core = opened(tmp_path, folder)
    core.announce(ServerChanged("user:x", "srv_1", "added"))
    assert core.plugins.records["counter"].module.seen[-1] == "added"  # type: ignore[union-attr]
    with core.db.reading() as conn:
        (event,) = plugin_events.recent(conn)
    assert event.plugin == "a_raiser" and "in the hook" in event.error
    core.close()


def test_an_authorising_plugin_that_raises_denies(tmp_path: Path, folder: Path) -> None:
    put(folder, "policy", '"""Policy."""\nfrom mcpweb.plugin import hookimpl\nmcpweb_api = 1\n'
        "@hookimpl\ndef mcpweb_authorize(actor):\n    raise ValueError")
    core = opened(tmp_path, folder)
    assert core.plugins.vote("mcpweb_authorize", actor=None, action="server.view", resource={}) is False
    core.close()


def test_a_plugin_that_makes_tables_of_another_prefix_is_broken_and_the_rest_starts(tmp_path: Path, folder: Path) -> None:
    put(folder, "thief", GOOD, "-- not ours\nCREATE TABLE servers_copy AS SELECT * FROM servers;\n")
    core = opened(tmp_path, folder)
    record = core.plugins.records["thief"]
    assert record.state == "broken" and "0001_counts" in record.error and "team_check" not in core.test_types
    with core.db.reading() as conn:
        assert not conn.execute("SELECT 1 FROM sqlite_schema WHERE name = 'servers_copy'").fetchone()
    core.close()


def test_a_folder_others_can_write_is_refused(tmp_path: Path, folder: Path) -> None:
    put(folder, "counter", GOOD)
    folder.chmod(0o777)
    with pytest.raises(PluginBroken, match="writable by others"):
        load_plugins(settings(tmp_path, folder))


def test_a_broken_built_in_stops_the_start(tmp_path: Path) -> None:
    built_in = tmp_path / "built_in" / "wrong"
    built_in.mkdir(parents=True)
    (built_in / "__init__.py").write_text('"""Doc."""\nmcpweb_api = 2')
    from mcpweb.pluginhost import PluginHost

    with pytest.raises(PluginBroken, match="wrong"):
        PluginHost(load({"MCPWEB_DATA_DIR": str(tmp_path / "d")})).load(tmp_path / "built_in")
