"""Core: settings, database, plugins and registries – the application without HTTP."""
from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mcpweb import checkpoints, files, paths
from mcpweb import instance as instances
from mcpweb import settings as settings_module
from mcpweb.contracts import Runtime, TestType
from mcpweb.dao import audit, keys, plugin_events, test_types
from mcpweb.db import Database, driver, migrate
from mcpweb.errors import Failure, MigrationRefused, PluginBroken, RuntimeUnavailable, StorageUnusable, VaultLocked
from mcpweb.events import Event, KeyRotated, PluginFailed, SecretChanged, UserChanged
from mcpweb.instance import FileLock, Instance
from mcpweb.line import Line
from mcpweb.pluginhost import CoreHooks, PluginHost
from mcpweb.settings import Settings
from mcpweb.vault import Vault

log = logging.getLogger(__name__)

RoleOfProcess = Literal["web", "worker", "cli", "child"]
_CACHE_KIB = {"web": 1024, "worker": 16 * 1024, "cli": 16 * 1024, "child": 1024}


@dataclass
class Core:
    """One hand that holds what use cases need. Made by ``open_core``."""

    settings: Settings
    role: RoleOfProcess
    db: Database
    plugins: PluginHost
    instance: Instance
    line: Line
    test_types: dict[str, TestType] = field(default_factory=dict)
    _in_use: FileLock | None = None
    _runtimes: dict[str, Runtime] | None = None
    _runtimes_lock: threading.Lock = field(default_factory=threading.Lock)
    _vault: Vault | None = None

    @property
    def runtimes(self) -> dict[str, Runtime]:
        """The runtimes by name; made at the first use, never in the web process's pages."""
        with self._runtimes_lock:
            if self._runtimes is None:
                self._runtimes = _unique(self.plugins, "mcpweb_add_runtimes", settings=self.settings)
            return self._runtimes

    @property
    def runtime(self) -> Runtime:
        """The runtime servers run on. Raises RuntimeUnavailable when no plugin offers one."""
        for runtime in self.runtimes.values():
            return runtime
        raise RuntimeUnavailable("No plugin offers a runtime.", next_step="Check MCPWEB_PLUGINS_OFF.")

    def use_runtime(self, runtime: Runtime) -> None:
        """Run servers on this runtime instead (tests, embedding)."""
        self._runtimes = {runtime.name: runtime}

    @property
    def vault(self) -> Vault:
        """The vault over this process's ciphers and key sources; made at the first use."""
        if self._vault is None:
            self._vault = make_vault(self.settings, self.plugins)
        return self._vault

    def forget(self, plugin: str) -> None:
        """Offer nothing any more of what a plugin brought; it was switched off."""
        gone = {name for name, owner in self.plugins.owners.items() if owner == plugin}
        for hook, name in gone:
            if hook == "mcpweb_add_test_types":
                self.test_types.pop(name, None)
            elif hook == "mcpweb_add_runtimes" and self._runtimes is not None:
                self._runtimes.pop(name, None)
            elif hook in ("mcpweb_add_ciphers", "mcpweb_add_key_sources") and self._vault is not None:
                self._vault.give_up(name)

    def announce(self, event: Event) -> None:
        """Tell plugins what happened; call it after the commit. What touches keys, secrets or people is signed at once."""
        if isinstance(event, (KeyRotated, SecretChanged, UserChanged)):
            self.sign_audit()
        self.plugins.notify("mcpweb_track_event", event=event)

    def sign_audit(self) -> bool:
        """Add a signed checkpoint of the audit log; False when none was needed, or it could not be written.

        A failure stops nothing: the change is committed, ``doctor`` tells, and the worker tries again.
        """
        try:
            with self.db.reading() as conn:
                size, head = audit.head(conn)
            return checkpoints.write(self.settings, self.instance.id, size, head)
        except (Failure, OSError) as error:
            log.warning("the audit log gets no checkpoint: %s", error)
            return False

    def close(self) -> None:
        """Give back this thread's connections and the data folder."""
        self.db.close()
        if self._in_use is not None:
            self._in_use.release()


def open_core(settings: Settings | None = None, role: RoleOfProcess = "cli", *, init: bool = False) -> Core:
    """Open the application: migrate if something is pending, load the plugins, find or make the instance record.

    Raises SettingsInvalid, MigrationRefused, StorageUnusable, PluginBroken.
    """
    settings = settings or settings_module.load()
    files.private_folder(settings.data_dir)
    files.private_folder(settings.run_dir)
    plugins = load_plugins(settings)
    with instances.start_lock(settings):
        instance = _prepare(settings, plugins, init=init)
        in_use = instances.use_lock(settings)
        in_use.acquire(shared=True, wait=True)
    db = Database(settings.db_path, cache_kib=_CACHE_KIB[role])
    core = Core(
        settings=settings, role=role, db=db, plugins=plugins, instance=instance, line=Line(settings),
        test_types=_unique(plugins, "mcpweb_add_test_types"), _in_use=in_use,
    )
    plugins.on_error = _recorder(core)
    plugins.on_gone = core.forget
    for fault in plugins.early:
        plugins.on_error(*fault)
    plugins.early.clear()
    return core


def load_plugins(settings: Settings) -> PluginHost:
    """Load all plugins without a database (run children, ``plugins list`` on a broken installation)."""
    host = PluginHost(settings)
    host.register(CoreHooks(), "core", source="core")  # type: ignore[arg-type]
    host.load(paths.PLUGINS)
    return host


