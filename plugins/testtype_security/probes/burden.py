"""D11: can one call use up the server? Small values that grow – packed data, nested data, patterns, counts – are handed over in a
container of their own; what counts is memory and the processor time the container was given, not that a call takes long."""

from __future__ import annotations

import base64
import bz2
import contextlib
import io
import itertools
import lzma
import re
import struct
import time
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Stats, TestSession, Unavailable

from .attack import Attack, Board
from .lab import Lab, Reply, Spent, Stand
from .surfaces import Point, Surface

CHECK = "D11"
FIX = "Bound what a value may grow to (bytes, items, depth, time) before working on it, and stop when the call is cancelled."
WAIT_S, GRACE_S = 1.5, 20.0  # the second: for tools that had no value yet when the time was used up
USED_S = 2.0  # of processor time after the call was cancelled: other work on the machine makes it come later, not less
FLAT_S = 0.02  # of processor time between two samples; a server that waits takes less
LONG_S, STILL_S = 10.0, 0.3  # or, where little was given, so much in so long a time
AT_REST = 4  # times what the server uses when nobody asks for anything
LARGE = 1_000_000  # a highest number that allows so much is tried


@dataclass(frozen=True)
class Weight:
    """A value that grows. ``fields`` are words of fields that come first; ``kinds`` are kinds of fields it is for."""

    name: str
    make: Callable[[], Any]
    fields: str
    kinds: tuple[str, ...] = ("text", "any")
    like: str = ""  # the form a valid value must have


_PIECE_BYTES = 16 << 20  # made where it is packed: as a constant it lies in the memory of every process that loads plugins
PIECES = 26  # 416 MiB in all, more than the container has


def _deflated() -> tuple[bytes, int, int]:
    """Return one stream of equal blocks without head and sum, and both sums of what it unpacks to."""
    packer, piece = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), bytes(_PIECE_BYTES)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    crc, adler = 0, 1
    for _ in range(PIECES + 1):
        crc, adler = zlib.crc32(piece, crc), zlib.adler32(piece, adler)
    return first + block * PIECES + packer.flush(), crc, adler


def _gzip() -> str:
    """Return one member (RFC 1952): who unpacks the first alone has all of it."""
    stream, crc, _ = _deflated()
    size = (PIECES + 1) * _PIECE_BYTES
    return base64.b64encode(b"\x1f\x8b\x08" + bytes(5) + b"\x02\xff" + stream + struct.pack("<II", crc, size)).decode()


def _zlib() -> str:
    """Return one stream (RFC 1950)."""
    stream, _, adler = _deflated()
    return base64.b64encode(b"\x78\xda" + stream + struct.pack(">I", adler)).decode()


def _zip() -> str:
    packed, piece = io.BytesIO(), bytes(_PIECE_BYTES)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("file.bin", "w") as file:
        for _ in range(PIECES):
            file.write(piece)
    return base64.b64encode(packed.getvalue()).decode()


def _bzip2() -> str:
    return base64.b64encode(bz2.compress(bytes(_PIECE_BYTES), 9) * PIECES).decode()


def _lzma() -> str:
    return base64.b64encode(lzma.compress(bytes(_PIECE_BYTES), preset=1) * PIECES).decode()


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


_DAY = r"\d{4}-\d\d-\d\d"
_PACKED = "data|base64|archive|compress|body|payload|content|blob|file|package"
WEIGHTS = (
    Weight("packed data (gzip)", _once(_gzip), f"{_PACKED}|gz"),
    Weight("packed data (zlib)", _once(_zlib), f"{_PACKED}|zlib|deflate"),
    Weight("packed files (zip)", _once(_zip), f"{_PACKED}|zip"),
    Weight("packed data (bzip2)", _once(_bzip2), f"{_PACKED}|bz|log|dump|import"),
    Weight("packed data (xz)", _once(_lzma), f"{_PACKED}|xz|lzma|dump|import"),
    Weight("a far day", lambda: "9999-12-30", "last|end|to|until|till|through|finish|before|date|day", ("text",), _DAY),
    Weight("a large count, as text", lambda: "2000000000", "", ("text",), r"\d{1,6}"),
    Weight("a wide range", lambda: "1-2000000000", "", ("text",), r"\d{1,6}-\d{1,6}"),
    Weight("entities that multiply", _entities, "xml|html|svg|document|feed|body|content|text"),
    Weight("aliases that multiply", _aliases, "ya?ml|config|document|text|content|data"),
    Weight("nested data", lambda: "[" * 100_000 + "]" * 100_000, "json|data|document|expr|query|filter|text|content|formula"),
    Weight("a pattern that backtracks", lambda: "^(([a-z0-9 .,_-])+)+\0$", "pattern|regex|match|filter|glob|search|expr"),
    Weight("a text that a pattern backtracks on", lambda: "a" * 40_000 + "!", "text|email|url|input|content|string|body"),
    Weight("a text for a pattern", lambda: "a" * 34 + "!", "text|subject|input|string|content|value|email"),
    Weight("a large count", lambda: 2_000_000_000, "", ("number",)),
    Weight("an expression that grows", lambda: "9**9**9**9", "expr|formula|calc|eval|equation|math"),
)


