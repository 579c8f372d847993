"""Plugins as an administrator deals with them: switch off, allow again; each with its audit row."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.errors import Conflict, NotFound
from mcpweb.pluginchoices import Choices
from mcpweb.pluginhost import PluginRecord
from mcpweb.services import access

# without these nobody could come back to switch them on again
NEEDED = {"core": "It is the application itself.", "identity_accounts": "Nobody could sign in to switch it on again."}


def get(core: Core, actor: Actor, name: str) -> PluginRecord:
    """Return one plugin. Raises NotFound."""
    access.require(core, actor, "plugin.view", plugin=name)
    return _get(core, name)


def disable(core: Core, actor: Actor, name: str) -> PluginRecord:
    """Call a plugin no more, at once and in every process. Raises NotFound, Conflict for what cannot be done without."""
    access.require(core, actor, "plugin.manage", plugin=name)
    with access.attempt(core, actor, "plugin.disable", name):
        record = _get(core, name)
        if name in NEEDED:
            raise Conflict(f"{name} cannot be switched off. {NEEDED[name]}", next_step="MCPWEB_PLUGINS_OFF can leave it out.")
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
