"""The order of the checks: lists, then calls, then what needs a container of its own; frames are read at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from mcpweb.plugin import (
    CheckResult,
    Failure,
    ImageMissing,
    PolicyRefused,
    RuntimeUnavailable,
    ServerTimeout,
    TestContext,
    TestSession,
)

from . import (
    asking,
    behaviour,
    calls,
    frames,
    invalid,
    large,
    lists,
    outputs,
    paging,
    prompting,
    saved,
    serving,
    timing,
    together,
    tools,
)
from .base import Bench, Lane, guarded
from .checks import CHECKS
from .lists import Walk

Check = Callable[[], Iterator[CheckResult]]


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of F01 to F21."""
    context.progress(0.02, "starting a fresh container")
    try:
        lane, first = _first(context)
    except (ImageMissing, PolicyRefused, RuntimeUnavailable):
        raise
    except Failure as failure:
        yield from _did_not_start(failure)
        return
    bench = Bench(context, first, lane)
    try:
        yield from _checks(bench)
    finally:
        bench.close()


def _first(context: TestContext) -> tuple[Lane, TestSession]:
    """Return the lane for what may not see secrets, or the other one when the server does not start there."""
    lane = Lane(context, trusted=False)
    try:
        return lane, lane.session
    except (ImageMissing, PolicyRefused, RuntimeUnavailable):
        raise
    except Failure:
        trusted = Lane(context, trusted=True)
        return trusted, trusted.session


def _did_not_start(failure: Failure) -> Iterator[CheckResult]:
    yield CheckResult(
        "F06",
        "undecided",
        f"There is no session to call tools in: {failure.sentence}",
        evidence={"code": failure.code, "stderr": str(getattr(failure, "stderr", ""))[-2000:]},
        timed_out=isinstance(failure, ServerTimeout),
        next_step="Run the connection test; it says which step failed.",
    )
    for check in CHECKS:
        if check.id != "F06":
            yield CheckResult(check.id, "not_applicable", "The server did not get as far as the handshake.")


def wanted(context: TestContext) -> frozenset[str]:
    """Return the checks to carry out: all, or those the parameter ``checks`` names (a run of saved cases alone: F21)."""
    named = context.parameters.get("checks")
    known = frozenset(check.id for check in CHECKS)
    chosen = frozenset(one for one in named if isinstance(one, str)) & known if isinstance(named, list) else known
    return chosen or known


def _checks(bench: Bench) -> Iterator[CheckResult]:
    context = bench.context
    chosen = wanted(context)
    session = bench.plain.session
    walks: dict[str, Walk] = {}
    yield from _listed(bench, walks, chosen)
    steps = [*_on_lists(bench, walks), *_on_calls(bench, walks), *_on_frames(bench, walks, session)]
    for at, (check_id, sentence, check) in enumerate(steps):
        if check_id in chosen:
            context.progress(0.1 + 0.85 * at / len(steps), sentence)
            yield from guarded(check_id, check)
        if check_id == "F21":
            for told in calls.call_all(bench, chosen):
                context.progress(None, told)


def _listed(bench: Bench, walks: dict[str, Walk], chosen: frozenset[str]) -> Iterator[CheckResult]:
    bench.context.progress(0.05, "walking the lists")
    try:
        walks["tools"] = lists.walk(bench.plain.session, "tools")
        bench.declared = lists.listed(walks["tools"])
        bench.tools = [one if isinstance(one.get("inputSchema"), dict) else {**one, "inputSchema": {}} for one in bench.declared]
    except Failure as failure:
        if "tools" in bench.capabilities and "F02" in chosen:
            late = isinstance(failure, ServerTimeout)
            yield CheckResult("F02", "undecided", f"The tools cannot be listed: {failure.sentence}", timed_out=late)
    walks |= serving.get_walks(bench, lists.walk)


def _on_lists(bench: Bench, walks: dict[str, Walk]) -> Iterator[tuple[str, str, Check]]:
    yield "F02", "looking at names and order", partial(lists.names_and_order, bench, walks.get("tools"))
    yield "F02", "looking at other lists", partial(lists.others_stable, bench, walks)
    yield "F03", "looking at schemas", partial(lists.schemas, bench)
    shown = {what: one for what, one in walks.items() if one.items or one.pages > 1}
    yield "F04", "looking at pages", partial(paging.pages, bench, shown)
    yield "F14", "sending a ping", partial(paging.ping, bench)
    yield "F21", "calling saved cases", partial(saved.cases, bench)


def _on_calls(bench: Bench, walks: dict[str, Walk]) -> Iterator[tuple[str, str, Check]]:
    yield "F06", "looking at valid input", partial(tools.valid_input, bench)
    yield "F07", "looking at invalid input", partial(invalid.invalid_input, bench)
    yield "F08", "looking at errors", partial(invalid.errors, bench)
    yield "F09", "looking at structured results", partial(outputs.structured, bench)
    yield "F15", "reading resources", partial(serving.resources, bench, walks)
    yield "F16", "getting prompts", partial(prompting.prompts, bench, walks)
    yield "F18", "listening for changes", partial(serving.subscriptions, bench, walks)
    yield "F17", "looking at what is asked for", partial(asking.more_input, bench)
    yield "F12", "cancelling a call", partial(timing.cancelling, bench)
    yield "F19", "calling at the same time", partial(together.at_once, bench)
    yield "F20", "sending megabytes", partial(large.large, bench)
    yield "F11", "watching what tools do", partial(behaviour.promises, bench)


def _on_frames(bench: Bench, walks: dict[str, Walk], session: TestSession) -> Iterator[tuple[str, str, Check]]:
    if "tools" in walks:
        yield "F02", "looking at the list again", partial(lists.changed_by_calls, bench, walks["tools"], session)
        yield "F02", "looking at other containers", partial(lists.same_elsewhere, bench)
    yield "F13", "looking at progress and logs", partial(frames.unasked, bench)
    yield "F05", "looking at results", partial(frames.keeps, bench)
    yield "F10", "looking at content", partial(outputs.content, bench)
    yield "F01", "reading all messages again", partial(frames.fits_schema, bench)
