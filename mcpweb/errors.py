"""Every failure a person can meet: its HTTP status, its code and its sentence.

A failure is raised where it is known and handled in one place (``web/errors.py``, ``rest/errors.py``,
``cli/__init__.py``, ``worker``). ``detail`` is one sentence for people, ``next_step`` what they can do now.
"""
from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One fault in given data: a JSON pointer to the place and a sentence."""

    pointer: str
    detail: str


class Failure(Exception):
    """Base of all expected failures. ``code`` is stable and machine-readable."""

    status = 500
    code = "failure"
    title = "Something went wrong"
    next_step = ""

    def __init__(
        self,
        detail: str = "",
        *,
        next_step: str = "",
        code: str = "",
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        if next_step:
            self.next_step = next_step
        if code:
            self.code = code
        self.errors = tuple(errors)
        self.retry_after = retry_after

    @property
    def sentence(self) -> str:
        """Detail and next step in one text for a terminal or a notice."""
        return f"{self.detail} {self.next_step}".strip()

    def as_job_error(self) -> dict[str, Any]:
        """The ``error`` of a failed job."""
        return {"code": self.code, "detail": self.sentence}


class InvalidInput(Failure):
    status, code, title = 422, "invalid_input", "Invalid input"


class BadCursor(InvalidInput):
    code, title = "bad_cursor", "The cursor is damaged"
    next_step = "Start again at the first page."


class BadRequest(Failure):
    status, code, title = 400, "bad_request", "The request cannot be read"


class Unauthenticated(Failure):
    status, code, title = 401, "unauthenticated", "Sign in first"
    next_step = "Sign in, or send a valid bearer token."


class Forbidden(Failure):
    status, code, title = 403, "forbidden", "Not allowed"
    next_step = "Ask an administrator for a role that may do this."
    needed = ""  # the least role that would do, where the role is what is missing


class StepUpNeeded(Forbidden):
    """Allowed, but only with the password given a short while ago."""

    code, title = "step_up", "Confirm that it is you"
    next_step = "Sign in again, or confirm your password, and repeat this within five minutes."


class NotFound(Failure):
    status, code, title = 404, "not_found", "Not found"


class Conflict(Failure):
    status, code, title = 409, "conflict", "Conflict"


class PreconditionFailed(Failure):
    status, code, title = 412, "precondition_failed", "Somebody changed it meanwhile"
    next_step = "Read it again and repeat the change."


class PreconditionRequired(Failure):
    status, code, title = 428, "precondition_required", "If-Match is missing"
    next_step = "Read the object and send its ETag as If-Match."


class BodyTooLarge(Failure):
    status, code, title = 413, "body_too_large", "The body is too large"


class LengthRequired(Failure):
    status, code, title = 411, "length_required", "Content-Length is missing"
    next_step = "Send the body with a Content-Length, not chunked."


class TooManyRequests(Failure):
    status, code, title = 429, "too_many_requests", "Too many requests"


class Unavailable(Failure):
    """Something outside our process is away; the request was fine."""

    status, code, title = 503, "unavailable", "Not available now"


class SchemaChanged(Unavailable):
    code, title = "schema_changed", "The database schema does not fit this program"
    next_step = "Restart mcpweb; run `mcpweb db status` to see what is pending."


class StorageFull(Failure):
    status, code, title = 507, "storage_full", "The disk is full"
    next_step = "Free some space; nothing was changed."


class StorageUnusable(Unavailable):
    """The database cannot be read or written: missing, damaged, read-only, on a network file system."""

    code, title = "storage_unusable", "The database cannot be used"


def of_system(error: BaseException) -> Failure | None:
    """Return what an error of the system means when it is the disk's and nobody's fault in particular, else None."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return None
    where = f" ({error.filename})" if isinstance(error.filename, str) else ""
    if error.errno == errno.EROFS:
        return StorageUnusable(f"The disk cannot be written{where}.", next_step="Check the mount of the data folder.")
    return StorageFull(f"The disk is full{where}.")


class MigrationRefused(Unavailable):
    """``series`` says whose files they are: core, ``plugin:<name>``, or empty for the database as a whole."""

    code, title = "migration_refused", "The migrations do not fit the database"

    def __init__(self, detail: str, *, next_step: str = "", series: str = "") -> None:
        super().__init__(detail, next_step=next_step)
        self.series = series


