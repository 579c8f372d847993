"""Fixtures come from ``mcpweb.testing.fixtures``, the same that plugin authors use; here is what makes thousands of tests quick."""
from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from werkzeug.routing import Rule

from mcpweb import passwords
from mcpweb.core import Core
from mcpweb.dao.jobs import Job
from mcpweb.line import socket_path
from mcpweb.services import jobs
from mcpweb.web import assets

pytest_plugins = ["mcpweb.testing.fixtures"]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that puts the tests in the background lets every child ignore it

# Files that take long are begun first, so that none of them is alone at the end. Of all others, those that mostly wait (for
# containers, browsers, processes) and those that mostly compute are mixed: beside one that waits one that computes has a processor.
LONG = (
    "test_probe_pairs", "test_performance_pairs", "test_functionality_pairs", "test_first_run", "test_api_schema", "test_kills",
    "test_connection_pairs", "test_in_place", "test_secret_delivery", "test_run_ends", "test_command_line", "test_test_command",
    "test_security_tab", "test_secrets", "test_rotation_kills", "test_hostile_servers", "test_plugin_kit", "test_examples",
    "test_plugins_doc", "test_team_plugin", "test_watching",
)
WAITING, COMPUTING = ("docker", "e2e", "plugins"), ("web", "dao", "unit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        places = _places([*dict.fromkeys(item.path for item in items)])
        items.sort(key=lambda item: places[item.path])


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded by now stays: looking through it for garbage again and again took a quarter of the web tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _places(files: list[Path]) -> dict[Path, tuple[float, float]]:
    """Return where each file stands: how late it begins, then what tells it from others that begin with it."""
    long = {path: float(LONG.index(path.stem)) for path in files if path.stem in LONG}
    rest: list[list[Path]] = [[], []]
    for path in files:
        if path not in long:
            rest[path.parent.name in COMPUTING].append(path)
    rest[0].sort(key=lambda path: WAITING.index(path.parent.name) if path.parent.name in WAITING else 0)
    mixed = {path: len(LONG) + (at + 0.5) / len(group) for group in rest for at, path in enumerate(group)}
    order = {path: float(at) for at, path in enumerate(files)}
    return {path: (place, order[path]) for path, place in (long | mixed).items()}


@pytest.fixture(scope="session", autouse=True)
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates are compiled once a run, for whichever application and by whichever of the processes that share it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "templates"
    folder.mkdir(exist_ok=True)
    kept = FileSystemBytecodeCache(str(folder))
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": kept}
    return kept


COST = ("_ITERATIONS", "_LANES", "_MEMORY_KIB", "NOBODYS")
_AS_INSTALLED = {name: getattr(passwords, name) for name in COST}


@pytest.fixture
def dear_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as in an installation; in all other tests (of this process) as cheaply as Argon2id can."""
    for name, value in _AS_INSTALLED.items():
        monkeypatch.setattr(passwords, name, value)


def _cheap_passwords() -> None:
    passwords._ITERATIONS, passwords._LANES, passwords._MEMORY_KIB = 1, 1, 8
    passwords.NOBODYS = passwords.hashed("nobody knows this one")


def _not_for_nobody(wait: Callable[..., Job]) -> Callable[..., Job]:
    """Where no worker has come to listen nobody will do a job: a page does not wait for it."""

    def waited(core: Core, job_id: str, timeout_s: float, **more: Any) -> Job:
        return wait(core, job_id, timeout_s if timeout_s > 10.0 or socket_path(core.settings).exists() else 0.0, **more)

    return waited


def _once(compile_builder: Callable[[Rule, bool], Any]) -> Callable[..., Any]:
    """Keep what builds the address of a rule: the same rules are made application after application."""
    made: dict[tuple[Any, ...], Any] = {}

    def compiled(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), rule.build_only, append_unknown)
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    return compiled


def _once_parsed(parse_rule: Callable[[Rule, str], Any]) -> Callable[[Rule, str], Any]:
    """Keep the parts a rule is made of; what reading them leaves in the rule is left in the next one as well."""
    made: dict[tuple[Any, ...], tuple[list[Any], list[Any], dict[str, Any]]] = {}

    def parsed(rule: Rule, text: str) -> Any:
        assert rule.map is not None
        key = (text, *rule.map.converters.items())
        if key not in made:
            traced, known = len(rule._trace), set(rule._converters)
            parts = list(parse_rule(rule, text))
            made[key] = parts, rule._trace[traced:], {name: one for name, one in rule._converters.items() if name not in known}
        else:
            rule._trace.extend(made[key][1])
            rule._converters.update(made[key][2])
            rule.arguments.update(made[key][2])
        return made[key][0]

    return parsed


_cheap_passwords()
jobs.wait = _not_for_nobody(jobs.wait)
Rule._compile_builder = _once(Rule._compile_builder)  # type: ignore[method-assign]
Rule._parse_rule = _once_parsed(Rule._parse_rule)  # type: ignore[method-assign]
assets._read = functools.cache(assets._read)
