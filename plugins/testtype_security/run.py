"""The order of the checks: image, container, what is told to a model, changes since approval, neighbours, behaviour."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mcpweb.plugin import (
    Cancelled,
    CheckResult,
    Failure,
    ImageMissing,
    RuntimeUnavailable,
    ServerTimeout,
    TestContext,
    TestSession,
)

from . import bounds, changes, image, metadata, neighbours, posture, schemas
from .checks import PROBES
from .choice import asked
from .probes import run as probes
from .surface import Surface, look

Family = Callable[[], Iterable[CheckResult]]
TOLD = (*metadata.CHECKS, *schemas.CHECKS, *bounds.CHECKS, *neighbours.CHECKS, *changes.CHECKS)


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of all families; one that cannot decide leaves the others alone."""
    context.progress(0.02, "starting a fresh container")
    try:
        session = context.fresh(deadline_s=max(1.0, min(30.0, context.remaining_s())))
    except (Cancelled, ImageMissing, RuntimeUnavailable):
        raise
    except Failure as failure:
        yield from _not_started(context, failure)
        return
    with contextlib.closing(session):
        yield from resting(context, session)
    if asked(context, [check.id for check in PROBES]):
        context.progress(0.4, "attacking it")
        yield from guarded([check.id for check in PROBES], lambda: probes(context))


def _not_started(context: TestContext, failure: Failure) -> Iterator[CheckResult]:
    """Yield what can be said of a server that does not come to a session: its image, and what runs of it."""
    if asked(context, posture.CHECKS):
        yield from guarded(posture.CHECKS, lambda: posture.check(context, None))
    if asked(context, image.CHECKS):
        yield from guarded(image.CHECKS, lambda: image.check(context))
    for check_id in (*TOLD, *(check.id for check in PROBES)):
        if asked(context, [check_id]):
            yield _undecided(check_id, failure)


def resting(context: TestContext, session: TestSession) -> Iterator[CheckResult]:
    """Yield what can be said without an attack."""
    if asked(context, posture.CHECKS):
        yield from guarded(posture.CHECKS, lambda: posture.check(context, session))
    if asked(context, TOLD):
        yield from _looked(context, session)
    if asked(context, image.CHECKS):
        context.progress(0.3, "reading the image")
        yield from guarded(image.CHECKS, lambda: image.check(context))


def _looked(context: TestContext, session: TestSession) -> Iterator[CheckResult]:
    """Yield what the raw definitions say; without them nothing can be decided."""
    context.progress(0.1, "reading what it says to a model")
    try:
        surface = look(session)
    except Cancelled:
        raise
    except Failure as failure:
        yield from (_undecided(check_id, failure) for check_id in TOLD if asked(context, [check_id]))
    else:
        yield from guarded(TOLD, lambda: _told(context, session, surface))


def _told(context: TestContext, session: TestSession, surface: Surface) -> Iterator[CheckResult]:
    """Yield the M checks; where the list of tools could not be had, nothing is passed."""
    around = context.neighbours()
    families: tuple[tuple[Sequence[str], Family], ...] = (
        (metadata.CHECKS, lambda: metadata.check(surface, max(2.0, context.remaining_s() * 0.3))),
        (schemas.CHECKS, lambda: schemas.check(surface)),
        (bounds.CHECKS, lambda: bounds.check(surface)),
        (neighbours.CHECKS, lambda: neighbours.check(surface, around, str(context.server["name"]), context.config)),
        (changes.CHECKS, lambda: changes.check(context, session, surface)),
    )
    for checks, family in families:
        if not asked(context, checks):
            continue
        if checks is changes.CHECKS:
            context.progress(0.2, "listing again, after calls and in a second container")
        else:
            context.progress(0.15, f"looking at {checks[0]}")
        for result in guarded(checks, family):
            if result.verdict == "pass" and "tools" in surface.missing:
                why = f"The list of tools could not be had: {surface.missing['tools']}"
                yield replace(result, verdict="undecided", summary=why)
            else:
                yield result


def _undecided(check_id: str, failure: Failure) -> CheckResult:
    return CheckResult(
        check_id, "undecided", f"It could not be decided: {failure.sentence}", evidence={"code": failure.code},
        timed_out=isinstance(failure, ServerTimeout),
    )


def guarded(checks: Sequence[str], family: Family) -> Iterator[CheckResult]:
    """Yield the verdicts of a family; when it fails, those of ``checks`` that have none yet are undecided."""
    left = list(checks)
    try:
        for result in family():
            if result.check_id in left:
                left.remove(result.check_id)
            yield result
        return
    except (Cancelled, MemoryError):
        raise
    except Failure as failure:
        fault = failure
    except Exception as broken:  # what a server tells must not hide what the other families find
        fault = Failure(f"{type(broken).__name__}: {str(broken)[:200]}", code="test_error")
    for check_id in left:
        yield _undecided(check_id, fault)
