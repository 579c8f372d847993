"""What plugins may import, and nothing more. Everything here stays stable within one API version."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

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
    ImageFile,
    InputCase,
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
    Planted,
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
    Watch,
    Wrapped,
    canonical,
    is_interesting,
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
from mcpweb.permissions import PUBLIC, permission

if TYPE_CHECKING:
    from mcpweb.contracts import Role
    from mcpweb.core import Core

__all__ = [
    "API_VERSION",
    "PUBLIC",
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
    "ImageFile",
    "ImageMissing",
    "InputCase",
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
    "Planted",
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
    "Watch",
    "Wrapped",
    "accounts_authenticate",
    "begin_sign_in",
    "canonical",
    "claim_sign_in",
    "clock",
    "fetch",
    "hookimpl",
    "is_interesting",
    "own_path",
    "permission",
    "pin_hash",
    "private_folder",
    "read_private",
    "refuse_sign_in",
    "role_allows",
    "sign_in_as",
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


def fetch(
    url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, trusted: Collection[str] = ()
) -> tuple[int, bytes]:
    """Return status and body of an https address on the open Internet, or of a name that is trusted. Raises Unavailable."""
    from mcpweb.safefetch import fetch as fetched

    answer = fetched(url, body=body, headers=headers, trusted=trusted)
    return answer.status, answer.body


def own_path(given: str | None) -> str:
    """Return the path if it is one of ours, else the front page."""
    from mcpweb.web.session import own_path as checked

    return checked(given)


def begin_sign_in(core: Core, provider: str, data: Mapping[str, Any], ip: str) -> tuple[str, str]:
    """Remember somebody who leaves to sign in elsewhere: the state for the address, the secret for a cookie of the browser."""
    from mcpweb.services import providers

    return providers.begin(core, provider, data, ip)


def claim_sign_in(core: Core, provider: str, state: str, browser: str) -> Any:
    """Return what was remembered of somebody who comes back, once. Raises Unauthenticated."""
    from mcpweb.services import providers

    return providers.claim(core, provider, state, browser)


def refuse_sign_in(core: Core, provider: str, reason: str, ip: str) -> None:
    """Audit that an answer of a provider was not believed, and why."""
    from mcpweb.services import providers

    providers.refused(core, provider, reason, ip)


def sign_in_as(
    core: Core, provider: str, response: Any, *, issuer: str, subject: str, name: str, role: Role | None, request: Any,
    fresh: bool,
) -> Any:
    """Open a session for whom a provider vouches and let the browser keep it; return the response. Raises Unauthenticated.

    The person is the pair of issuer and subject. ``fresh`` says that they proved who they are within five minutes.
    """
    from mcpweb.services import providers
    from mcpweb.web.session import session_cookie, with_session

    secret = providers.sign_in(
        core, provider, issuer=issuer, subject=subject, name=name, role=role, ip=request.remote_addr or "",
        user_agent=request.user_agent.string, fresh=fresh, instead_of=request.cookies.get(session_cookie(core), ""),
    )
    return with_session(response, secret)
