"""P05, memory that is kept: does what a tool leaves behind add up, call for call, without an end?

Each tool is looked at on its own, with inputs that differ from call to call, because a cache keyed by its input only grows
when that changes. A short look after a warm-up – two equal blocks of calls – is enough for nearly all tools. Only one that
grew in both is called on and on, until it levels off or has shown for long enough that it does not. A garbage collector lets
memory rise and fall, so what counts at each point is the least memory that was seen from there on: what has come back was
not kept.
"""
from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Load, TestContext, TestError, TestSession

from .measure import MIB
from .subject import Subject, answered
from .target import may_be_loaded, tools_of

AT_ONCE = 4
LEAST_KEPT = 16 << 10  # bytes a call: more than a small result, and ten times what heaps drift by in some hundred calls
STORED = 4  # times its input may a tool keep of each call that does not say it only reads
LEAST_BLOCK = 256 << 10  # in one block of the short look: heaps grow in steps of about 128 KiB
WARM_UP, BLOCK, FEWEST = 64, 32, 8  # calls
LONG_CALLS = 1500  # enough for a verdict, whatever the size
SURE_CALLS = 300  # enough when a quarter of the limit was kept by then; half of it is always enough
DECIDED_CALLS = 150  # fewer, when time is up, decide nothing
WITHIN_CALLS = 50_000  # to the limit: what needs more is for the soak
MOST_TOOLS = 24
MOST_LOST = 2  # sessions that a tool may end before no more are opened
PARTS = 3  # of the long look: memory must grow in each
SPREAD = 997  # the number of the first input that is tried to differ
INT_SPREAD = 20
CALL_S = 3.0
SLOW_MS = 100.0
SLOWEST_S = 0.2  # of a tool's share may one call take, when that is more
LEAST_SHARE_S = 0.25


@dataclass(frozen=True)
class Spend:
    """Seconds for the short looks together, for each, and for the long look at one tool."""

    all_s: float
    each_s: float
    long_s: float


SPENDS = {"quick": Spend(2.2, 0.7, 15.0), "full": Spend(60.0, 8.0, 60.0)}


@dataclass
class Feed:
    """The arguments of a tool's calls: the cases in turn, each call's a little different where the schema leaves room."""

    cases: list[dict[str, Any]]
    free: dict[str, tuple[int, int] | int]  # an integer's bounds, a text's greatest length
    made: int = 0

    def take(self, calls: int) -> list[dict[str, Any]]:
        first = self.made
        self.made += calls
        return [vary(self.cases[number % len(self.cases)], self.free, number) for number in range(first, first + calls)]

    def bytes_a_call(self) -> int:
        return max(len(json.dumps(one, default=str)) for one in self.cases)


@dataclass
class Kept:
    """Memory after so many calls of one tool."""

    tool: str
    bound: int
    reads: bool
    example: dict[str, Any]
    points: list[tuple[int, int]] = field(default_factory=list)
    limit: int = 0
    why_not: str = ""
    ended: str = ""  # how the server ended, when it was killed for its memory

    @property
    def calls(self) -> int:
        return self.points[-1][0] - self.points[0][0] if self.points else 0

    @property
    def grown(self) -> int:
        least = self.floors()
        return least[-1] - least[0] if least else 0

    def floors(self) -> list[int]:
        """Return for each point the least memory from there on: what came back later was not kept."""
        return list(accumulate((size for _, size in reversed(self.points)), min))[::-1]

    def rates(self, parts: int) -> list[float]:
        """Return bytes kept a call in equal parts of the points."""
        least, last = self.floors(), len(self.points) - 1
        cuts = [round(last * part / parts) for part in range(parts + 1)]
        return [(least[b] - least[a]) / max(1, self.points[b][0] - self.points[a][0]) for a, b in pairwise(cuts)]

    def suspect(self) -> bool:
        """Whether it grew in both blocks of the short look."""
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(self.points[:3])]
        return len(steps) == 2 and all(grown >= max(LEAST_BLOCK, self.bound * calls) for calls, grown in steps)

    def levelled(self) -> bool:
        """Whether the latest third kept next to nothing."""
        return len(self.points) > 2 * PARTS and self.calls >= DECIDED_CALLS and self.rates(PARTS)[-1] < self.bound / 4

    def enough(self) -> bool:
        share = self.grown / self.limit if self.limit else self.grown / (512 * MIB)
        long = self.calls >= LONG_CALLS or (self.calls >= SURE_CALLS and share >= 1 / 4) or share >= 1 / 2
        return long and len(self.points) > 2 * PARTS

    def grows(self) -> bool:
        """Whether it kept more than the bound in every part, so that the limit is near."""
        rates = self.rates(PARTS)
        left = self.limit - self.points[-1][1]
        return min(rates) >= self.bound and (not self.limit or left <= WITHIN_CALLS * rates[-1])


