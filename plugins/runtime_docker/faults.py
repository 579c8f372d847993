"""What goes wrong at the engine, in our words: most of it does not even arrive as an exception of the SDK."""
from __future__ import annotations

import http.client
import re
from typing import Any

from mcpweb.plugin import (
    Failure,
    ImageMissing,
    NotFound,
    RuntimeConflict,
    RuntimeProtocolError,
    RuntimeTimeout,
    RuntimeUnavailable,
    StartFailed,
)


class EngineRefused(RuntimeUnavailable):
    """The engine is there, understood us and said no; ``status`` and ``message`` are its own."""

    code, title = "engine_refused", "The container engine refused"
    next_step = "Read the engine's own log for the cause."

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"The container engine refused with status {status}: {message}")
        self.refusal = status
        self.message = message


def means_away(failure: Any) -> bool:
    """Tell whether a failure says that the engine as a whole is away (and not that it said no)."""
    return isinstance(failure, RuntimeUnavailable) and not isinstance(failure, EngineRefused)


def translate(error: Exception, what: str) -> Failure:
    """Return the failure that stands for any exception met while talking to the engine."""
    import requests
    import urllib3
    from docker import errors

    if isinstance(error, Failure):
        return error
    if isinstance(error, errors.APIError):
        return _answer(error)
    causes = _causes(error)
    place = _unreachable(causes)  # before time-outs: urllib3 counts a refused connection as one
    if place is not None:
        return place
    if _has(causes, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        return RuntimeTimeout(f"The container engine did not {what} in time.")
    broken = (http.client.HTTPException, requests.exceptions.ChunkedEncodingError, urllib3.exceptions.HTTPError)
    if _has(causes, http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        return RuntimeUnavailable("The container engine closed the connection without an answer.")
    if isinstance(error, errors.DockerException | ValueError | LookupError | TypeError | AttributeError):
        return RuntimeProtocolError(f"The container engine's answer cannot be read: {brief(error)}")
    if _has(causes, *broken):
        return RuntimeProtocolError(f"The container engine's answer is broken off or is not HTTP: {brief(causes[-1])}")
    return RuntimeUnavailable(f"The container engine cannot be reached: {brief(error)}")


def start_failure(failure: EngineRefused, image: str) -> StartFailed:
    """Return why a container could not be made or started, in words for people."""
    text = failure.message
    for pattern, detail, next_step in _START_REASONS:
        found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
        if found:
            word = next((group for group in found.groups() if group), "")
            return StartFailed(detail.format(word=word, image=image), next_step=next_step)
    return StartFailed(f"The engine could not start the container: {_short(text)}", next_step=_READ_LOG)


def brief(error: BaseException) -> str:
    """Return an exception's own words, cut to a line."""
    return _short(str(error)) or type(error).__name__


_READ_LOG = "Read the engine's message; if it is not about this configuration, look at the engine's log."
_START_REASONS = (
    (
        r'docker-init|exec: "(?:/sbin/)?docker-init"',
        "The engine has no init program (docker-init).",
        "Install the engine's init program (package tini or docker-init).",
    ),
    (
        r'exec: "([^"]*)".*(?:executable file not found|no such file)|stat (\S+): no such file',
        "The command `{word}` does not exist in the image {image}.",
        "Correct command or entrypoint of the configuration.",
    ),
    (
        r'exec: "([^"]*)".*permission denied',
        "The command `{word}` in the image {image} may not be executed.",
        "Correct the command, or the user of the configuration.",
    ),
    (r"no command specified", "The image {image} names no command.", "Set command or entrypoint in the configuration."),
    (
        r"unable to find user (\S+?):",
        "The user `{word}` does not exist in the image {image}.",
        "Use a numeric user (1000:1000), or one the image has.",
    ),
    (
        r"port is already allocated|address already in use",
        "The port on 127.0.0.1 is taken by another program.",
        "Start again; a free port is chosen each time.",
    ),
    (
        r"range of cpus is from ([\d.]+ to [\d.]+)",
        "The engine gives from {word} CPUs only.",
        "Lower limits.cpus in the configuration.",
    ),
    (r"minimum memory limit", "The memory limit is below what the engine allows.", "Raise limits.memory_mb."),
    (r"no space left", "The engine's disk is full.", "Free space where the engine keeps its data."),
    (
        r"non-overlapping|address pool",
        "The engine has no free address range for another network.",
        "Remove networks that nobody uses: docker network prune.",
    ),
    (
        r"unable to apply caps|operation not permitted",
        "The machine does not let the engine set up this container: operation not permitted.",
        "Take capabilities out of the configuration; the engine itself may lack the right to give them.",
    ),
    (r"exec format error", "The image {image} is made for another processor.", "Pull the image for this machine."),
    (
        r"bind source path does not exist: (\S+)|error mounting \"([^\"]*)\"",
        "`{word}` cannot be mounted.",
        "See that it exists on the machine of the engine and that the target's folder exists in the image.",
    ),
)


def _answer(error: Any) -> Failure:
    from docker import errors

    status = error.status_code or 0
    message = _short(str(error.explanation or (error.response is not None and error.response.reason) or error))
    if isinstance(error, errors.ImageNotFound):
        return ImageMissing(f"The engine has no such image: {message}", next_step="Pull the image first.")
    if status == 404:
        return NotFound(f"The engine knows nothing of it: {message}")
    if status == 409:
        return RuntimeConflict(f"The engine sees a conflict: {message}")
    if status in (502, 503, 504):
        return RuntimeUnavailable(f"Something in front of the container engine answered {status}: {message}")
    return EngineRefused(status, message)


def _unreachable(causes: list[BaseException]) -> RuntimeUnavailable | None:
    if _has(causes, FileNotFoundError):
        return RuntimeUnavailable("There is no container engine: its socket does not exist.")
    if _has(causes, ConnectionRefusedError):
        return RuntimeUnavailable("Nobody listens at the container engine's address: connection refused.")
    if _has(causes, PermissionError):
        return RuntimeUnavailable(
            "We may not open the container engine's socket: permission denied.",
            next_step="Let this user use the engine (for Docker: the group docker), then start mcpweb again.",
        )
    if _has(causes, BlockingIOError):
        return RuntimeUnavailable("The container engine takes no more connections at the moment.")
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """Return the exception and everything it wraps; requests hides the cause in its arguments."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(found) < 20:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and all(one is not known for known in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__, *one.args, getattr(one, "reason", None)]
    return found


def _has(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _short(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
