"""What happened, told to plugins after the commit."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Base of all events; fields hold ids and words, never values of secrets."""

    actor: str


@dataclass(frozen=True)
class ServerChanged(Event):
    server_id: str
    change: str  # added, updated, status, pins, removed


@dataclass(frozen=True)
class ConfigurationChanged(Event):
    configuration_id: str
    server_id: str
    change: str  # added, updated, restored, activated, removed


@dataclass(frozen=True)
class TestRunRequested(Event):
    __test__ = False
    run_id: str
    server_id: str


@dataclass(frozen=True)
class TestRunFinished(Event):
    __test__ = False
    run_id: str
    server_id: str
    verdict: str


@dataclass(frozen=True)
class JobFinished(Event):
    job_id: str
    kind: str
    state: str


@dataclass(frozen=True)
class UserChanged(Event):
    user_id: str
    change: str  # added, disabled, password, role


@dataclass(frozen=True)
class PluginFailed(Event):
    plugin: str
    hook: str


@dataclass(frozen=True)
class KeyRotated(Event):
    key_id: str
    name: str
    change: str  # added, rotated, retired, destroyed, rewrapped


@dataclass(frozen=True)
class SecretChanged(Event):
    secret_id: str
    change: str  # added, replaced, updated, activated, deactivated, purged, bound, unbound
