"""Images: what the engine knows of one, and fetching one with progress."""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import (
    Failure,
    ImageFacts,
    ImageMissing,
    InvalidInput,
    NotFound,
    Progress,
    PullFailed,
    RuntimeConflict,
    RuntimeTimeout,
    Sensitive,
)

from . import faults, references

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Client

_PIECE = 1 << 18


def facts(engine: Engine, reference: str) -> ImageFacts:
    """Return facts of a local image. Raises ImageMissing."""
    references.check(reference)
    def look(client: Any) -> ImageFacts:
        return _read(reference, client.inspect_image(reference))

    try:
        return engine.call("inspect an image", look)
    except (ImageMissing, NotFound):
        raise references.missing(reference) from None


def history(engine: Engine, reference: str) -> list[dict[str, Any]]:
    """Return the steps an image was made by, newest first. Raises ImageMissing."""
    references.check(reference)
    try:
        return [dict(step) for step in engine.call("tell an image's history", lambda client: client.history(reference))]  # type: ignore[no-untyped-call]
    except (ImageMissing, NotFound):
        raise references.missing(reference) from None


def pull(engine: Engine, reference: str, progress: Progress, login: Sensitive | None = None) -> ImageFacts:
    """Fetch an image. Raises PullFailed with the reason, Cancelled, and the kinds of RuntimeUnavailable."""
    match = references.PULLABLE.fullmatch(reference)
    if match is None or references.LOCAL_ID.fullmatch(reference):
        raise PullFailed(
            f"{reference[:200]!r} cannot be pulled: it is not a reference like name:tag or name@sha256:….",
            next_step="Correct the image of the server.",
        )
    part = match["digest"] or match["tag"] or "latest"

    def begin(client: Client) -> Iterator[Any]:
        from docker import errors

        more: dict[str, Any] = {} if login is None else {"auth_config": _signed_in(login)}
        try:
            return iter(client.pull(match["repository"], tag=part, stream=True, decode=True, **more))
        except errors.DockerException as error:
            if isinstance(error, errors.APIError):
                raise
            if login is not None:  # what the SDK says of it may hold it
                raise PullFailed(f"The sign-in for {reference} cannot be used.", next_step=_SIGN_IN, code="pull_denied") from None
            raise PullFailed(
                f"The stored sign-in for {reference} cannot be used: {faults.brief(error)}",
                next_step="Sign in again with docker login as the user mcpweb runs as.",
            ) from error

    progress(None, f"Pulling {reference}")
    silence = engine.deadlines.pull_silence
    layers = _Layers()
    heard = time.monotonic()
    try:
        for message in engine.stream("begin to pull", begin, deadline_s=silence):
            if message is None:
                progress(layers.fraction, layers.sentence)  # raises Cancelled
                if time.monotonic() - heard > silence:
                    raise PullFailed(f"Nothing came for {silence:g} s while pulling {reference}.", next_step=_TRY_AGAIN)
                continue
            heard = time.monotonic()
            if "error" in message:
                raise _failed(reference, str(message["error"]))
            if layers.take(message):
                progress(layers.fraction, layers.sentence)
    except (faults.EngineRefused, NotFound, ImageMissing, RuntimeConflict) as failure:
        raise _failed(reference, getattr(failure, "message", failure.detail)) from failure
    progress(1.0, f"Pulled {reference}")
    try:
        return facts(engine, reference)
    except ImageMissing as failure:
        raise PullFailed(f"The engine ended pulling {reference} without an image.", next_step=_TRY_AGAIN) from failure


def _signed_in(login: Sensitive) -> dict[str, str]:
    user, _colon, password = login.reveal().partition(":")
    return {"username": user, "password": password}


_SIGN_IN = (
    "Check the name; for a private image keep its registry's user:password as the secret registry.HOST, or sign in with docker "
    "login as the user mcpweb runs as."
)
_TRY_AGAIN = "Try again; if it happens again, look at the network and at the registry."
_REASONS = (
    (
        r"unauthorized|authentication required|no basic auth|denied",
        "The registry does not let us have {reference}, or there is no such image.",
        _SIGN_IN,
    ),
    (
        r"manifest unknown|not found|does not exist|name unknown",
        "There is no image {reference} in the registry.",
        "Check name and tag.",
    ),
    (r"no such host|lookup ", "The registry of {reference} is not known: its name does not resolve.", _TRY_AGAIN),
    (r"connection refused|dial tcp", "The registry of {reference} cannot be reached: {reason}", _TRY_AGAIN),
    (r"timeout|timed out|deadline", "The registry of {reference} did not answer in time.", _TRY_AGAIN),
    (r"no space left", "The engine's disk is full.", "Free space where the engine keeps its data."),
    (r"no matching manifest", "There is no image {reference} for this machine's processor.", "Use another image."),
)


