"""Find, load, register and report plugins; call their hooks so that one plugin's fault stays its own.

Three doors, one loader: the built-ins in ``plugins/``, entry points of the group ``mcpweb.plugins``, and the folder
``MCPWEB_PLUGINS_DIR``. A broken built-in stops the start; a broken team plugin is shown as broken and left out.
Later doors are called first.
"""
from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import re
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from mcpweb import plugincalls, pluginprobe
from mcpweb.contracts import TestContext, TestOutcome, TestType
from mcpweb.errors import Failure, PluginBroken
from mcpweb.hookspecs import API_VERSION, PROJECT, Specs, hookimpl
from mcpweb.pluginchoices import Choice, Choices
from mcpweb.redaction import hide
from mcpweb.settings import Settings

log = logging.getLogger(__name__)

GROUP = "mcpweb.plugins"
NAMESPACE = "mcpweb_plugins"
NAME = re.compile(r"[a-z][a-z0-9_]*")
FAULTS = 10
FAULTS_WITHIN_S = 300.0
_OURS = ("built-in", "core")

OnError = Callable[[str, str, str], None]
"""Told (plugin, hook, error) when a hook raised."""


@dataclass
class PluginRecord:
    """What the Plugins page shows of one plugin. ``state`` is loaded, off, broken or quarantined."""

    name: str
    source: str  # built-in, installed, folder
    origin: str
    state: str = "loaded"
    version: str = ""
    description: str = ""
    hooks: tuple[str, ...] = ()
    load_ms: float = 0.0
    error: str = ""
    needs_restart: bool = False  # it was switched off or quarantined, and may be loaded again
    chosen: bool = field(default=False, repr=False)
    module: ModuleType | None = field(default=None, repr=False)


