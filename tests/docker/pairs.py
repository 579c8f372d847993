"""Run servers of the corpus through the real bench: an installation, the engine, a run child, the verdicts as users get them."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import SEVERITIES
from mcpweb.dao.jobs import Job
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import jobs, test_runs
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, Report, installation

HTTP = {"transport": "http", "port": 8000, "network": "published"}
_ORDER = ("fail", "undecided", "pass")


@dataclass(frozen=True)
class Asked:
    """A server of the corpus (the words of ``name`` are its command) and how it is run; always with the same seed."""

    name: str
    config: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    profile: str = "quick"
    image: str | None = None

    @property
    def key(self) -> str:
        return repr(self)


@dataclass(frozen=True)
class Pair:
    """What a check must catch and what it must leave alone: two names of the corpus, and how they are run."""

    check: str
    bad: str
    good: str
    said: str = ""  # stands in a sentence of the catch
    config: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    profile: str = "quick"

    @property
    def name(self) -> str:
        return f"{self.check}-{self.bad}"

    @property
    def both(self) -> tuple[Asked, Asked]:
        return Asked(self.bad, self.config, self.parameters, self.profile), Asked(self.good, self.config, self.parameters, self.profile)


class Seen:
    """What a run said of one server."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.results: list[TestResult] = report.results

    def of(self, check: str, tool: str | None = None) -> list[dict[str, Any]]:
        """Return what was said of a check: verdict, severity, summary, evidence …, of a tool where one is named."""
        found = [
            {**(result.output_data or {}), "tool": result.tool_name, "input": result.input_data} for result in self.results
            if result.check_id == check and tool in (None, result.tool_name)
        ]
        skipped = self.report.run.detail.get("not_applicable", [])
        return found + [{"verdict": "not_applicable", **one} for one in skipped if one["check_id"] == check]

    def verdict(self, check: str, tool: str | None = None) -> str:
        """Return the worst verdict of a check: fail, undecided, pass, not_applicable, or missing."""
        verdicts = {one["verdict"] for one in self.of(check, tool)}
        return next((word for word in (*_ORDER, "not_applicable") if word in verdicts), "missing")

    def said(self, check: str) -> str:
        return " | ".join(f"{one['verdict']}: {one['summary']}" for one in self.of(check))

    def failed(self, least: str = "info") -> dict[str, str]:
        """Return the failed checks of a severity and above, with their sentences."""
        floor = SEVERITIES.index(least)  # type: ignore[arg-type]
        found: dict[str, str] = {}
        for result in self.results:
            out = result.output_data or {}
            if out.get("verdict") == "fail" and SEVERITIES.index(result.severity or "info") >= floor:  # type: ignore[arg-type]
                found[str(result.check_id)] = f"{found.get(str(result.check_id), '')} [{result.tool_name}] {out['summary']}".strip()
        return found


class Bench:
    """Servers of the corpus under one test type; each server is run once for all checks that look at it.

    Runs mostly wait. What tests of the file are about to ask for can be told: then a few runs are under way ahead of them,
    and beside those a few of the ones that take long and are asked for last.
    """

    AHEAD, MEANWHILE = 3, 2

    def __init__(self, here: Installation, test_type: str, image: str | None = None) -> None:
        self.here, self.test_type = here, test_type
        self.image = image or build_image("corpus")
        self._under_way: dict[str, tuple[TestRun, Job]] = {}
        self._seen: dict[str, Seen] = {}
        self._soon: deque[Asked] = deque()
        self._meanwhile: deque[Asked] = deque()
        self._long: list[str] = []
        self._names = 0

    def soon(self, *asked: Asked) -> None:
        """Say what will be run, in this order."""
        self._soon.extend(asked)

    def meanwhile(self, *asked: Asked) -> None:
        """Say what takes long and will be asked for when the rest is done."""
        self._meanwhile.extend(asked)

    def run(self, name: str, *, timeout_s: float = 120.0, **how: Any) -> Seen:
        """Return what is said of a server; ``how`` is that of ``Asked``."""
        asked = Asked(name, **how)
        if asked.key not in self._seen:
            self._begin(asked)
            self._top_up()
            run, job = self._under_way[asked.key]
            seen = Seen(self.here.report(run, self.here.wait(job, timeout_s)))
            assert seen.report.job.state == "succeeded", seen.report.job.error
            del self._under_way[asked.key]
            self._seen[asked.key] = seen
        return self._seen[asked.key]

    def measured(self, holds: Callable[..., bool], *asked: Asked) -> tuple[Seen, ...]:
        """Return what was measured of servers once ``holds`` of it, or the third time: other tests run beside, and times tell of them too."""
        for _ in range(3):
            seen = tuple(map(self.of, asked))
            if holds(*seen):
                break
            for one in asked:
                self._seen.pop(one.key, None)
        return seen

    def _top_up(self) -> None:
        going = [key for key in self._long if key in self._under_way and self._goes(key)]
        while self._meanwhile and len(going) < self.MEANWHILE:
            going.append(self._meanwhile[0].key)
            self._long.append(self._meanwhile[0].key)
            self._begin(self._meanwhile.popleft())
        while self._soon and len(self._under_way.keys() - {*self._long}) < self.AHEAD:
            self._begin(self._soon.popleft())

    def _goes(self, key: str) -> bool:
        return jobs.get(self.here.core, ACTOR, self._under_way[key][1].id).state in jobs.OPEN

    def of(self, asked: Asked) -> Seen:
        return self.run(**vars(asked))

    def _begin(self, asked: Asked) -> None:
        if asked.key in self._under_way or asked.key in self._seen:
            return
        self._names += 1
        words = asked.name.split()
        name = f"c{self._names}-{words[0] if words else 'as-it-is'}"[:60]
        server = self.here.add(name, asked.image or self.image, *words, **(asked.config or {}))
        parameters = {"seed": 7, **(asked.parameters or {})}
        self._under_way[asked.key] = test_runs.request(
            self.here.core, ACTOR, server.id, types=(self.test_type,), parameters=parameters, profile=asked.profile
        )

    def prove(self, pair: Pair) -> None:
        """The bad one is caught with the sentence that is expected, and its twin is not."""
        bad, good = map(self.of, pair.both)
        assert bad.verdict(pair.check) == "fail", f"{pair.bad} is not caught: {bad.said(pair.check)}"
        assert pair.said in bad.said(pair.check), bad.said(pair.check)
        assert good.verdict(pair.check) in ("pass", "not_applicable"), f"{pair.good} is blamed: {good.said(pair.check)}"


@contextmanager
def bench(folder: Path, test_type: str) -> Iterator[Bench]:
    """Open an installation for one test type."""
    with installation(folder) as here:
        yield Bench(here, test_type)


def chosen(request: pytest.FixtureRequest, parameter: str) -> list[Any]:
    """Return what the tests of this file that were chosen get for a parameter, in their order."""
    mine = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    return [item.callspec.params[parameter] for item in mine if parameter in item.callspec.params]
