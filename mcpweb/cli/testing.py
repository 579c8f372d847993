"""``mcpweb test``"""
from __future__ import annotations

import sys
from typing import Any

import click

from mcpweb.cli.common import json_option, opened, print_json, wait_for, with_hands
from mcpweb.contracts import SEVERITIES
from mcpweb.errors import Failure
from mcpweb.schemas.objects import test_run_object
from mcpweb.services import findings, test_runs

_MARKS = {"success": "ok   ", "failure": "FAIL ", "timeout": "TIME ", "error": "?    "}


@click.command()
@click.argument("server")
@click.option("--type", "types", multiple=True, metavar="T", help="Test type; repeat for several. Default: all.")
@click.option("--configuration", metavar="C", help="Default: the active one.")
@click.option("--profile", type=click.Choice(["quick", "full"]), default="quick", show_default=True)
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="high", show_default=True,
              help="Exit 1 when a check of this severity or above fails.")
@json_option
def test(
    server: str, types: tuple[str, ...], configuration: str | None, profile: str, fail_on: str, as_json: bool
) -> None:
    """Test a server and keep the verdicts."""
    with opened() as (core, actor):
        with with_hands(core):
            run, job = test_runs.request(
                core, actor, server, types=list(types) or None, configuration=configuration, profile=profile
            )
            job = wait_for(core, job, quiet=as_json)
        run = test_runs.get(core, actor, run.id)
        results = test_runs.results(core, actor, run.id)
        found = findings.of_results(core, results)
        if as_json:
            print_json(test_run_object(run, results, found))
        else:
            _print(run, results)
        if run.state != "succeeded":
            error = run.error or {"code": run.state, "detail": f"The run is {run.state}."}
            if not as_json:
                raise Failure(error["detail"], code=error["code"])
            sys.exit(2)
        counted = [r for r in results if not (r.id in found and found[r.id].state == "accepted")]
        sys.exit(1 if _failed(counted, fail_on) else 0)


def _failed(results: list[Any], fail_on: str) -> bool:
    least = SEVERITIES.index(fail_on)  # type: ignore[arg-type]
    bad = [r for r in results if r.status == "failure" or (r.status == "timeout" and r.output_data.get("verdict") == "fail")]
    return any(SEVERITIES.index(r.severity or "info") >= least for r in bad)


def _print(run: Any, results: list[Any]) -> None:
    for result in results:
        place = "" if result.tool_name == "*" else f" [{result.tool_name}]"
        output = result.output_data or {}
        click.echo(f"{_MARKS[result.status]} {result.check_id:5} {result.severity:8}{place} {output.get('summary', '')}")
        if result.status != "success" and output.get("next_step"):
            click.echo(f"             → {output['next_step']}")
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in run.counts.items() if count)
    click.echo(f"{run.verdict}: {counts or 'nothing was checked'}  ({run.id})")