class PluginHost:
    """One plugin manager; each Core has its own."""

    def __init__(self, settings: Settings, *, on_error: OnError | None = None) -> None:
        self._settings = settings
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Specs)
        self._records: dict[str, PluginRecord] = {}
        self._choices: Choices | None = Choices(settings.data_dir)
        self._applied: Mapping[str, Choice] = {}
        self._faults: dict[str, deque[float]] = {}
        self.owners: dict[tuple[str, str], str] = {}  # (hook, name of what was contributed): plugin
        self.on_error = on_error
        self.early: list[tuple[str, str, str]] = []  # faults before anybody listened
        self.on_gone: Callable[[str], None] | None = None
        self._ready_with: Any = None

    @property
    def records(self) -> dict[str, PluginRecord]:
        """The plugins by name, each in the state that is in force now."""
        self.look()
        return self._records

    def look(self) -> None:
        """Take out what was switched off or quarantined since, here or by another process; it comes back after a restart."""
        if self._choices is None:
            return
        choices = self._choices.now()
        if choices is self._applied:
            return
        self._applied = choices
        for name, record in list(self._records.items()):
            choice = choices.get(name)
            if choice is not None and (record.state == "loaded" or record.chosen):
                self._leave(record, choice)
            elif choice is None and record.chosen:
                record.needs_restart, record.error = True, ""

    def _leave(self, record: PluginRecord, choice: Choice) -> None:
        was = record.state
        record.state, record.error, record.chosen, record.needs_restart = choice.state, choice.reason, True, False
        if was == "loaded" and self.on_gone is not None:
            self.on_gone(record.name)

    # Loading

    def load(self, built_ins: Path) -> None:
        """Load everything from the three doors. Raises PluginBroken for a broken built-in or a clash of names."""
        for path in sorted(built_ins.iterdir()) if built_ins.is_dir() else ():
            if (path / "__init__.py").is_file():
                self._enter(path.name, "built-in", str(path), partial(import_folder, path.name, path), version="")
        for entry in sorted(_installed(), key=lambda e: e.name):
            version = entry.dist.version if entry.dist else ""
            self._enter(entry.name, "installed", entry.value, entry.load, version=version)
        folder = self._settings.plugins_dir
        for path in folder_plugins(folder) if folder else ():
            self._enter(path.stem, "folder", str(path), partial(import_folder, path.stem, path), version="")

    def to_child(self) -> list[list[str]]:
        """Return what a run child needs to load the same plugins: [name, source, origin]."""
        return [[r.name, r.source, r.origin] for r in self.records.values() if r.state == "loaded"]

    @classmethod
    def in_child(cls, described: list[list[str]]) -> PluginHost:
        """Load what ``to_child`` described; a plugin that fails is left out, as its test types then say."""
        host = cls.__new__(cls)
        host._manager = pluggy.PluginManager(PROJECT)
        host._manager.add_hookspecs(Specs)
        host._records, host.on_error, host.on_gone, host._ready_with = {}, None, None, None
        host._choices, host._applied, host._faults, host.owners, host.early = None, {}, {}, {}, []
        for name, source, origin in described:
            try:
                if source == "core":
                    module: Any = CoreHooks()
                elif source == "installed":
                    module = importlib.import_module(origin.split(":")[0])
                else:
                    module = import_folder(name, Path(origin).parent if origin.endswith("__init__.py") else Path(origin))
                host.register(module, name, source=source)
            except Exception:
                log.warning("plugin %s does not load in the run's process", name, exc_info=True)
        return host

    def register(self, module: ModuleType, name: str, *, source: str = "registered") -> PluginRecord:
        """Register a module that is already imported (tests, embedding). Raises PluginBroken."""
        record = PluginRecord(name=name, source=source, origin=getattr(module, "__file__", "") or "")
        self._register(record, module)
        self._records[name] = record
        return record

    def unregister(self, name: str) -> None:
        """Take a plugin out; unknown names are ignored."""
        record = self._records.pop(name, None)
        if record and self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def _enter(self, name: str, source: str, origin: str, load: Callable[[], ModuleType], *, version: str) -> None:
        if name in self._records:
            raise PluginBroken(
                f"Two plugins are named {name}: {self._records[name].origin} and {origin}.",
                next_step="Remove one of them, or name it in MCPWEB_PLUGINS_OFF after renaming its folder.",
            )
        record = PluginRecord(name=name, source=source, origin=origin, version=version)
        self._records[name] = record
        if self._is_off(record):
            record.state = "off"
            return
        choice = self._choices.now().get(name) if self._choices else None
        if choice is not None:
            self._leave(record, choice)
            return
        started = time.perf_counter()
        try:
            if source != "built-in":
                refusal = pluginprobe.refusal(self._settings, name, source, origin)
                if refusal:
                    raise PluginBroken(refusal)
            self._register(record, load() if source == "built-in" else plugincalls.within(plugincalls.LOAD_S, load))
        except Exception as error:
            if source == "built-in":
                raise PluginBroken(f"The built-in plugin {name} does not load: {error}") from error
            self._break(record, error)
        finally:
            record.load_ms = (time.perf_counter() - started) * 1000

    def _is_off(self, record: PluginRecord) -> bool:
        allow = self._settings.plugins_allow
        if record.name in self._settings.plugins_off:
            return True
        return record.source == "installed" and allow is not None and record.name not in allow

    def _break(self, record: PluginRecord, error: Exception) -> None:
        record.state = "broken"
        record.error = error.sentence if isinstance(error, Failure) else traceback.format_exc(limit=-4)
        if self._manager.has_plugin(record.name):
            self._manager.unregister(name=record.name)
        log.warning("plugin %s is broken: %s", record.name, error)

    def _register(self, record: PluginRecord, module: ModuleType) -> None:
        _check_manners(record.name, module)
        record.module = module
        record.description = inspect.getdoc(module) or ""
        try:
            self._manager.register(module, name=record.name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginBroken(f"{record.name}: {error}") from error
        record.hooks = tuple(sorted(caller.name for caller in self._manager.get_hookcallers(module) or ()))
        if self._ready_with is not None:
            for name, function, names in self._implementations("mcpweb_app_ready"):
                if name == record.name:
                    self._guarded(name, "mcpweb_app_ready", function, names, {"core": self._ready_with})

    # Calling

    def ready(self, core: Any) -> None:
        """Tell all plugins, and each one registered later, that the application stands."""
        self._ready_with = core
        self.notify("mcpweb_app_ready", core=core)

    def collect(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Return (plugin, result) of every implementation that returned something; faults are recorded."""
        results = []
        for name, function, names in self._implementations(hook):
            ok, result = self._guarded(name, hook, function, names, arguments)
            if ok and result is not None:
                results.append((name, result))
        return results

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call every implementation and ignore what it returns."""
        self.collect(hook, **arguments)

    def first(self, hook: str, **arguments: Any) -> Any:
        """Return the first result that is not None. Failures of ``mcpweb.errors`` pass through, other faults are
        recorded and skipped."""
        for name, function, names in self._implementations(hook):
            try:
                result = self._called(name, hook, function, names, arguments)
            except Failure:
                raise
            except Exception as error:
                self._report(name, hook, error)
                continue
            if result is not None:
                return result
        return None

    def vote(self, hook: str, **arguments: Any) -> bool:
        """Return the joined verdict of an authorising hook: any False or fault denies, then any True allows.

        A plugin in quarantine cannot say what it would deny, so it denies.
        """
        allowed = False
        for name, function, names in self._implementations(hook, quarantined=True):
            if self._records[name].state == "quarantined":
                return False
            try:
                result = self._called(name, hook, function, names, arguments)
            except Exception as error:
                self._report(name, hook, error)
                return False
            if result is False:
                return False
            allowed = allowed or result is True
        return allowed

    def wrapped(self, hook: str, **arguments: Any) -> Any:
        """Call through pluggy itself, so that wrappers take part; what is raised passes through."""
        return getattr(self._manager.hook, hook)(**arguments)

    def _implementations(
        self, hook: str, *, quarantined: bool = False
    ) -> Iterator[tuple[str, Callable[..., Any], tuple[str, ...]]]:
        self.look()
        caller = getattr(self._manager.hook, hook)
        for implementation in reversed(caller.get_hookimpls()):
            if not implementation.wrapper and not implementation.hookwrapper:
                record = self._records.get(implementation.plugin_name)
                if record is None or record.state == "loaded" or (quarantined and record.state == "quarantined"):
                    yield implementation.plugin_name, implementation.function, implementation.argnames

    def _called(
        self, name: str, hook: str, function: Callable[..., Any], names: tuple[str, ...], arguments: Mapping[str, Any]
    ) -> Any:
        """Call one implementation; what is not our own has its time, and a thread of its own."""
        record = self._records.get(name)
        given = [arguments[a] for a in names]
        if self._choices is None or record is None or record.source in _OURS:
            return function(*given)
        return plugincalls.within(plugincalls.CALL_S, lambda: plugincalls.shaped(hook, function(*given)))

    def _guarded(
        self, name: str, hook: str, function: Callable[..., Any], names: tuple[str, ...], arguments: Mapping[str, Any]
    ) -> tuple[bool, Any]:
        try:
            return True, self._called(name, hook, function, names, arguments)
        except Exception as error:
            self._report(name, hook, error)
            return False, None

    def _report(self, name: str, hook: str, error: Exception) -> None:
        log.warning("plugin %s failed in %s", name, hook, exc_info=error)
        told = hide(f"{type(error).__name__}: {error}")[:2000]
        if self.on_error is not None:
            self.on_error(name, hook, told)
        else:
            self.early.append((name, hook, told))
        record = self._records.get(name)
        if self._choices is None or record is None or record.source in _OURS or record.state != "loaded":
            return
        now = time.monotonic()
        faults = self._faults.setdefault(name, deque(maxlen=FAULTS))
        faults.append(now)
        if isinstance(error, plugincalls.OverTime):
            self.quarantine(name, f"It did not come back from {hook} within {plugincalls.CALL_S:g} s.")
        elif len(faults) == FAULTS and now - faults[0] <= FAULTS_WITHIN_S:
            self.quarantine(name, f"{FAULTS} faults within {FAULTS_WITHIN_S / 60:.0f} minutes, the last in {hook}: {told[:300]}")

    def fail(self, name: str, hook: str, error: Exception) -> None:
        """Record a fault in what a hook returned."""
        self._report(name, hook, error)

    def leave_out(self, name: str, error: Exception) -> None:
        """Show a plugin as broken and call it no more."""
        self._break(self._records[name], error)

    def quarantine(self, name: str, reason: str) -> None:
        """Use a plugin no more, in every process, until somebody enables it again."""
        record = self._records[name]
        if self._choices is not None:
            try:
                self._choices.put(name, "quarantined", reason)
            except Failure as failure:
                log.warning("the quarantine of %s is known to this process only: %s", name, failure.sentence)
        if record.state == "loaded":
            self._leave(record, Choice("quarantined", reason, ""))
        log.warning("plugin %s is in quarantine: %s", name, reason)


class CoreHooks:
    """The core's own last word in hooks that need one."""

    mcpweb_api = API_VERSION
    __file__ = __file__

    @hookimpl(trylast=True)
    def mcpweb_run_test(self, test_type: TestType, context: TestContext) -> TestOutcome:
        return TestOutcome(tuple(test_type.run(context)))


def _installed() -> list[importlib.metadata.EntryPoint]:
    """Return our group's entry points; of other packages no more is read than whether they name it, as they are many."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for dist in importlib.metadata.distributions():
        if GROUP in (dist.read_text("entry_points.txt") or ""):
            found.setdefault(re.sub(r"[-_.]+", "-", dist.name).lower(), dist)  # as everywhere, the first of a name counts
    return [entry for dist in found.values() for entry in dist.entry_points.select(group=GROUP)]


def import_folder(name: str, path: Path) -> ModuleType:
    """Import a plugin folder (or single file) as ``mcpweb_plugins.<name>``; a second call returns the same module."""
    full = f"{NAMESPACE}.{name}"
    file = path / "__init__.py" if path.is_dir() else path
    known = sys.modules.get(full)
    if known is not None and known.__file__ == str(file):
        return known
    if NAMESPACE not in sys.modules:
        package = ModuleType(NAMESPACE)
        package.__path__ = []
        sys.modules[NAMESPACE] = package
    spec = importlib.util.spec_from_file_location(
        full, file, submodule_search_locations=[str(path)] if path.is_dir() else None
    )
    if spec is None or spec.loader is None:
        raise PluginBroken(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[full]
        if isinstance(error, SystemExit):
            raise PluginBroken(f"{name} tried to exit while it was imported.") from error
        raise
    return module


def folder_plugins(folder: Path) -> list[Path]:
    """List the plugins of a team's folder. Raises PluginBroken when others could write into it."""
    try:
        facts = folder.stat()
    except OSError as error:
        raise PluginBroken(f"MCPWEB_PLUGINS_DIR {folder} cannot be read: {error.strerror}.") from None
    for place in (folder, *folder.iterdir()):
        facts = place.stat()
        if facts.st_uid not in (0, os.getuid()) or facts.st_mode & 0o022:
            raise PluginBroken(
                f"{place} belongs to somebody else or is writable by others.", next_step=f"chmod go-w {place}"
            )
    return sorted(
        place
        for place in folder.iterdir()
        if NAME.fullmatch(place.stem) and (place.suffix == ".py" or (place / "__init__.py").is_file())
    )


def _check_manners(name: str, module: ModuleType) -> None:
    if not NAME.fullmatch(name):
        raise PluginBroken(f"{name!r} is not a plugin name: lower-case letters, digits and underscores.")
    if not inspect.getdoc(module):
        raise PluginBroken(f"{name} has no docstring; its first line is shown on the Plugins page.")
    api = getattr(module, "mcpweb_api", None)
    if api != API_VERSION:
        raise PluginBroken(f"{name} is built for plugin API {api!r}, this is {API_VERSION}.")
    known = {hook for hook in dir(Specs) if hook.startswith("mcpweb_")}
    for attribute, value in vars(module).items():
        marked = getattr(value, f"{PROJECT}_impl", None)
        if marked and attribute not in known and not marked.get("optionalhook"):
            raise PluginBroken(f"{name} implements {attribute}, which is not a hook.")
