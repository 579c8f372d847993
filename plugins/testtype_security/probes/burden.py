"""D11: can one call use up the server? Small values that grow – packed data, nested data, patterns, counts – are handed over in a
container of their own; what counts is memory, processor and processes, not that a call takes long."""

from __future__ import annotations

import base64
import gzip
import io
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult, Failure, TestSession, Unavailable

from .attack import Attack, Board
from .lab import Lab, Spent, Stand
from .surfaces import Point

CHECK = "D11"
FIX = "Bound what a value may grow to (bytes, items, depth, time) before working on it, and stop when the call is cancelled."
WAIT_S = 1.5
BUSY = 0.2  # of one processor, after the call was cancelled; a server that waits takes next to nothing


@dataclass(frozen=True)
class Weight:
    """A value that grows. ``fields`` are words of fields that come first; ``kinds`` are kinds of fields it is for."""

    name: str
    make: Callable[[], Any]
    fields: str
    kinds: tuple[str, ...] = ("text", "any")


_PIECE_BYTES = 16 << 20  # made where it is packed: as a constant it lies in the memory of every process that loads plugins
PIECES = 26  # 416 MiB in all, more than the container has


def _gzip() -> str:
    return base64.b64encode(gzip.compress(bytes(_PIECE_BYTES), 9) * PIECES).decode()


def _zlib() -> str:
    """Return one stream of equal blocks; its sum at the end is wrong, which is noticed after all of it was unpacked."""
    packer, piece = zlib.compressobj(9), bytes(_PIECE_BYTES)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return base64.b64encode(first + block * PIECES + packer.flush()).decode()


def _zip() -> str:
    packed, piece = io.BytesIO(), bytes(_PIECE_BYTES)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("file.bin", "w") as file:
        for _ in range(PIECES):
            file.write(piece)
    return base64.b64encode(packed.getvalue()).decode()


def _entities() -> str:
    lines = ['<!ENTITY a0 "aaaaaaaaaa">', *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))]
    return f'<?xml version="1.0"?><!DOCTYPE x [{"".join(lines)}]><x>&a9;</x>'


def _aliases() -> str:
    return "\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))])


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    kept: list[Any] = []

    def value() -> Any:
        if not kept:
            kept.append(make())
        return kept[0]

    return value


_PACKED = "data|base64|archive|compress|body|payload|content|blob|file|package"
WEIGHTS = (
    Weight("packed data (gzip)", _once(_gzip), f"{_PACKED}|gz"),
    Weight("packed data (zlib)", _once(_zlib), f"{_PACKED}|zlib|deflate"),
    Weight("packed files (zip)", _once(_zip), f"{_PACKED}|zip"),
    Weight("entities that multiply", _entities, "xml|html|svg|document|feed|body|content|text"),
    Weight("aliases that multiply", _aliases, "ya?ml|config|document|text|content|data"),
    Weight("nested data", lambda: "[" * 100_000 + "]" * 100_000, "json|data|document|expr|query|filter|text|content|formula"),
    Weight("a pattern that backtracks", lambda: "^(([a-z0-9 .,_-])+)+\0$", "pattern|regex|match|filter|glob|search|expr"),
    Weight("a text that a pattern backtracks on", lambda: "a" * 40_000 + "!", "text|email|url|input|content|string|body"),
    Weight("a text for a pattern", lambda: "a" * 34 + "!", "text|subject|input|string|content|value|email"),
    Weight("a large count", lambda: 2_000_000_000, "", ("number",)),
    Weight("an expression that grows", lambda: "9**9**9**9", "expr|formula|calc|eval|equation|math"),
)


