"""What plugins may import, and nothing more. Everything here stays stable within one API version."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcpweb import clock
from mcpweb.contracts import (
    SEVERITIES,
    Actor,
    Check,
    CheckResult,
    Cipher,
    Confidence,
    ConfigData,
    ContainerIntent,
    ContainerState,
    FileChange,
    Frame,
    ImageFacts,
    Json,
    KeySource,
    KeySourceHealth,
    Launched,
    Limits,
    Link,
    Load,
    Mount,
    Neighbour,
    Panel,
    Pending,
    Pin,
    PinKind,
    Progress,
    Runtime,
    RuntimeEvent,
    RuntimeHealth,
    SavedCase,
    SecretDelivery,
    Sensitive,
    Setting,
    Severity,
    Sink,
    SinkEvent,
    SinkKind,
    Stats,
    TestContext,
    TestOutcome,
    TestSession,
    TestType,
    Timed,
    Verdict,
    Wrapped,
    canonical,
    pin_hash,
    variable_fault,
)
from mcpweb.errors import (
    Cancelled,
    Conflict,
    Failure,
    FileNotPrivate,
    ImageMissing,
    InvalidInput,
    NotFound,
    PolicyRefused,
    PullFailed,
    RpcError,
    RuntimeConflict,
    RuntimeProtocolError,
    RuntimeTimeout,
    RuntimeUnavailable,
    ServerExited,
    ServerProtocolError,
    ServerTimeout,
    SessionFailed,
    StartFailed,
    Tampered,
    TestError,
    Unauthenticated,
    Unavailable,
    VaultLocked,
)
from mcpweb.events import (
    ConfigurationChanged,
    Event,
    JobFinished,
    PluginFailed,
    ServerChanged,
    TestRunFinished,
    TestRunRequested,
    UserChanged,
)
from mcpweb.files import private_folder, read_private, write_private
from mcpweb.hookspecs import API_VERSION, hookimpl

if TYPE_CHECKING:
    from mcpweb.core import Core

__all__ = [
    "API_VERSION",
    "SEVERITIES",
    "Actor",
    "Cancelled",
    "Check",
    "CheckResult",
    "Cipher",
    "Confidence",
    "ConfigData",
    "ConfigurationChanged",
    "Conflict",
    "ContainerIntent",
    "ContainerState",
    "Event",
    "Failure",
    "FileChange",
    "FileNotPrivate",
    "Frame",
    "ImageFacts",
    "ImageMissing",
    "InvalidInput",
    "JobFinished",
    "Json",
    "KeySource",
    "KeySourceHealth",
    "Launched",
    "Limits",
    "Link",
    "Load",
    "Mount",
    "Neighbour",
    "NotFound",
    "Panel",
    "Pending",
    "Pin",
    "PinKind",
    "PluginFailed",
    "PolicyRefused",
    "Progress",
    "PullFailed",
    "RpcError",
    "Runtime",
    "RuntimeConflict",
    "RuntimeEvent",
    "RuntimeHealth",
    "RuntimeProtocolError",
    "RuntimeTimeout",
    "RuntimeUnavailable",
    "SavedCase",
    "SecretDelivery",
    "Sensitive",
    "ServerChanged",
    "ServerExited",
    "ServerProtocolError",
    "ServerTimeout",
    "SessionFailed",
    "Setting",
    "Severity",
    "Sink",
    "SinkEvent",
    "SinkKind",
    "StartFailed",
    "Stats",
    "Tampered",
    "TestContext",
    "TestError",
    "TestOutcome",
    "TestRunFinished",
    "TestRunRequested",
    "TestSession",
    "TestType",
    "Timed",
    "Unauthenticated",
    "Unavailable",
    "UserChanged",
    "VaultLocked",
    "Verdict",
    "Wrapped",
    "accounts_authenticate",
    "canonical",
    "clock",
    "hookimpl",
    "pin_hash",
    "private_folder",
    "read_private",
    "role_allows",
    "variable_fault",
    "write_private",
]


def accounts_authenticate(core: Core, authorization: str | None, cookies: Mapping[str, str]) -> Actor | None:
    """Return who a bearer token or a session cookie stands for; a token wins. Raises Unauthenticated for a bad token."""
    from mcpweb.services import accounts

    if authorization is not None:
        kind, _, text = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated("Only bearer tokens are understood here.")
        return accounts.actor_for_token(core, text.strip())
    secret = cookies.get("__Host-mcpweb" if core.settings.secure_cookie else "mcpweb")
    return accounts.actor_for_session(core, secret) if secret else None


def role_allows(actor: Actor, action: str) -> bool:
    """Tell whether the actor's role alone allows an action."""
    from mcpweb.services import access

    return access.by_role(actor, action)