def make_vault(settings: Settings, plugins: PluginHost) -> Vault:
    """Return a vault over the plugins' ciphers and key sources; reads no key material."""
    return Vault(
        ciphers=_unique(plugins, "mcpweb_add_ciphers", settings=settings),
        sources=_unique(plugins, "mcpweb_add_key_sources", settings=settings),
        default_source=settings.key_source,
    )


def registered_test_types(plugins: PluginHost) -> dict[str, TestType]:
    """Return the test types of loaded plugins by name, in their order."""
    return _unique(plugins, "mcpweb_add_test_types")


def migration_series(plugins: PluginHost) -> list[tuple[str, Path]]:
    """Return our own series and one for each plugin that brings tables."""
    series = [("core", paths.SQL)]
    for name, folder in plugins.collect("mcpweb_add_migrations"):
        try:
            series.append((f"plugin:{name}", Path(folder)))
        except TypeError as error:
            plugins.fail(name, "mcpweb_add_migrations", error)
    return series


def lost(settings: Settings) -> StorageUnusable | None:
    """Return what to say when the database was there and is gone or empty; None before a first start, and when all is well."""
    if instances.find(settings) is None or not migrate.looks_lost(settings.db_path):
        return None
    return StorageUnusable(
        f"The database {settings.db_path} was there and is gone or empty.",
        next_step="Run `mcpweb db restore FILE --yes`, or `mcpweb db migrate --init` to begin anew.",
    )


def _prepare(settings: Settings, plugins: PluginHost, *, init: bool) -> Instance:
    """Do what a first start does, in an order that a crash in between does not spoil: the record comes last."""
    known = instances.find(settings)
    if not init and (loss := lost(settings)) is not None:
        raise loss
    _migrate(settings, plugins, init=init or known is None)
    _register_test_types(settings, plugins)
    _first_key(settings, plugins)
    return known or instances.create(settings)


def _migrate(settings: Settings, plugins: PluginHost, *, init: bool) -> None:
    """Bring our tables up to date, and those of plugins; a team's plugin whose files do not fit is broken, and stops nothing."""
    series = migration_series(plugins)
    while True:
        try:
            migrate.migrate(
                settings.db_path, series, init=init, allow_old=settings.allow_old_sqlite, alone=lambda: instances.alone(settings),
            )
            return
        except MigrationRefused as failure:
            label = failure.series.removeprefix("plugin:")
            record = plugins.records.get(label)
            if not failure.series.startswith("plugin:") or record is None or record.source == "built-in":
                raise
            plugins.leave_out(label, failure)
            series = [one for one in series if one[0] != failure.series]


def _first_key(settings: Settings, plugins: PluginHost) -> None:
    """Make the first key; when the key source cannot, the vault is locked and everything else works."""
    db = Database(settings.db_path)
    try:
        with db.reading() as conn:
            if keys.any_exists(conn):
                return
        with db.writing() as conn:
            key = make_vault(settings, plugins).first_key(conn, "system:start")
            if key is not None:
                audit.append(
                    conn, actor="system:start", actor_kind="system", action="key.add", target=key.id,
                    detail={"name": key.key_name, "source": settings.key_source},
                )
    except VaultLocked as failure:
        log.warning("the vault is locked: %s", failure.sentence)
    finally:
        db.close()


def _register_test_types(settings: Settings, plugins: PluginHost) -> None:
    db = Database(settings.db_path)
    try:
        types = _unique(plugins, "mcpweb_add_test_types").values()
        owners = {t.name: name for name, found in plugins.collect("mcpweb_add_test_types") for t in found}
        rows = [
            test_types.TestTypeRow(
                name=t.name, title=t.title, description=t.description, plugin=owners[t.name], installed=True
            )
            for t in types
        ]
        with db.reading() as conn:
            if test_types.same(conn, rows):
                return
        with db.writing() as conn:
            test_types.register(conn, rows)
    finally:
        db.close()


def _unique(plugins: PluginHost, hook: str, **arguments: object) -> dict:  # type: ignore[type-arg]
    """Join contributions by name; a name that exists already breaks the plugin that came later."""
    found: dict[str, object] = {}
    results = plugins.collect(hook, **arguments)
    records = plugins.records
    order = {name: position for position, name in enumerate(records)}
    for plugin, items in sorted(results, key=lambda pair: order.get(pair[0], 0)):
        for item in items:
            if item.name in found:
                record = records[plugin]
                record.error = f"{hook}: the name {item.name} is taken."
                if record.source == "built-in":
                    raise PluginBroken(f"{plugin}: {record.error}")
                record.state = "broken"
                continue
            found[item.name] = item
            plugins.owners[hook, item.name] = plugin
    return dict(sorted(found.items(), key=lambda pair: getattr(pair[1], "order", 0)))


def _recorder(core: Core):  # type: ignore[no-untyped-def]
    def record(plugin: str, hook: str, error: str) -> None:
        try:
            with core.db.writing() as conn:
                plugin_events.insert(conn, plugin, hook, error)
        except (Failure, RuntimeError, driver.DatabaseError):
            log.warning("the fault of plugin %s in %s could not be recorded", plugin, hook)
        if hook != "mcpweb_track_event":
            core.plugins.notify("mcpweb_track_event", event=PluginFailed("system:plugins", plugin, hook))

    return record