def load(engine: Engine, archive: Path) -> None:
    """Load an image archive into the engine."""

    def work(client: Any) -> None:
        with open(archive, "rb") as data:
            for line in client.load_image(data):
                if "error" in line:
                    raise InvalidInput(f"The engine refuses the image archive: {str(line['error'])[:300]}")

    engine.call("load an image", work, deadline_s=engine.deadlines.archive)


def save(engine: Engine, reference: str, archive: Path) -> None:
    """Write an image the engine has as an archive. Raises ImageMissing."""
    references.check(reference)

    def work(client: Client) -> None:
        with open(archive, "wb") as out:
            for chunk in client.get_image(reference):
                out.write(chunk)

    try:
        engine.call("save an image", work, deadline_s=engine.deadlines.archive)
    except (ImageMissing, NotFound):
        raise references.missing(reference) from None


def export(engine: Engine, reference: str, stop: Callable[[], bool]) -> Iterator[bytes]:
    """Yield an image the engine has as an archive. Raises ImageMissing."""
    references.check(reference)

    def begin(client: Client) -> Iterator[bytes]:
        return iter(client.get_image(reference, chunk_size=_PIECE))

    silence, heard = engine.deadlines.stream_silence, time.monotonic()
    flow = engine.stream("save an image", begin, deadline_s=engine.deadlines.archive, stop=stop, ahead=8)
    try:
        for piece in flow:
            if stop():
                return
            if piece is not None:
                heard = time.monotonic()
                yield piece
            elif time.monotonic() - heard > silence:
                raise RuntimeTimeout(f"The container engine sent nothing of an image for {silence:g} s.")
    except (ImageMissing, NotFound):
        raise references.missing(reference) from None
    finally:
        flow.close()  # type: ignore[attr-defined]


def _failed(reference: str, reason: str) -> Failure:
    for pattern, detail, next_step in _REASONS:
        if re.search(pattern, reason, re.IGNORECASE):
            code = "pull_denied" if next_step is _SIGN_IN else ""
            return PullFailed(detail.format(reference=reference, reason=reason), next_step=next_step, code=code)
    return PullFailed(f"{reference} cannot be pulled: {reason}", next_step=_TRY_AGAIN)


class _Layers:
    """How far a pull is, over all layers: downloading counts for four fifths, unpacking for the rest."""

    def __init__(self) -> None:
        self._done: dict[str, float] = {}
        self._size: dict[str, int] = {}
        self._told = 0.0
        self.sentence = "Pulling"
        self.fraction: float | None = None

    def take(self, message: Mapping[str, Any]) -> bool:
        """Note one message; True when it is time to tell somebody."""
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        detail = message.get("progressDetail") or {}
        current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
        if status == "Downloading" and total > 0:
            self._size[layer] = total
            self._done[layer] = 0.8 * current / total
        elif status == "Extracting" and total > 0:
            self._size.setdefault(layer, total)
            self._done[layer] = 0.8 + 0.2 * current / total
        elif status in ("Pull complete", "Already exists"):
            self._done[layer] = 1.0
        self.sentence = f"{status} {layer}".strip() if layer else status or self.sentence
        if self._size:
            done = sum(self._done.get(one, 0.0) * size for one, size in self._size.items())
            now_done = min(done / sum(self._size.values()), 0.99)
            self.fraction = max(self.fraction or 0.0, now_done)  # a layer that joins late must not turn it back
        now = time.monotonic()
        if now - self._told < 0.25 and status in ("Downloading", "Extracting"):
            return False
        self._told = now
        return True


def _read(reference: str, image: Mapping[str, Any]) -> ImageFacts:
    config = image.get("Config") or {}
    ports = [int(port.partition("/")[0]) for port in config.get("ExposedPorts") or {} if port.endswith("/tcp")]
    return ImageFacts(
        reference=reference,
        id=str(image["Id"]),
        digest=_digest(reference, image.get("RepoDigests") or []),
        architecture=str(image.get("Architecture") or ""),
        os=str(image.get("Os") or ""),
        user=str(config.get("User") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        exposed_ports=tuple(sorted(ports)),
        labels=dict(config.get("Labels") or {}),
        size=int(image.get("Size") or 0),
        created_at=image.get("Created"),
        raw=image,
    )


def _digest(reference: str, digests: list[str]) -> str | None:
    """Return the repository digest, preferably of the repository that was asked for."""
    repository = reference.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    pairs = [one.rpartition("@")[::2] for one in digests]
    for name, digest in pairs:
        if name == repository or name.endswith("/" + repository):
            return digest
    return pairs[0][1] if pairs else None


__all__ = ["export", "facts", "history", "load", "pull", "save"]