def attack(lab: Lab, fields: list[Point], until: float, surfaces: Sequence[Surface] = ()) -> Iterator[CheckResult]:
    """Yield the verdicts of D11, in a container with at most 256 MiB of memory."""
    bounded = limits(lab)
    jobs = [(weight, point) for weight in WEIGHTS for point in fields if point.kind in weight.kinds and _allowed(weight, point)]
    jobs.sort(key=lambda job: (not _likely(*job), WEIGHTS.index(job[0])))
    if lab.quick:
        jobs = [job for job in jobs if _likely(*job)][:16]
    found: list[CheckResult] = []
    spent: defaultdict[str, float] = defaultdict(float)  # seconds, by tool: who had least is next
    unclear, why = 0, ""
    waiting, stand = list(jobs), Bearer(lab, bounded, surfaces)
    lab.until = max(lab.until, until + (GRACE_S / 4 if lab.quick else GRACE_S))
    try:
        while waiting:
            weight, point = min(waiting, key=lambda job: (not _likely(*job), spent[job[1].surface.title], jobs.index(job)))
            late = time.monotonic() > until
            if late and (spent[point.surface.title] or not _likely(weight, point) or lab.left_s() <= WAIT_S):
                why = "the time was used up"
                break
            started = time.monotonic()
            verdict, known = stand.bear(weight, point)
            waiting = [job for job in waiting if job != (weight, point)]
            spent[point.surface.title] += time.monotonic() - started
            unclear += not known
            if verdict is not None:
                waiting = [job for job in waiting if (job[1].surface, job[1].pointer) != (point.surface, point.pointer)]
                found.append(verdict)
    except Spent:
        why = "the time was used up"
    except Unavailable as failure:
        why = failure.detail
    finally:
        stand.close()
    left = len(waiting) + unclear
    why = why or ("the server answered nothing at all" if unclear else "")
    yield from found
    if not jobs:
        yield CheckResult(
            CHECK,
            "not_applicable",
            "No field takes a value that could grow."
            if not lab.quick
            else "No field looks as if it took a value that grows; the full profile tries all.",
        )
    elif left:
        yield CheckResult(
            CHECK,
            "undecided",
            f"{left} of {len(jobs)} values could not be handed over: {why}.",
            key="coverage",
            next_step="Run the full profile.",
        )
    elif not found:
        yield CheckResult(
            CHECK,
            "pass",
            f"No value used up the server: {len(jobs)} were handed over.",
            evidence={"values": sorted({weight.name for weight, _ in jobs}), "limits": bounded},
        )


def limits(lab: Lab) -> dict[str, Any]:
    """Return what the container of these checks may use at most."""
    own = lab.context.config.limits
    return {"memory_mb": min(own.memory_mb, 256), "cpus": min(own.cpus, 1.0), "pids": min(own.pids, 64)}


def point_words(point: Point) -> str:
    told = " ".join(str(point.schema.get(key, "")) for key in ("description", "contentEncoding", "contentMediaType"))
    return f"{point.field} {told} {point.surface.name}".lower()


def _likely(weight: Weight, point: Point) -> bool:
    return re.search(weight.fields, point_words(point)) is not None


def _allowed(weight: Weight, point: Point) -> bool:
    """Keep to what the schema says: a value it rules out is the business of who checks arguments."""
    if weight.like and not re.fullmatch(weight.like, point.valid):
        return False
    highest = _highest(point)
    return weight.kinds != ("number",) or highest is None or highest >= LARGE


def _highest(point: Point) -> int | float | None:
    highest = point.schema.get("maximum", point.schema.get("exclusiveMaximum"))
    return highest if isinstance(highest, int | float) else None


def _value(weight: Weight, point: Point) -> Any:
    """Return the value, or the highest that the schema allows where that is less."""
    value, highest = weight.make(), _highest(point)
    if highest is not None and isinstance(value, int):
        return min(value, int(highest) - ("exclusiveMaximum" in point.schema))
    return value


