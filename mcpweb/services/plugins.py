"""Plugins as an administrator deals with them: switch off, allow again, install, remove; each with its audit row."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import keys
from mcpweb.errors import Conflict, NotFound
from mcpweb.kit import check, pip
from mcpweb.kit.pip import Installed
from mcpweb.pluginchoices import Choices
from mcpweb.pluginhost import PluginRecord
from mcpweb.services import access

# without these nobody could come back to switch them on again
MOST_FILES = 100  # in an audit row; the hash over all of them is there, too
NEEDED = {"core": "It is the application itself.", "identity_accounts": "Nobody could sign in to switch it on again."}


def get(core: Core, actor: Actor, name: str) -> PluginRecord:
    """Return one plugin. Raises NotFound."""
    access.require(core, actor, "plugin.view", plugin=name)
    return _get(core, name)


def disable(core: Core, actor: Actor, name: str) -> PluginRecord:
    """Call a plugin no more, at once and in every process. Raises NotFound, Conflict for what keys or people need."""
    access.require(core, actor, "plugin.manage", plugin=name)
    with access.attempt(core, actor, "plugin.disable", name):
        record = _get(core, name)
        if name in NEEDED:
            raise Conflict(f"{name} cannot be switched off. {NEEDED[name]}", next_step="MCPWEB_PLUGINS_OFF can leave it out.")
        _not_needed(core, name)
        choices = Choices(core.settings.data_dir)
        before = choices.now().get(name)
        if before is not None and before.state == "off":
            return record
        with _taken_back(choices, name), core.db.writing() as conn:
            access.note(conn, actor, "plugin.disable", name, {"source": record.source, "version": record.version})
            choices.put(name, "off", f"Switched off by {actor.label or actor.name}.")
    return _get(core, name)


def enable(core: Core, actor: Actor, name: str) -> PluginRecord:
    """Allow a plugin again, out of quarantine too; it is loaded at the next start. Raises NotFound, Conflict."""
    access.require(core, actor, "plugin.manage", plugin=name)
    with access.attempt(core, actor, "plugin.enable", name):
        record = _get(core, name)
        if name in core.settings.plugins_off:
            raise Conflict(f"{name} is named in MCPWEB_PLUGINS_OFF.", next_step="Take it out there and restart.")
        allow = core.settings.plugins_allow
        if record.source == "installed" and allow is not None and name not in allow:
            raise Conflict(f"{name} is not named in MCPWEB_PLUGINS_ALLOW.", next_step="Add it there and restart.")
        choices = Choices(core.settings.data_dir)
        if name not in choices.now():
            return record
        with _taken_back(choices, name), core.db.writing() as conn:
            access.note(conn, actor, "plugin.enable", name, {"was": choices.now()[name].state, "version": record.version})
            choices.drop(name)
    return _get(core, name)


def install(core: Core, actor: Actor, given: str) -> list[Installed]:
    """Install a path or a requirement with pip and return the plugins it brought; they are loaded at the next start.

    What lies here is checked first. What brings no plugin, or one of a name that is taken, is taken out again, and so is
    what could not be audited. Raises InvalidInput, Conflict.
    """
    access.require(core, actor, "plugin.manage")
    with access.attempt(core, actor, "plugin.install", given[:200]):
        if Path(given).is_dir():
            _in_order(core, given)
        before = pip.installed()
        pip.install(given, core.settings)
        brought = [one for name, one in pip.installed().items() if before.get(name) != one]
        try:
            _fits(core, brought, before, given)
            with core.db.writing() as conn:
                for one in brought:
                    access.note(conn, actor, "plugin.install", one.name, {
                        "distribution": one.distribution, "version": one.version, "from": given[:200], **_told(one),
                    })
        except BaseException:
            for distribution in {one.distribution for one in brought} - {one.distribution for one in before.values()}:
                pip.uninstall(distribution, core.settings)
            raise
        return brought


def uninstall(core: Core, actor: Actor, name: str) -> Installed:
    """Remove an installed plugin; what it left in the database stays. Raises NotFound, Conflict while keys need it."""
    access.require(core, actor, "plugin.manage", plugin=name)
    with access.attempt(core, actor, "plugin.uninstall", name):
        found = pip.installed().get(name)
        if found is None:
            record = _get(core, name)
            step = {"folder": f"Remove {record.origin}.", "built-in": f"`mcpweb plugins disable {name}`"}.get(record.source, "")
            raise Conflict(f"{name} was not installed with pip.", next_step=step)
        _not_needed(core, name)
        others = [one.name for one in pip.installed().values() if one.distribution == found.distribution and one.name != name]
        pip.uninstall(found.distribution, core.settings)
        with core.db.writing() as conn:
            for one in [name, *others]:
                access.note(conn, actor, "plugin.uninstall", one, {"distribution": found.distribution, "version": found.version})
        return found


def _in_order(core: Core, given: str) -> None:
    findings = check.check(check.find(given, core.settings), core.settings)
    bad = [f"{one.where}: {one.sentence}" for one in findings if one.level == "problem"]
    if bad:
        raise Conflict(f"{given} is not in order: {bad[0][:1000]}", next_step=f"`mcpweb plugins check {given}` tells all.")


def _fits(core: Core, brought: list[Installed], before: Mapping[str, Installed], given: str) -> None:
    if not brought and not Path(given).exists():
        raise Conflict(f"{given} brought no plugin, or was there already.", next_step="`mcpweb plugins list` shows all.")
    for one in brought:
        record = core.plugins.records.get(one.name)
        if record is not None and one.name not in before:
            raise Conflict(f"There is a plugin {one.name} already ({record.source}); it was taken out again.")


def _not_needed(core: Core, name: str) -> None:
    """Raise Conflict while a key that is in use has the plugin's cipher, or lies under its key source."""
    vault = core.vault  # making it makes their owners known
    ciphers = {one for one in vault.ciphers if core.plugins.owners.get(("mcpweb_add_ciphers", one)) == name}
    sources = {one for one in vault.sources if core.plugins.owners.get(("mcpweb_add_key_sources", one)) == name}
    with core.db.reading() as conn:
        for key in keys.listing(conn):
            for version in keys.versions(conn, key.id):
                if version.state != "destroyed" and (version.alg in ciphers or version.kek_source in sources):
                    raise Conflict(
                        f"Version {version.version} of the key {key.key_name} needs {name}; its secrets would not open any more.",
                        next_step="Rotate to another key or key source first, and destroy the version.",
                    )


def _told(one: Installed) -> dict[str, object]:
    whole = hashlib.sha256("".join(f"{path}\0{digest}\n" for path, digest in sorted(one.files.items())).encode()).hexdigest()
    return {"sha256": whole, "files": dict(sorted(one.files.items())[:MOST_FILES])}


@contextmanager
def _taken_back(choices: Choices, name: str) -> Iterator[None]:
    """Put the choice back as it was when its audit row could not be written."""
    before = choices.now().get(name)
    try:
        yield
    except BaseException:
        choices.restore(name, before)
        raise


def _get(core: Core, name: str) -> PluginRecord:
    record = core.plugins.records.get(name)
    if record is None:
        raise NotFound(f"There is no plugin {name}.", next_step="`mcpweb plugins list` shows all.")
    return record
