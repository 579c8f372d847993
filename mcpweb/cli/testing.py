"""``mcpweb test``"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mcpweb.cli.common import json_option, opened, print_json, wait_for, with_hands
from mcpweb.contracts import SEVERITIES, Actor
from mcpweb.core import Core
from mcpweb.dao.jobs import Job
from mcpweb.errors import Failure
from mcpweb.reports import Report, counting, plain
from mcpweb.reports.junit import junit
from mcpweb.reports.sarif import sarif
from mcpweb.schemas.objects import test_run_object
from mcpweb.services import jobs, reports, test_runs

_MARKS = {"success": "ok   ", "failure": "FAIL ", "timeout": "TIME ", "error": "?    "}
_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("server")
@click.option("--type", "types", multiple=True, metavar="T", help="Test type; repeat for several. Default: all.")
@click.option("--configuration", metavar="C", help="Default: the active one.")
@click.option("--profile", type=click.Choice(["quick", "full"]), default="quick", show_default=True)
@click.option("--baseline", metavar="IMAGE", help="Compare the speed with this image, side by side.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=JSON", help="A parameter of the run; repeat for several.")
@click.option("--junit", "junit_file", type=_FILE, metavar="F", help="Write a JUnit XML report to this file.")
@click.option("--sarif", "sarif_file", type=_FILE, metavar="F", help="Write a SARIF 2.1.0 report to this file.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="high", show_default=True,
              help="Exit 1 when a check of this severity or above fails and nobody accepted the finding.")
@json_option
def test(
    server: str, types: tuple[str, ...], configuration: str | None, profile: str, baseline: str | None,
    parameters: tuple[str, ...], junit_file: Path | None, sarif_file: Path | None, fail_on: str, as_json: bool,
) -> None:
    """Test a server and keep the verdicts; exit 2 when the run did not come to its end."""
    for file in (junit_file, sarif_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise click.UsageError(f"{file} cannot be written: there is no folder {file.absolute().parent}.")
    given = _parameters(parameters) | ({"baseline": {"image": baseline}} if baseline else {})
    with opened() as (core, actor):
        with with_hands(core):
            run, job = test_runs.request(
                core, actor, server, types=list(types) or None, configuration=configuration, profile=profile,
                parameters=given,
            )
            _wait(core, actor, job, quiet=as_json)
        report = reports.report(core, actor, run.id)
        if as_json:
            print_json(test_run_object(report.run, report.results, report.findings))
        else:
            _print(report)
        _write(junit_file, lambda: junit(report))
        _write(sarif_file, lambda: json.dumps(sarif(report), ensure_ascii=False, indent=2) + "\n")
        if report.run.state != "succeeded":
            error = report.run.error or {"code": report.run.state, "detail": f"The run is {report.run.state}."}
            if not as_json:
                raise Failure(error["detail"], code=error["code"])
            sys.exit(2)
        sys.exit(1 if counting(report, fail_on) else 0)


def _parameters(given: tuple[str, ...]) -> dict[str, Any]:
    """Return parameters of a run; a value that is no JSON is taken as text."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--parameter takes NAME=JSON, not {text}.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _wait(core: Core, actor: Actor, job: Job, *, quiet: bool) -> None:
    """Wait for the end; who interrupts the command cancels the run, so that no container goes on for nobody."""
    try:
        wait_for(core, job, quiet=quiet)
    except KeyboardInterrupt:
        try:
            jobs.cancel(core, actor, job.id)
            jobs.wait(core, job.id, 20.0)
        except Failure:
            pass  # it was over already
        raise


def _write(file: Path | None, make: Callable[[], str]) -> None:
    if file is None:
        return
    try:
        file.write_text(make(), encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}.", code="report_unwritable") from error


def _print(report: Report) -> None:
    for result in report.results:
        place = "" if result.tool_name == "*" else f" [{plain(result.tool_name, 100)}]"
        output: dict[str, Any] = result.output_data or {}
        accepted = report.accepted_as(result)
        mark = "acc  " if accepted is not None else _MARKS[result.status]
        click.echo(f"{mark} {plain(result.check_id or '', 100):5} {result.severity:8}{place} {plain(output.get('summary', ''))}")
        if accepted is not None:
            until = f" until {accepted.accepted_until[:10]}" if accepted.accepted_until else ""
            click.echo(f"             accepted{until}: {plain(accepted.reason)}")
        elif result.status != "success" and output.get("next_step"):
            click.echo(f"             → {plain(output['next_step'])}")
    run = report.run
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in run.counts.items() if count)
    click.echo(f"{run.verdict}: {counts or 'nothing was checked'}  ({run.id})")