class Bearer:
    """The container that is handed values; after one that it does not take, a new one is in its place."""

    def __init__(self, lab: Lab, limits: dict[str, Any], surfaces: Sequence[Surface] = ()) -> None:
        self._lab, self._limits, self._surfaces = lab, limits, surfaces
        self._stand: Stand | None = None
        self._at_rest: float | None = None

    def bear(self, weight: Weight, point: Point) -> tuple[CheckResult | None, bool]:
        """Hand over one value; return the verdict, and whether it could be handed over at all. Raises Spent and Unavailable."""
        for _ in range(2):
            job = self.job(point)
            if job.plain().outcome not in ("timeout", "gone"):
                value = _value(weight, point)
                verdict, known, _ = self.hand(job, weight, value, point.surface, point.arguments(value))
                return verdict, known
            self.close()
        return None, False

    def close(self) -> None:
        if self._stand is not None:
            self._stand.close()
        self._stand = None

    def job(self, point: Point) -> Attack:
        """Return what asks about a field; what was made in plain use is made in each new container, too."""
        if self._stand is None:
            self._stand = self._lab.stand("burden", limits=self._limits)
            self._stand.settle(self._surfaces)
        return Attack(self._stand, point, Board())

    def hand(
        self, job: Attack, weight: Weight, value: Any, surface: Surface, arguments: Mapping[str, Any]
    ) -> tuple[CheckResult | None, bool, Reply]:
        """Use a surface; return the verdict on what that did to the server, whether it is known, and the answer."""
        before = job.stand.session
        reply = job.stand.ask(surface, arguments, WAIT_S, mend=False)
        verdict = _ended(job, weight, value, before)
        known = True
        if verdict is None and reply.outcome not in ("gone", "timeout"):
            return None, True, reply
        if verdict is None and reply.outcome == "gone":
            verdict = _verdict(job, weight, value, "ends the session")
        if verdict is None:
            used, samples = _watched(before)
            verdict = _ended(job, weight, value, before) or self._used(job, weight, value, used, samples)
            known = bool(used) and (min(used) < FLAT_S or sum(used) >= STILL_S)
        self.close()
        return verdict, known or verdict is not None, reply

    def _used(
        self, job: Attack, weight: Weight, value: Any, used: list[float], samples: list[Stats]
    ) -> CheckResult | None:
        """Judge what was used after the call was cancelled, by processor time and by what the server uses when it rests."""
        memory = max((sample.memory_bytes for sample in samples), default=0)
        limit = max((sample.memory_limit for sample in samples), default=0)
        if used and min(used) >= FLAT_S and sum(used) >= STILL_S:
            self.close()
            rest = self._rest(job.point)
            if sum(used) / len(used) > AT_REST * rest + FLAT_S:
                what = f"keeps the processor busy: {sum(used):.1f} s of it after the call was cancelled, and no end to it"
                return _verdict(job, weight, value, what, cpu=[round(one, 2) for one in used], at_rest=rest, memory_bytes=memory)
        if limit and memory > 0.9 * limit:
            return _verdict(job, weight, value, f"fills the memory: {memory >> 20} MiB", memory_bytes=memory)
        return None

    def _rest(self, point: Point) -> float:
        """Return the processor time between two samples while nobody asks for anything; measured once."""
        if self._at_rest is None:
            job = self.job(point)
            job.plain()
            with job.stand.session.watch() as watch:
                time.sleep(1.1)
            self._at_rest = round(min(_between(watch.samples()), default=0.0), 3)
        return self._at_rest


def _between(samples: list[Stats]) -> list[float]:
    """Return the processor time from each sample to the next."""
    return [later.cpu_s - earlier.cpu_s for earlier, later in itertools.pairwise(samples)]


def _watched(session: TestSession) -> tuple[list[float], list[Stats]]:
    """Watch a server after a call was cancelled: until it rests or ends, or has used enough; a busy machine gets more time.

    Returns the processor time between the samples, and these.
    """
    until, seen, used = time.monotonic() + LONG_S, 0, list[float]()
    with session.watch() as watch:
        while time.monotonic() < until:
            time.sleep(0.2)
            if len(watch.samples()) > seen:
                seen, used = len(watch.samples()), _between(watch.samples())
                if used and (min(used) < FLAT_S or (len(used) > 1 and sum(used) >= USED_S)):
                    break
                with contextlib.suppress(Failure):
                    if not session.inspect().running:
                        break
    return used, watch.samples()


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
