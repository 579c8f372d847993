"""`plugins new` writes projects that pass their own tests; `plugins check` finds what would not load, and lets its neighbour be."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcpweb.cli.plugins import plugins
from mcpweb.errors import Conflict, InvalidInput, NotFound
from mcpweb.kit import check as checking
from mcpweb.kit.check import Finding, check, find
from mcpweb.kit.new import KINDS, new
from mcpweb.settings import Settings, load
from tests.sizes import NIGHT

SOUND = '''"""Counts."""
from typing import TYPE_CHECKING
from mcpweb.plugin import hookimpl
if TYPE_CHECKING:
    from mcpweb.core import Core
mcpweb_api = 1


@hookimpl
def mcpweb_track_event(event):
    print("noise on stdout")


@hookimpl(optionalhook=True)
def mcpweb_of_another_day(event): ...
'''


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"MCPWEB_DATA_DIR": str(tmp_path / "data")})


def looked_at(tmp_path: Path, settings: Settings, text: str, name: str = "counter") -> list[Finding]:
    (tmp_path / f"{name}.py").write_text(text)
    return check(find(str(tmp_path / f"{name}.py"), settings), settings)


def problems(findings: list[Finding]) -> list[str]:
    return [f"{one.where} {one.sentence}" for one in findings if one.level == "problem"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_is_in_order_and_its_own_tests_pass(tmp_path: Path, settings: Settings, kind: str) -> None:
    made = new(f"my_{kind}", kind, tmp_path)
    project = tmp_path / f"mcpweb-plugin-my-{kind}"
    assert {file.name for file in made} >= {"pyproject.toml", "README.md", "conftest.py", "__init__.py", "test_plugin.py"}
    assert not [file for file in made if "{{" in file.read_text()]
    found = check(find(str(project), settings), settings)
    assert problems(found) == [] and any("It loads in" in one.sentence for one in found)
    some = [] if NIGHT or kind != "testtype" else ["-k", "not bad_kind"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *some], cwd=project, capture_output=True, text=True, timeout=170,
    )
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
    lint = subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--isolated", "--line-length", "130", "--select", "E,F,W,UP,B", project],
                          capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout


def test_the_tests_of_a_new_project_can_fail(tmp_path: Path) -> None:
    new("mine", "events", tmp_path)
    module = tmp_path / "mcpweb-plugin-mine" / "src" / "mcpweb_mine" / "__init__.py"
    for broken in ('event.verdict == "pass"', None):
        text = module.read_text()
        module.write_text(text.replace('event.verdict == "fail"', broken) if broken else "raise ValueError('at import')\n")
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=module.parents[2], capture_output=True, text=True)
        assert done.returncode == 1, done.stdout
    assert "at import" in done.stdout


@pytest.mark.parametrize(("name", "kind", "failure"), [
    ("Wrong", "events", InvalidInput), ("1st", "events", InvalidInput), ("a-b", "events", InvalidInput), ("../x", "events", InvalidInput),
    ("x" * 41, "events", InvalidInput), ("core", "events", InvalidInput), ("fine", "fridge", InvalidInput), ("there", "events", Conflict),
])
def test_a_name_or_kind_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path, name: str, kind: str, failure: type[Exception]) -> None:
    (tmp_path / "mcpweb-plugin-there").mkdir()
    with pytest.raises(failure):
        new(name, kind, tmp_path)
    assert [one.name for one in tmp_path.rglob("*")] == ["mcpweb-plugin-there"]


def test_a_sound_plugin_has_no_problem(tmp_path: Path, settings: Settings) -> None:
    found = looked_at(tmp_path, settings, SOUND)
    assert [one.level for one in found] == ["ok"], found


@pytest.mark.parametrize(("old", "wrong", "said"), [
    ('"""Counts."""', "", "docstring"),
    ("mcpweb_api = 1", "mcpweb_api = 2", "built for plugin API 2, this is 1"),
    ("mcpweb_api = 1", "", "does not say which plugin API"),
    ("def mcpweb_track_event", "def mcpweb_track_events", "Is it mcpweb_track_event?"),
    ("track_event(event)", "track_event(evnt)", "there is no evnt"),
    ("@hookimpl\n", "", "not marked with @hookimpl"),
    ("def mcpweb_track", "async def mcpweb_track", "async"),
    ("mcpweb_api = 1", "import mcpweb.dao.servers\nmcpweb_api = 1", "counter.py:6 It imports mcpweb.dao.servers"),
    ("mcpweb_api = 1", "from mcpweb import core\nmcpweb_api = 1", "imports mcpweb.core"),
    ("mcpweb_api = 1", "from mcpweb_plugins import other\nmcpweb_api = 1", "another plugin"),
    ("mcpweb_api = 1", "mcpweb_api = (1", "SyntaxError"),
])
def test_what_is_wrong_is_found_in_the_source_without_running_it(tmp_path: Path, settings: Settings, old: str, wrong: str, said: str) -> None:
    assert old in SOUND
    touched = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    found = problems(looked_at(tmp_path, settings, SOUND.replace(old, wrong, 1) + touched))
    assert len(found) == 1 and said in found[0], found
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("tail", "said"), [
    ("raise ValueError('at import')", "at import"),
    ("import sys\nsys.exit(0)", "tried to exit"),
    ("import os\nos._exit(0)", "exit 0"),
    ("import os\nos.kill(os.getpid(), 11)", "signal 11"),
    ("a = bytearray(3 << 30)", "MemoryError"),
    ("import subprocess, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)", "did not finish loading within"),
    ("@hookimpl\ndef mcpweb_add_test_types():\n    raise KeyError('in the hook')", "in the hook"),
    ("@hookimpl\ndef mcpweb_add_test_types():\n    return ['x']", "list of TestType"),
    ("@hookimpl\ndef mcpweb_add_settings():\n    import time; time.sleep(600)", "did not come back"),
])
def test_what_only_shows_when_it_is_loaded_is_found_in_a_child_within_limits(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, tail: str, said: str
) -> None:
    monkeypatch.setattr(checking, "LIMIT_S", 3.0 if "within" in said else 20.0)
    found = problems(looked_at(tmp_path, settings, f"{SOUND}\n{tail}\n"))
    assert len(found) == 1 and said in found[0], found


def test_a_check_tells_in_words_or_as_json_and_its_exit_code_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCPWEB_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "fine.py").write_text(SOUND)
    (tmp_path / "bad.py").write_text(SOUND.replace("mcpweb_api = 1", "mcpweb_api = 9"))
    run = CliRunner().invoke
    good = run(plugins, ["check", str(tmp_path / "fine.py")], standalone_mode=False)
    assert good.return_value == 0 and "fine is fine." in good.output
    bad = run(plugins, ["check", str(tmp_path / "bad.py"), "--json"], standalone_mode=False)
    told = json.loads(bad.output)
    assert bad.return_value == 1 and not told["ok"] and told["findings"][0]["where"] == "bad.py:6", told
    for nothing, failure in (("nowhere", NotFound), (str(tmp_path), InvalidInput)):
        assert isinstance(run(plugins, ["check", nothing], standalone_mode=False).exception, failure)
