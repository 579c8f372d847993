"""The order of the checks: container, image, what is told to a model, changes since approval, neighbours, behaviour."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from mcpweb.plugin import Cancelled, CheckResult, Failure, ServerTimeout, TestContext, TestSession

from . import bounds, changes, image, metadata, neighbours, posture, schemas
from .probes import run as probes
from .surface import look

Family = Callable[[], Iterable[CheckResult]]


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of all families; one that cannot decide leaves the others alone."""
    context.progress(0.02, "starting a fresh container")
    with contextlib.closing(context.fresh(deadline_s=30)) as session:
        yield from resting(context, session)
    context.progress(0.4, "attacking it")
    yield from guarded(["D01"], lambda: probes(context))


def resting(context: TestContext, session: TestSession) -> Iterator[CheckResult]:
    """Yield what can be said without calling a tool."""
    yield from guarded(posture.CHECKS, lambda: posture.check(context, session))
    context.progress(0.1, "reading the image")
    yield from guarded(image.CHECKS, lambda: image.check(context))
    context.progress(0.2, "reading what it says to a model")
    surface = look(session)
    yield from guarded(metadata.CHECKS, lambda: metadata.check(surface))
    yield from guarded(schemas.CHECKS, lambda: schemas.check(surface))
    yield from guarded(bounds.CHECKS, lambda: bounds.check(surface))
    around = context.neighbours()
    yield from guarded(neighbours.CHECKS, lambda: neighbours.check(surface, around, str(context.server["name"]), context.config))
    context.progress(0.25, "listing again, after calls and in a second container")
    yield from guarded(changes.CHECKS, lambda: changes.check(context, session, surface))


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
        why, code, late = failure.sentence, failure.code, isinstance(failure, ServerTimeout)
    except Exception as fault:  # what a server tells must not hide what the other families find
        why, code, late = f"{type(fault).__name__}: {str(fault)[:200]}", "test_error", False
    for check_id in left or list(checks)[-1:]:
        yield CheckResult(check_id, "undecided", f"It could not be decided: {why}", evidence={"code": code}, timed_out=late)