def attack(lab: Lab, fields: list[Point], until: float) -> Iterator[CheckResult]:
    """Yield the verdicts of D11, in a container with at most 256 MiB of memory."""
    limits = lab.context.config.limits
    bounded = {"memory_mb": min(limits.memory_mb, 256), "cpus": min(limits.cpus, 1.0), "pids": min(limits.pids, 64)}
    jobs = [(weight, point) for weight in WEIGHTS for point in fields if point.kind in weight.kinds and _allowed(weight, point)]
    jobs.sort(key=lambda job: (re.search(job[0].fields, point_words(job[1])) is None, WEIGHTS.index(job[0])))
    if lab.quick:
        jobs = [job for job in jobs if re.search(job[0].fields, point_words(job[1]))][:16]
    found: list[CheckResult] = []
    heavy: set[tuple[str, str]] = set()
    tried, why = 0, ""
    stand: Stand | None = None
    try:
        for weight, point in jobs:
            if time.monotonic() > until:
                why = "the time was used up"
                break
            if (point.surface.title, point.pointer) in heavy:
                continue
            stand = stand or lab.stand("burden", limits=bounded)
            tried += 1
            verdict, spoiled = _bear(stand, weight, point)
            if verdict is not None:
                heavy.add((point.surface.title, point.pointer))
                found.append(verdict)
            if spoiled:
                stand.close()
                stand = None
    except Spent:
        why = "the time was used up"
    except Unavailable as failure:
        why = failure.detail
    finally:
        if stand is not None:
            stand.close()
    yield from found
    if not jobs:
        yield CheckResult(
            CHECK,
            "not_applicable",
            "No field takes a value that could grow."
            if not lab.quick
            else "No field looks as if it took a value that grows; the full profile tries all.",
        )
    elif why and not found:
        yield CheckResult(
            CHECK,
            "undecided",
            f"{len(jobs) - tried} of {len(jobs)} values could not be handed over: {why}.",
            key="coverage",
            next_step="Run the full profile.",
        )
    elif not found:
        yield CheckResult(
            CHECK,
            "pass",
            f"No value used up the server: {tried} were handed over.",
            evidence={"values": sorted({weight.name for weight, _ in jobs}), "limits": bounded},
        )


def point_words(point: Point) -> str:
    return f"{point.field} {point.schema.get('description', '')} {point.surface.name}".lower()


def _allowed(weight: Weight, point: Point) -> bool:
    """Keep to what the schema says: a value it rules out is the business of who checks arguments."""
    highest = point.schema.get("maximum", point.schema.get("exclusiveMaximum"))
    return weight.kinds != ("number",) or not isinstance(highest, int | float)


def _bear(stand: Stand, weight: Weight, point: Point) -> tuple[CheckResult | None, bool]:
    """Hand over one value; return the verdict, and whether the container is of no more use."""
    board = Board()
    job = Attack(stand, point, board)
    control = job.plain()
    if control.outcome in ("timeout", "gone"):
        return None, True
    value = weight.make()
    before = stand.session
    reply = stand.ask(point.surface, point.arguments(value), WAIT_S, mend=False)
    ended = _ended(job, weight, value, before)
    if ended is not None:
        return ended, True
    if reply.outcome == "gone":
        return _verdict(job, weight, value, "ends the session"), True
    if reply.outcome != "timeout":
        return None, False
    with before.watch() as watch:
        time.sleep(2.2)
    samples = watch.samples()
    ended = _ended(job, weight, value, before)
    if ended is not None:
        return ended, True
    busy = [sample.cpu_percent / 100 for sample in samples[1:]] or [0.0]
    memory = max((sample.memory_bytes for sample in samples), default=0)
    limit = max((sample.memory_limit for sample in samples), default=0)
    if min(busy) >= BUSY:
        what = f"keeps the processor busy: {min(busy):.0%} of one, seconds after the call was cancelled"
        return _verdict(job, weight, value, what, cpu=[round(one, 2) for one in busy], memory_bytes=memory), True
    if limit and memory > 0.9 * limit:
        return _verdict(job, weight, value, f"fills the memory: {memory >> 20} MiB", memory_bytes=memory), True
    return None, True


def _ended(job: Attack, weight: Weight, value: Any, session: TestSession) -> CheckResult | None:
    """Return the verdict when the container has ended."""
    try:
        state = session.inspect()
    except Failure:
        return None
    if state.running:
        return None
    why = "it used more memory than its limit" if state.oom_killed else f"it ended with exit code {state.exit_code}"
    return _verdict(job, weight, value, f"ends the server: {why}", exit_code=state.exit_code, oom_killed=state.oom_killed)


def _verdict(job: Attack, weight: Weight, value: Any, what: str, **evidence: Any) -> CheckResult:
    shown = value if not isinstance(value, str) or len(value) < 400 else f"{value[:200]}… ({len(value)} characters)"
    return job.fail(
        CHECK,
        f"{weight.name[:1].upper()}{weight.name[1:]} in {job.point.pointer} {what}.",
        sent=shown,
        next_step=FIX,
        value=weight.name,
        **evidence,
    )