def vary(arguments: Mapping[str, Any], free: Mapping[str, tuple[int, int] | int], number: int) -> dict[str, Any]:
    """Return the arguments with a number in each text that is free, and whole numbers moved within their bounds."""
    made = dict(arguments)
    for name, room in free.items():
        value = made.get(name)
        if isinstance(value, str) and isinstance(room, int):
            tail = f" {number}"
            made[name] = (value[: max(0, room - len(tail))] + tail)[-room:]
        elif isinstance(value, int) and not isinstance(value, bool) and isinstance(room, tuple):
            low, high = room
            made[name] = low + (value - low + number) % (high - low + 1)
    return made


def free_properties(schema: Any) -> dict[str, tuple[int, int] | int]:
    """Return the properties whose values may be changed at will, by the schema."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    found: dict[str, tuple[int, int] | int] = {}
    for name, one in (properties if isinstance(properties, Mapping) else {}).items():
        if not isinstance(one, Mapping) or {"enum", "const", "pattern", "format", "multipleOf", "$ref"} & one.keys():
            continue
        if one.get("type") == "string":
            most = one.get("maxLength", 1 << 16)
            if isinstance(most, int) and most >= 8:
                found[name] = most
        elif one.get("type") == "integer":
            low, high = one.get("minimum", 1), one.get("maximum")
            if isinstance(low, int):
                high = high if isinstance(high, int) else low + INT_SPREAD - 1
                found[name] = (low, min(high, low + INT_SPREAD - 1)) if high > low else (low, low)
    return found


def growth(context: TestContext, subject: Subject, session: TestSession) -> Iterator[CheckResult]:
    """Yield a violation for each tool that keeps memory, and one sentence on all others; ``session`` is for those that read."""
    spend, found = SPENDS[context.profile], []
    tools = tools_of(session)
    only = subject.plan.tool
    lanes = [(reads, [one for one in tools if may_be_loaded(context, one) == reads and only in ("", one["name"])])
             for reads in (True, False)]
    wanted = [(reads, one) for reads, lane in lanes for one in lane][:MOST_TOOLS]
    began, lost = time.monotonic(), 0
    until = began + spend.all_s
    own: dict[bool, TestSession] = {} if subject.canaries else {True: session}
    try:
        for place, (reads, definition) in enumerate(wanted):
            share = max(LEAST_SHARE_S, min(spend.each_s, (until - time.monotonic()) / (len(wanted) - place)))
            if time.monotonic() > until or context.remaining_s() < 20 or lost > MOST_LOST:
                break
            context.progress(None, f"memory kept by {str(definition['name'])[:60]}")
            if reads not in own:
                opening = time.monotonic()
                own[reads] = subject.open(canaries=not reads)
                until += time.monotonic() - opening
            kept = Kept(str(definition["name"]), LEAST_KEPT, reads, {}, limit=context.config.limits.memory_mb * MIB)
            found.append(kept)
            took = time.monotonic()
            try:
                _look(context, own[reads], definition, kept, share, spend.long_s)
            except Failure as failure:
                kept.why_not = failure.sentence
            until += max(0.0, time.monotonic() - took - share)  # a long look at one is not taken from the others
            if not own[reads].inspect().running:
                lost += 1
                own.pop(reads).close()
    except Failure as failure:
        yield CheckResult("P05", "undecided", f"What tools keep could not be seen: {failure.sentence}", key="growth")
        return
    finally:
        for one in own.values():
            if one is not session:
                one.close()
    yield from said_of(found, [str(one["name"]) for _, one in wanted], time.monotonic() - began)


def _look(
    context: TestContext, session: TestSession, definition: Mapping[str, Any], kept: Kept, share_s: float, long_s: float
) -> None:
    feed, usual_ms = _feed(context, session, definition, time.monotonic() + share_s / 3)
    kept.example = feed.cases[0]
    if not kept.reads:
        kept.bound += STORED * feed.bytes_a_call()
    if usual_ms > max(SLOW_MS, SLOWEST_S * share_s * 1000):
        raise TestError("Its calls take too long.")
    calls = max(FEWEST, int(share_s * 1000 / 4 / max(usual_ms, 0.1)))
    per_block = min(BLOCK if context.profile == "quick" else 4 * BLOCK, calls)
    made = [min(WARM_UP, 2 * calls)]
    if not _calls(session, kept, feed, made[0]):
        return
    _sample(session, kept, 0)
    for _ in range(2):
        if not _calls(session, kept, feed, per_block):
            return
        _sample(session, kept, per_block)
    if not kept.suspect():
        return
    until = time.monotonic() + min(long_s, context.remaining_s() / 3)
    while time.monotonic() < until and not kept.levelled() and not kept.enough():
        if not _calls(session, kept, feed, per_block):
            return
        _sample(session, kept, per_block)


def _feed(context: TestContext, session: TestSession, definition: Mapping[str, Any], until: float) -> tuple[Feed, float]:
    """Return inputs that are answered, and what a call takes. Raises TestError when there is none."""
    tool, schema = str(definition["name"]), definition.get("inputSchema")
    made = [case.arguments for case in context.inputs(definition, valid=8, invalid=0) if case.valid]
    made.sort(key=lambda one: len(json.dumps(one, default=str)))
    made = made[:4] + made[-1:] if len(made) > 5 else made
    good: list[dict[str, Any]] = []
    usual_ms = 0.0
    for arguments in made:
        if good and time.monotonic() > until:
            break
        took = answered(session.load(tool, [arguments], calls=1, deadline_s=CALL_S))
        if took:
            good.append(arguments)
            usual_ms = min(usual_ms, took[0]) if len(good) > 1 else took[0]
        elif time.monotonic() > until:
            break
    if not good:
        raise TestError("No input was found that it answers without an error.")
    free: dict[str, tuple[int, int] | int] = {}
    for name, room in free_properties(schema).items():
        tried = [vary(one, {name: room}, SPREAD) for one in good]
        new = [one for one in tried if one not in good][:1]
        if new and not context.value_faults(schema, new[0]):
            took = answered(session.load(tool, new, calls=1, deadline_s=CALL_S))
            if took and took[0] <= max(10.0, 3 * usual_ms):
                free[name] = room
    return Feed(good, free), usual_ms


def _calls(session: TestSession, kept: Kept, feed: Feed, calls: int) -> bool:
    """Make a block of calls; False when the server did not live through it, or leaves calls without an answer."""
    load: Load = session.load(kept.tool, feed.take(calls), calls=calls, concurrency=AT_ONCE, deadline_s=CALL_S)
    lost = [one for one in load.calls if one.outcome in ("gone", "timeout")]
    if len(load.calls) >= calls and not lost:
        return True
    state = session.inspect()
    if state.oom_killed:
        kept.ended = f"needed more memory than its limit within {feed.made} calls of {kept.tool}"
    kept.why_not = "Its calls are not answered any more."
    return False


def _sample(session: TestSession, kept: Kept, calls: int) -> None:
    now = session.resident()
    if not now:
        raise TestError("The server ended, or its memory could not be seen.")
    kept.points.append(((kept.points[-1][0] if kept.points else 0) + calls, now))


def said_of(found: Sequence[Kept], wanted: Sequence[str], seconds: float) -> Iterator[CheckResult]:
    """Yield what the looks at the tools mean."""
    fine: dict[str, Any] = {}
    for kept in found:
        verdict = _said(kept)
        if verdict is not None:
            yield verdict
        elif len(kept.points) > 2:
            fine[kept.tool] = {"calls": kept.calls, "kept_bytes": kept.grown, "memory_bytes": kept.points[-1][1]}
    if fine:
        left = {one.tool: one.why_not for one in found if one.why_not}
        left |= {name: "There was no time for it." for name in wanted if name not in {one.tool for one in found}}
        which = f"{len(fine)} of {len(wanted)} tools" if len(wanted) > 1 else next(iter(fine))
        told = f"Called again and again with other inputs, {which} kept no memory that adds up."
        yield CheckResult("P05", "pass", told, key="growth",
                          evidence={"tools": fine, "left_out": left, "seconds": round(seconds, 2),
                                    "bound_bytes_per_call": LEAST_KEPT})


def _said(kept: Kept) -> CheckResult | None:
    evidence: dict[str, Any] = {"memory_by_calls": kept.points[-100:], "memory_limit_bytes": kept.limit,
                                "bound_bytes_per_call": kept.bound, "read_only": kept.reads}
    common: dict[str, Any] = {"tool": kept.tool, "key": "growth", "evidence": evidence,
                              "input": {"method": "tools/call", "params": {"name": kept.tool, "arguments": kept.example}}}
    if kept.ended:
        return CheckResult("P05", "fail", f"Called again and again, the server {kept.ended}.", severity="high", **common,
                           next_step="Look for what each call leaves behind; raise the limit only when the need is real.")
    if not kept.suspect() or kept.levelled():
        return None
    rates = kept.rates(PARTS)
    evidence["kept_bytes_per_call"] = [round(one) for one in rates]
    told = f"{kept.grown / MIB:.0f} MiB in {kept.calls} calls ({', '.join(f'{one / 1024:.0f}' for one in rates)} KiB a call, "
    told += "a third of them each)"
    if len(kept.points) < 2 * PARTS or (kept.calls < DECIDED_CALLS and not kept.enough()):
        return CheckResult("P05", "undecided", f"{kept.tool} kept {told}; time was too short to see whether that ends.",
                           next_step='Name the tool in the profile full: {"tool": …}.', **common)
    if not kept.grows():
        return None
    near = max(0, kept.limit - kept.points[-1][1]) / rates[-1]
    ends = f": its limit of {kept.limit / MIB:.0f} MiB is reached after {near:,.0f} more" if kept.limit else ""
    return CheckResult(
        "P05", "fail", f"{kept.tool} keeps memory of each call and does not level off, {told}{ends}.", confidence="firm",
        metrics={"P05.kept_kb_per_call": rates[-1] / 1024},
        next_step="Look for what each call leaves behind: a list, a cache without bound, an open file.",
        reproduce=f"Start the server and call {kept.tool} {kept.calls} times, {AT_ONCE} at once, with arguments that differ "
                  "from call to call (the input is one of them); compare the memory of its container before and after.",
        **common,
    )
