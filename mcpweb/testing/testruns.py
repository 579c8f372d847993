"""Carry out a test run without a worker: the run child, the containers and the verdicts are real."""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcpweb.bench.parent import execute
from mcpweb.bench.rows import CheckResultRow, RunOutcome, RunRequest
from mcpweb.contracts import CheckResult, ConfigData, Runtime, SecretDelivery
from mcpweb.core import Core


@dataclass
class Ended:
    """A run that is over: how, what it told, how long it took, and which containers could not be removed."""

    outcome: RunOutcome
    seconds: float
    rows: list[CheckResultRow] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    @property
    def results(self) -> list[CheckResult]:
        return [row.result for row in self.rows]

    @property
    def code(self) -> str | None:
        return self.outcome.error["code"] if self.outcome.error else None

    def verdicts(self) -> list[tuple[str, str]]:
        return [(one.check_id, one.verdict) for one in self.results]


def carry_out(
    core: Core, runtime: Runtime, *types: str, image: str = "tiny:1", config: ConfigData | None = None, name: str = "tiny",
    secrets: tuple[SecretDelivery, ...] = (), baseline_secrets: tuple[SecretDelivery, ...] = (),
    cancelled: Callable[[], bool] = lambda: False, silence_s: float = 15.0, **fields: Any,
) -> Ended:
    """Run test types against an image and return how it ended; ``fields`` are those of RunRequest to replace."""
    request = RunRequest(
        run_id="run_x", server={"id": "srv_x", "name": name, "image": image}, config=config or ConfigData(), types=types,
        profile="quick", parameters={}, seed=1, approved_image_id=None,
    )
    rows: list[CheckResultRow] = []
    orphans: list[str] = []

    def on_results(told: Sequence[CheckResultRow]) -> None:
        rows.extend(told)

    started = time.monotonic()
    outcome = execute(
        core, runtime, replace(request, **fields), on_results=on_results, progress=lambda fraction, message: None,
        cancelled=cancelled, on_orphan=orphans.append, secrets=secrets, baseline_secrets=baseline_secrets, silence_s=silence_s,
    )
    return Ended(outcome, time.monotonic() - started, rows, orphans)
