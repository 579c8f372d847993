"""F20: large messages."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult, TestSession

from .base import Attempt, Bench, Lane, cut
from .calls import learn
from .frames import AUTHOR
from .timing import properties

MEGABYTE = 1_000_000
SHORTEST = 20_000
MOST_TAKERS = 4
LARGE_S = 10.0
PATIENCE_S = 15.0  # for the next answer of a server that still chews on ten megabytes
RESTING_S = 1.5  # who uses next to no processor for so long while it owes a reply does not work on it


@dataclass(frozen=True)
class Taker:
    """A tool with a text argument that may be long, a call of it that worked, and the sizes to try."""

    definition: Mapping[str, Any]
    worked: Attempt
    name: str
    echoes: bool
    sizes: Sequence[int]

    @property
    def tool(self) -> str:
        return str(self.definition["name"])


def large(bench: Bench) -> Iterator[CheckResult]:
    """F20: one and ten megabytes are taken, or refused; what comes back is whole, at once or later, or says that it is not."""
    takers = _taking_text(bench)
    if not takers:
        yield CheckResult("F20", "not_applicable", "No tool takes a text without a bound.")
        return
    seen: dict[str, Any] = {}
    lane: Lane | None = None
    try:
        for at, taker in enumerate(takers[:MOST_TAKERS]):
            trusted = bench.lane(taker.definition).trusted
            if lane is None or lane.trusted is not trusted:
                if lane is not None:
                    lane.end()
                lane = Lane(bench.context, trusted=trusted)
            for size in taker.sizes[: 2 if at == 0 else 1]:
                found = _taken(bench, lane, taker, size, seen)
                if found is not None:
                    yield found
                    return
        yield CheckResult(
            "F20",
            "pass",
            "1 MB and 10 MB are taken or refused, and nothing is cut in silence.",
            tool=takers[0].tool,
            evidence=seen,
            metrics={
                f"F20.{size}_ms": seen[f"{takers[0].tool}, {size} MB"]["ms"]
                for size in (1, 10)
                if f"{takers[0].tool}, {size} MB" in seen
            },
        )
    finally:
        if lane is not None:
            lane.end()


def _taken(bench: Bench, lane: Lane, taker: Taker, size: int, seen: dict[str, Any]) -> CheckResult | None:
    """Send one text; return what is wrong, or cannot be told."""
    tool, text = taker.tool, _text(size)
    told = f"{size // MEGABYTE} MB" if size >= MEGABYTE else f"{size // 1000} kB"
    rests: list[bool] = []
    attempt = lane.call(
        tool, {**taker.worked.arguments, taker.name: text}, deadline_s=LARGE_S, patience_s=PATIENCE_S,
        overdue=lambda session: rests.append(_rests(session)),
    )
    seen[f"{tool}, {told}"] = {"outcome": attempt.outcome, "ms": round(attempt.ms), "characters": len(attempt.words)}
    given = {"name": tool, "arguments": {**taker.worked.arguments, taker.name: f"({size} characters)"}}
    more: dict[str, Any] = {"tool": tool, "evidence": seen, "input": {"method": "tools/call", "params": given}}
    if attempt.given_up:
        return CheckResult("F20", "undecided", f"A reply of {told} is more than a session takes.", tool=tool, evidence=seen)
    if attempt.outcome in ("gone", "timeout") and not _refused_http(attempt):
        if attempt.outcome == "timeout" and lane.current is not None and size > MEGABYTE and not any(rests):
            late = f"It takes more than {LARGE_S:g} s to take {told}, and goes on."
            return CheckResult("F20", "undecided", late, tool=tool, evidence=seen, timed_out=True)
        said = "ends the server" if attempt.outcome == "gone" else "gets no answer"
        why = bench.context.busy() if attempt.outcome == "timeout" and not any(rests) else ""
        return CheckResult(
            "F20",
            "undecided" if why else "fail",
            f"An argument of {told} gets no answer in {LARGE_S:g} s, and the server does nothing meanwhile."
            if any(rests)
            else f"An argument of {told} {said}. {why}".strip(),
            severity="medium" if size <= MEGABYTE else "low",
            timed_out=attempt.outcome == "timeout",
            next_step=AUTHOR + "read lines of any length, or refuse those that are too long.",
            **more,
        )
    if attempt.outcome != "ok":
        return None
    whole = AUTHOR + "keep and return all of it, or say that it was cut."
    if taker.echoes and text not in attempt.words and _cut_in_silence(text, attempt.words):
        return CheckResult("F20", "fail", f"A text of {told} comes back cut, and nothing says so.", next_step=whole, **more)
    counted = _counted(bench, lane, taker, text, attempt) if size <= MEGABYTE else None
    if counted is not None:
        return CheckResult(
            "F20", "fail", f"Of a text of {size} characters it says that it has {counted}.", next_step=whole, **more
        )
    later = _read_later(bench, lane, taker, attempt, text) if size <= MEGABYTE else None
    if later is not None:
        more["evidence"] = {
            **seen,
            "read": {"tool": later.tool, "arguments": cut(later.arguments), "characters": len(later.words)},
        }
        return CheckResult("F20", "fail", f"A text of {told} is kept, and {later.tool} returns it cut.", next_step=whole, **more)
    return None


def _rests(session: TestSession) -> bool:
    """Tell whether the server uses no processor to speak of."""
    with session.watch() as watch:
        time.sleep(RESTING_S)
    samples = watch.samples()
    return len(samples) > 1 and samples[-1].cpu_s - samples[0].cpu_s < 0.02 * RESTING_S


def _counted(bench: Bench, lane: Lane, taker: Taker, text: str, attempt: Attempt) -> int | None:
    """Return the length a tool tells of a large text, where it tells those of small ones right and this one smaller."""
    places: list[list[int]] = []
    for length in (137, 253):
        small = lane.call(taker.tool, {**taker.worked.arguments, taker.name: text[:length]}, deadline_s=3.0)
        places.append([at for at, number in enumerate(_numbers(small.words)) if number == length])
    said = _numbers(attempt.words)
    for at in set(places[0]) & set(places[1]):
        if at < len(said) and said[at] < len(text) and said[at] > 253:
            return said[at]
    return None


def _numbers(words: str) -> list[int]:
    return [int(re.sub(r"[,'_]", "", found)[:15]) for found in re.findall(r"\d[\d,'_]*", words[:5000])]


def _read_later(bench: Bench, lane: Lane, taker: Taker, attempt: Attempt, text: str) -> Attempt | None:
    """Look for a text that was kept in what other tools tell of it; return the one that has its beginning, and not all."""
    known: dict[str, list[Any]] = {}
    learn(known, taker.definition, attempt.result)
    given = {name: value for name, value in attempt.arguments.items() if name != taker.name}
    for other in bench.tools[:12]:
        name = str(other["name"])
        if name == taker.tool or bench.context.remaining_s() < 10 or bench.lane(other).trusted is not lane.trusted:
            continue
        needed = (other.get("inputSchema") or {}).get("required") or []
        worked = bench.worked(name)
        arguments = dict(worked.arguments) if worked is not None else {}
        arguments |= {key: given[key] for key in needed if key in given}
        arguments |= {key: known[key][-1] for key in needed if known.get(key)}
        if set(needed) - set(arguments):
            continue
        got = lane.call(name, arguments, deadline_s=LARGE_S, patience_s=PATIENCE_S)
        if got.outcome == "gone":
            return None
        if got.outcome == "ok" and text not in got.words and _kept_short(text, got.words):
            return got
    return None


def _kept_short(sent: str, got: str) -> bool:
    """Tell whether an answer holds a long piece of the text that ends in its midst, and nothing is said of that."""
    at = got.find(sent[:200])
    if at < 0 or len(got) - at > len(sent):
        return False
    kept = next((end for end in range(len(got), at + 199, -1) if got[end - 10 : end] in sent), at) - at
    rest = got[at + kept :]
    return kept >= 10_000 and sent.startswith(got[at : at + kept]) and not re.search(r"[A-Za-z]{3}|…|\.\.\.", rest[:200])


def _refused_http(attempt: Attempt) -> bool:
    return "413" in attempt.why


def _text(size: int) -> str:
    """Return a text in which every piece tells where it stands."""
    return "".join(f"{at:09d}," for at in range(size // 10))


def _cut_in_silence(sent: str, got: str) -> bool:
    """Tell whether the answer holds the text's beginning, and ends in the midst of it."""
    return sent[:200] in got and len(got) < len(sent) and got.rstrip("\"'`\n )]}")[-30:] in sent


def _taking_text(bench: Bench) -> list[Taker]:
    """Return what takes a long text, first those whose result holds what they are given."""
    found: list[Taker] = []
    for definition in bench.tools:
        worked = bench.worked(str(definition["name"]))
        for name, schema in properties(definition).items():
            if worked is None or not isinstance(schema, dict) or schema.get("type") != "string":
                continue
            bound = schema.get("maxLength", 1 << 30)
            if "enum" in schema or "pattern" in schema or "format" in schema or not isinstance(bound, int) or bound < SHORTEST:
                continue
            value = worked.arguments.get(name)
            echoes = isinstance(value, str) and len(value) > 3 and value in worked.words
            sizes = [size for size in (MEGABYTE, 10 * MEGABYTE) if size <= bound] or [bound // 10 * 10]
            found.append(Taker(definition, worked, name, echoes, sizes))
    return sorted(found, key=lambda one: not one.echoes)
