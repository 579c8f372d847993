"""What the commands share: the actor, the core, a worker to do the work, and ways to print."""
from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.dao.jobs import Job
from mcpweb.errors import Conflict, FieldError, InvalidInput, NoWorker
from mcpweb.services import jobs

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's object.")
limit_option = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="At most so many.")
cursor_option = click.option("--cursor", default=None, help="Where the next page begins, as printed by --json.")


def actor() -> Actor:
    """Who runs this command; who may read the data folder is admin."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return Actor.cli(name)


@contextmanager
def opened(*, init: bool = False) -> Iterator[tuple[Core, Actor]]:
    """Open the application for one command."""
    core = open_core(role="cli", init=init)
    try:
        yield core, actor()
    finally:
        core.close()


@contextmanager
def with_hands(core: Core) -> Iterator[None]:
    """Make sure that somebody does jobs: the running worker, or this process under the worker's lock."""
    if core.line.alive():
        yield
        return
    from mcpweb.worker import Worker

    worker = Worker(core, brief=True)
    if not worker.elect():
        raise Conflict("A worker holds the lock but does not answer.", next_step="Wait a moment, or restart it.")
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def need_worker(core: Core) -> None:
    """Raise NoWorker unless one runs."""
    if not core.line.alive():
        failure = NoWorker("no worker: run `mcpweb serve` or `mcpweb worker`")
        failure.next_step = ""  # the sentence says it
        raise failure


def wait_for(core: Core, job: Job, *, quiet: bool, timeout_s: float = 3600.0) -> Job:
    """Wait for the end of a job and say on stderr what it does."""

    def say(current: Job) -> None:
        if not quiet and current.message and current.state in ("queued", "running"):
            percent = f" {current.progress:4.0%}" if current.progress is not None else ""
            click.echo(f"…{percent} {current.message}", err=True)

    return jobs.wait(core, job.id, timeout_s, on_change=say)


def ended(job: Job) -> Job:
    """Return a job that succeeded. Raises the failure that ended it (exit code 2)."""
    if job.state == "succeeded":
        return job
    from mcpweb.errors import Failure

    error = job.error or {"code": job.state, "detail": f"The job is {job.state}."}
    failure = Failure(error["detail"], code=error["code"])
    failure.status = 409
    raise failure


def read_time(text: str | None, option: str) -> str | None:
    """Return a day, a UTC time or a number of days ahead as rows hold it. Raises InvalidInput."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 6:
        return clock.later(int(text) * 86400)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fault = FieldError(f"/{option}", "YYYY-MM-DD")
        raise InvalidInput(f"--{option} is a day, a time or a number of days.", errors=[fault]) from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S.000")


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_listing(
    items: Iterable[dict[str, Any]], after: str | None, columns: Sequence[str], *, as_json: bool, empty: str
) -> None:
    """Print a list for scripts or for people; an empty one says what to do."""
    rows = list(items)
    if as_json:
        print_json({"items": rows, "next": after})
        return
    if not rows:
        click.echo(empty)
        return
    table = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[at]) for line in table)) for at, column in enumerate(columns)]
    click.echo("  ".join(column.upper().ljust(width) for column, width in zip(columns, widths, strict=True)).rstrip())
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if after:
        click.echo(f"More: --cursor {after}", err=True)


def print_object(value: dict[str, Any], *, as_json: bool) -> None:
    """Print one object."""
    if as_json:
        print_json(value)
        return
    width = max(len(name) for name in value)
    for name, content in value.items():
        click.echo(f"{name.ljust(width)}  {_cell(content, whole=True)}")


def _cell(value: Any, *, whole: bool = False) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if whole or len(text) <= 60 else text[:59] + "…"


