"""Saved cases: calls of tools with what must be true of their answers; runs of *functionality* check them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.dao import servers, test_cases
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.test_cases import TestCase
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, FieldError, InvalidInput
from mcpweb.ids import new_id
from mcpweb.redaction import MARK
from mcpweb.schemas import test_cases as schema
from mcpweb.schemas.names import check_name
from mcpweb.services import access

MOST = 500
"""Cases of one server; a run checks the active ones."""


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    tool_name: str | None = None,
    is_active: bool | None = None,
) -> Listing[TestCase]:
    """Return saved cases, newest first."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return test_cases.listing(
            conn, after=after, limit=limit, server_id=wanted, tool_name=tool_name, is_active=is_active
        )


def get(core: Core, actor: Actor, case_id: str) -> TestCase:
    """Return a saved case. Raises NotFound."""
    access.require(core, actor, "test.view", case_id=case_id)
    with core.db.reading() as conn:
        return test_cases.get(conn, case_id)


def add(
    core: Core,
    actor: Actor,
    server_id: str,
    *,
    name: str,
    tool_name: str,
    arguments: Mapping[str, Any],
    assertions: Any,
    is_active: bool = True,
) -> TestCase:
    """Save a case. Raises NotFound, Conflict for a taken name, InvalidInput with a pointer to each fault."""
    access.require(core, actor, "test.edit", server_id=server_id)
    check_name(name)
    _check_tool(tool_name)
    kept_arguments, kept = schema.checked(arguments, assertions)
    now = clock.now()
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        if test_cases.count(conn, server.id) >= MOST:
            raise Conflict(f"{server.name} has {MOST} test cases already.", next_step="Remove some that are not needed.")
        case = TestCase(
            id=new_id("tcs"), server_id=server.id, name=name, tool_name=tool_name, arguments=kept_arguments, assertions=kept,
            is_active=is_active, created_at=now, created_by=actor.name, updated_at=now, revision=1,
        )
        _insert(conn, case, server.name)
        access.note(conn, actor, "test_case.add", case.id, {"server": server.name, "name": name, "tool": tool_name})
    return case


def _check_tool(tool_name: str) -> None:
    if not isinstance(tool_name, str) or not 1 <= len(tool_name) <= 256:
        raise InvalidInput("A test case names its tool.", errors=[FieldError("/tool_name", "from 1 to 256 characters")])


def _insert(conn: Connection, case: TestCase, server: str) -> None:
    try:
        test_cases.insert(conn, case)
    except driver.IntegrityError:
        raise Conflict(
            f"{server} already has a test case {case.name}.", errors=[FieldError("/name", "taken")]
        ) from None


def update(core: Core, actor: Actor, case_id: str, *, expect: int | None, **fields: Any) -> TestCase:
    """Change name, tool_name, arguments, assertions or is_active. Raises as ``add``, and PreconditionFailed."""
    access.require(core, actor, "test.edit", case_id=case_id)
    if "name" in fields:
        check_name(fields["name"])
    if "tool_name" in fields:
        _check_tool(fields["tool_name"])
    with core.db.writing() as conn:
        case = test_cases.get(conn, case_id)
        if "arguments" in fields or "assertions" in fields:
            fields["arguments"], fields["assertions"] = schema.checked(
                fields.get("arguments", case.arguments), fields.get("assertions", case.assertions)
            )
        try:
            changed = test_cases.update(conn, case_id, expect=expect, fields=fields)
        except driver.IntegrityError:
            raise Conflict("The server already has a test case of this name.", errors=[FieldError("/name", "taken")]) from None
        access.note(conn, actor, "test_case.update", case_id, {"fields": sorted(fields), "revision": changed.revision})
    return changed


def remove(core: Core, actor: Actor, case_id: str) -> None:
    """Delete a saved case; results of earlier runs stay. Raises NotFound."""
    access.require(core, actor, "test.edit", case_id=case_id)
    with core.db.writing() as conn:
        case = test_cases.get(conn, case_id)
        test_cases.delete(conn, case_id)
        access.note(conn, actor, "test_case.remove", case_id, {"name": case.name, "server_id": case.server_id})


def from_job(core: Core, actor: Actor, job_id: str, name: str) -> TestCase:
    """Save the call of a job as a golden case: the same arguments must give the same answer.

    Of an answer in which secrets were hidden only ``isError`` is asserted; what is compared later is what the server says.
    Raises Conflict for a job that is no finished call.
    """
    access.require(core, actor, "test.edit", job_id=job_id)
    with core.db.reading() as conn:
        job = job_rows.get(conn, job_id)
    result = job.result.get("result") if isinstance(job.result, dict) else None
    if job.kind != "call" or job.state != "succeeded" or not isinstance(result, dict):
        raise Conflict("A test case is recorded from a call that was answered.", next_step="Call the tool first.")
    payload = job.payload
    return add(
        core, actor, payload["server_id"], name=name, tool_name=payload["tool"], arguments=payload["arguments"],
        assertions=golden(result),
    )


def golden(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a result asserts of its repetition."""
    found: list[dict[str, Any]] = [{"kind": "is_error", "value": bool(result.get("isError"))}]
    part = "structuredContent" if "structuredContent" in result else "content"
    whole = {"kind": "equals", "path": f"$.{part}", "value": result.get(part)}
    if part in result and MARK not in str(whole["value"]) and schema.size(whole) <= schema.LARGEST // 2:
        found.append(whole)
    return found