class SettingsInvalid(Failure):
    status, code, title = 500, "settings_invalid", "A setting is wrong"


class FileNotPrivate(Unavailable):
    """A file that holds keys can be read by others, or is not what it should be."""

    code, title = "file_not_private", "A file with keys is not private"


class VaultLocked(Unavailable):
    """Keys cannot be had now. ``code`` is KEY_MISSING, KEY_WRONG, KEY_PASSPHRASE_NEEDED, KEY_PERMISSIONS, CIPHER_MISSING."""

    code, title = "KEY_MISSING", "The vault is locked"
    next_step = "Give the key back, then run `mcpweb keys unlock`."


class Tampered(Failure):
    """A value does not open under its own key: it was changed, moved, renamed or cut."""

    status, code, title = 409, "integrity", "An encrypted value was changed or moved"
    next_step = "Run `mcpweb keys verify`; replace the value, or restore a backup."


class KeyExhausted(Conflict):
    """A key version encrypted as often as is safe."""

    code, title = "key_exhausted", "The key was used as often as is safe"
    next_step = "Run `mcpweb keys rotate NAME`."


class SecretMissing(Conflict):
    """A required secret is missing, inactive or expired."""

    code, title = "secret_missing", "A required secret is missing"


class NoWorker(Unavailable):
    code, title = "no_worker", "No worker is running"
    next_step = "Run `mcpweb serve` or `mcpweb worker`."


class PluginBroken(Failure):
    code, title = "plugin_broken", "A plugin does not load"


# Runtime: what the engine does to us


class RuntimeUnavailable(Unavailable):
    code, title = "engine_down", "The container engine does not answer"
    next_step = "Start the engine, or set DOCKER_HOST; `mcpweb doctor` shows what was tried."


class RuntimeTimeout(RuntimeUnavailable):
    code, title = "engine_timeout", "The container engine took too long"
    next_step = "Look at the load of the machine and the engine's own log, then try again."


class RuntimeProtocolError(RuntimeUnavailable):
    code, title = "engine_protocol", "The container engine answered with something unreadable"
    next_step = "Check that DOCKER_HOST names a Docker Engine and not another service."


class RuntimeConflict(Conflict):
    code, title = "runtime_conflict", "The container name is taken"


class ImageMissing(Conflict):
    code, title = "image_missing", "The image is not on this machine"


class PullFailed(Unavailable):
    code, title = "pull_failed", "The image cannot be pulled"


class PolicyRefused(InvalidInput):
    code, title = "policy_refused", "The container policy refuses this"


class StartFailed(Conflict):
    """The engine could not start the container: bad command, missing file, port taken."""

    code, title = "start_failed", "The container could not be started"


# Sessions: what an MCP server does to us


class SessionFailed(Failure):
    """The MCP session ended or never began."""

    status, code, title = 502, "session_failed", "The MCP session failed"


class ServerExited(SessionFailed):
    code, title = "server_exited", "The server ended"


class ServerTimeout(SessionFailed):
    status, code, title = 504, "server_timeout", "The server did not answer in time"


class ServerProtocolError(SessionFailed):
    code, title = "server_protocol", "The server does not speak MCP as agreed"


class ServerFlood(SessionFailed):
    code, title = "server_flood", "The server sent more than is allowed"


class RpcError(SessionFailed):
    """The server answered with a JSON-RPC error; ``rpc`` holds it as received."""

    code, title = "rpc_error", "The server answered with an error"

    def __init__(self, rpc: dict[str, Any], **kw: Any) -> None:
        super().__init__(f"The server answered with error {rpc.get('code')}: {rpc.get('message')}", **kw)
        self.rpc = rpc


class TestError(Failure):
    """A test type could not decide; the sentence says why."""

    __test__ = False
    code, title = "test_error", "The test could not be carried out"


class Cancelled(Failure):
    status, code, title = 409, "cancelled", "Cancelled"


class Interrupted(Failure):
    """The process that did the work died; what it did outside the database is not known."""

    code, title = "interrupted", "The process that did this ended in the middle"
