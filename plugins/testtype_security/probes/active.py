"""The order of attacks: every field takes the likely ones first, then what was seen elsewhere is asked again, then the rest."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import MappingProxyType

from mcpweb.plugin import CheckResult, Failure, Unavailable

from ..choice import asked
from . import chains, evaluation, paths, requests, schemes, shell, sql
from .attack import Attack, Board, Family, Hope
from .lab import Lab, Spent, Stand
from .surfaces import Point, Surface

FAMILIES = (shell.FAMILY, paths.FAMILY, requests.FAMILY, schemes.FAMILY, evaluation.FAMILY, sql.FAMILY)
CLEAN = {
    "D01": "No value became part of a command",
    "D02": "No path led out of where it belongs",
    "D03": "No value made the server ask inside its own network",
    "D04": "No local file was read through a URL or an entity",
    "D05": "No value was evaluated as a template or as code",
    "D06": "No value became part of an SQL statement",
}
STANDS = 2
CORE_S, CHAIN_S, PAIR_S, MORE_S, LOOK_S = 20.0, 12.0, 3.0, 2.0, 12.0
MOST_CHAINED = 24  # surfaces among which second steps are looked for
SPENT = "the time was used up"


@dataclass(frozen=True)
class Job:
    """What is tried on a field: first or further attacks of a family, within which valid arguments, with second steps or not."""

    stage: str
    family: Family
    point: Point
    base: int = 0
    after: tuple[chains.After, ...] = ()


def attack(lab: Lab, surfaces: Sequence[Surface], stands: list[Stand]) -> Iterator[CheckResult]:
    """Yield the verdicts of D01 to D06; the containers that were used are added to ``stands``."""
    families = [family for family in FAMILIES if asked(lab.context, [family.check])]
    if not families:
        return
    everything = {surface.title: lab.fields(surface) for surface in surfaces}
    if not any(everything.values()):
        for family in families:
            yield CheckResult(family.check, "not_applicable", "Nothing of this server takes a value.")
        return
    board, chained = Board(), list[Job]()
    crew = Crew(lab, board, stands)
    try:
        soon = lab.until
        crew.open(surfaces)
        fields = [point for found in everything.values() for point in found]
        lab.until = max(soon, time.monotonic() + CORE_S)  # what every field must have seen, on a busy machine too
        crew.work(_jobs(families, "first", fields))
        crew.look_back()
        after = crew.second_steps(surfaces)
        chained = _jobs(families, "first", [point for point in fields if after.get(point.surface.title)], after=after)
        lab.until = max(soon, time.monotonic() + CHAIN_S)
        if chained:
            crew.work(chained)
            crew.look_back()
        lab.until = max(soon, time.monotonic() + MORE_S)
        crew.work(_jobs(families, "more", fields))
        crew.look_back()
        for base in range(1, 3 if lab.quick else 6):
            crew.work(_jobs(families, "first", [point for point in fields if len(point.bases) > base], base))
        crew.look_back()
    finally:
        crew.close()
    yield from (result for result in board.results if not _explained(result, board))
    owed = {(job.family.check, job.point.surface.title, job.point.pointer) for job in chained} - board.followed
    for title in crew.unfollowed:
        for family in families:
            board.notes.setdefault((family.check, title), []).append("what comes of it at a second step was not looked for")
    yield from _clean(families, board, everything, crew.why, owed)


def _explained(result: CheckResult, board: Board) -> bool:
    """Tell whether an error that looks like one of a database is that of a shell or an interpreter."""
    return (
        result.check_id == "D06"
        and result.confidence != "certain"
        and any((check, result.tool, result.key) in board.found for check in ("D01", "D05"))
    )


def _jobs(
    families: Sequence[Family], stage: str, fields: Sequence[Point], base: int = 0,
    after: Mapping[str, tuple[chains.After, ...]] = MappingProxyType({}),
) -> list[Job]:
    """Return what is to be done, the likely first; hints decide about the order only."""
    made = [
        Job(stage, family, point, base, after.get(point.surface.title, ()))
        for family in families
        for point in fields
        if point.surface.is_for(family.check) and (family.check != "D03" or stage == "first" or base == 0)
        if point.kind != "number" or family.numbers
    ]

    def weight(job: Job) -> tuple[int, int]:
        family, point = job.family, job.point
        own = len(re.findall(family.likely, f"{point.field} {point.words}")) if family.likely else 0
        return (-min(own, 3), ("text", "any", "number").index(point.kind))

    return sorted(made, key=weight)


class Crew:
    """Some containers that share the work."""

    def __init__(self, lab: Lab, board: Board, stands: list[Stand]) -> None:
        self._lab, self._board = lab, board
        self._asked_again: set[str] = set()
        self.stands = stands
        self.why = ""  # why not all was done
        self.unfollowed: list[str] = []  # surfaces for which second steps were not looked for

    def open(self, surfaces: Sequence[Surface]) -> None:
        """Start the containers. Raises what ``fresh`` raises when none can be had."""
        config = self._lab.context.config
        changes = {"read_only_root": False, "tmpfs": {place: size for place, size in config.tmpfs.items() if place != "/tmp"}}
        changes["planted"] = self._lab.plant()
        failures: list[Failure] = []

        def one(number: int) -> None:
            try:
                self.stands.append(self._lab.stand(f"active {number}", **changes))
            except Failure as failure:
                failures.append(failure)

        one(0)
        if not self.stands:  # the files cannot be planted here
            changes["planted"], self._lab.planted = None, ""
            one(0)
        more = range(1, 1 if self._lab.http else STANDS)
        _together([threading.Thread(target=one, args=(number,), daemon=True) for number in more])
        if not self.stands:
            self.stands.append(self._lab.stand("active"))
        self._lab.until = max(self._lab.until, time.monotonic() + CORE_S)
        with contextlib.suppress(Spent, Failure):
            for stand in self.stands:
                stand.settle(surfaces)

    def second_steps(self, surfaces: Sequence[Surface]) -> dict[str, tuple[chains.After, ...]]:
        """Return which surfaces show or use what another one took in; one that only reads takes in nothing."""
        found: dict[str, tuple[chains.After, ...]] = {}
        until, self._lab.until = self._lab.until, time.monotonic() + PAIR_S
        self.unfollowed = [surface.title for surface in surfaces]
        with contextlib.suppress(Spent, Failure):
            for surface in surfaces if len(surfaces) <= MOST_CHAINED and not self.why else ():
                self.unfollowed.remove(surface.title)
                arguments = self._lab.worked.get(surface.title)
                if arguments and not chains.only_reads(surface) and not self._lab.tired_of(surface):
                    self.unfollowed.insert(0, surface.title)
                    found[surface.title] = chains.found(self.stands[0], surface, arguments, surfaces)
                    self.unfollowed.pop(0)
        self._lab.until = until
        return found

    def close(self) -> None:
        for stand in self.stands:
            stand.close()

    def work(self, jobs: Sequence[Job]) -> None:
        """Do jobs, in order, as long as there is time."""
        if self.why:
            return
        waiting: SimpleQueue[Job] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        _together([threading.Thread(target=self._work, args=(stand, waiting), daemon=True) for stand in self.stands])

    def _work(self, stand: Stand, waiting: SimpleQueue[Job]) -> None:
        while not self.why:
            try:
                todo = waiting.get_nowait()
            except Empty:
                return
            family, point = todo.family, todo.point
            if self._board.has(family.check, point):
                continue
            if self._lab.tired_of(point.surface):
                self._board.note(family.check, point, "it answers too slowly to be asked on")
                continue
            try:
                job = Attack(stand, point, self._board, todo.base, todo.after)
                for result in (family.first if todo.stage == "first" else family.more)(job):
                    self._board.take(result, point)
                if todo.stage == "first" and todo.base == 0 and not todo.after:
                    self._board.done.add((family.check, point.surface.title, point.pointer))
                elif todo.after:
                    self._board.followed.add((family.check, point.surface.title, point.pointer))
            except Spent:
                self.why = SPENT
            except Unavailable as failure:
                self.why = failure.detail
            except Failure as failure:
                self._board.note(family.check, point, f"{point.pointer}: {failure.detail}")

    def look_back(self) -> None:
        """Look at what was seen beside the answers, and have what was hoped for happen once more.

        There is time for that when all other time is used up; a field for which it did not suffice counts as not probed.
        """
        until = self._lab.until
        hopes: list[Hope] = []
        try:
            hopes = [hope for hope in self._fulfilled() if not self._board.has(hope.check, hope.point)]
            self._lab.until = max(until, time.monotonic() + LOOK_S)
            while hopes:
                if not self._board.has(hopes[0].check, hopes[0].point):
                    hope = hopes[0]
                    attack = Attack(self.stands[0], hope.point, self._board, hope.base, hope.after)
                    self._board.take(hope.again(attack), hope.point)
                hopes.pop(0)
        except Spent:
            self.why = SPENT
        except Failure as failure:
            self.why = failure.detail
        finally:
            self._lab.until = until
        self._board.done -= {(hope.check, hope.point.surface.title, hope.point.pointer) for hope in hopes}

    def _fulfilled(self) -> list[Hope]:
        network = "\n".join(
            f"{event.name}\n{event.address}\n{event.path}\n{event.body}"
            for event in self._lab.events()
        )
        changed = "\n".join(path for stand in self.stands for path in stand.changed())
        beside = "\n".join(stand.beside() for stand in self.stands)
        seen = {"network": network, "path": changed, "anywhere": f"{network}\n{changed}\n{beside}"}
        found = [hope for mark, hope in self._board.hopes.items() if mark not in self._asked_again and mark in seen[hope.where]]
        self._asked_again |= {hope.mark for hope in found}
        return found


def _together(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _clean(
    families: Sequence[Family], board: Board, everything: dict[str, list[Point]], why: str, owed: set[tuple[str, str, str]]
) -> Iterator[CheckResult]:
    """Yield what held: per tool where there are few of them, and what was not reached, or not followed to a second step."""
    for family in families:
        check = family.check
        wanted = {
            title: [
                point for point in found if (point.kind != "number" or family.numbers) and point.surface.is_for(check)
            ]
            for title, found in everything.items()
        }
        missed = {
            title: [
                point.pointer for point in found
                if (check, title, point.pointer) not in board.done or (check, title, point.pointer) in owed
            ]
            for title, found in wanted.items()
        }
        failed = {title for one, title, _ in board.found if one == check}
        late = sorted(title for title, left in missed.items() if left and title not in failed)
        clean = [title for title in everything if title not in failed and title not in late]
        asked = sum(len(found) for found in wanted.values())
        if late:
            reason = why or "some tools answer too slowly"
            yield CheckResult(
                check,
                "undecided",
                f"{sum(len(missed[title]) for title in late)} of {asked} fields could not be probed: {reason}.",
                tool=late[0] if len(late) == 1 else "*",
                key="coverage",
                evidence={"not_probed": {title: missed[title] for title in late[:50]}},
                next_step="Run the full profile.",
            )
        if len(clean) > 12:
            yield CheckResult(
                check, "pass", f"{CLEAN[check]}: {asked} fields of {len(clean)} tools.", evidence={"tools": clean[:200]}
            )
            continue
        for title in clean:
            notes = list(dict.fromkeys(board.notes.get((check, title), [])))
            said = f" ({'; '.join(notes[:2])})" if notes else ""
            yield CheckResult(
                check,
                "pass",
                f"{CLEAN[check]}{said}.",
                tool=title,
                evidence={"fields": [point.pointer for point in wanted[title]], "notes": notes[:10]},
            )
