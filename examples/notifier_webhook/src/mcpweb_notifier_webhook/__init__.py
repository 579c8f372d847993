"""Webhook: tells an address of test runs that failed, as signed JSON."""
from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweb.plugin import Event, Setting, TestRunFinished, hookimpl

from .sender import Sender

if TYPE_CHECKING:
    from mcpweb.core import Core

mcpweb_api = 1
SETTINGS = (
    Setting("URL", "", "Where a failed run is told: https, and on the open Internet unless its host is trusted."),
    Setting("SECRET", "", "Key of the signature (better: …_SECRET_FILE).", secret=True),
    Setting("TRUSTED_HOSTS", "", "Hosts that may have a private address, separated by commas."),
    Setting("ATTEMPTS", "3", "How often a message is tried, at most 5."),
)
_senders: dict[int, Sender] = {}  # by core: one process may hold several


@hookimpl
def mcpweb_add_settings() -> list[Setting]:
    return list(SETTINGS)


@hookimpl
def mcpweb_app_ready(core: Core) -> None:
    values = {one.name: core.settings.plugin_values.get(f"PLUGIN_NOTIFIER_WEBHOOK_{one.name}", one.default) for one in SETTINGS}
    _senders.clear()
    if values["URL"] and values["SECRET"]:
        _senders[id(core)] = Sender(
            values["URL"], values["SECRET"], core.settings.public_url, tuple(values["TRUSTED_HOSTS"].replace(",", " ").split()),
            int(values["ATTEMPTS"]) if values["ATTEMPTS"].isdigit() else 3,
        )


@hookimpl
def mcpweb_track_event(event: Event) -> None:
    """Queue a message and return at once; a thread of our own sends it."""
    if isinstance(event, TestRunFinished) and event.verdict == "fail":
        for sender in _senders.values():
            sender.tell({
                "event": "test_run.failed", "run_id": event.run_id, "server_id": event.server_id, "verdict": event.verdict,
                "actor": event.actor,
            })
