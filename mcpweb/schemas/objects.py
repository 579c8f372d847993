"""Rows as JSON objects, the same for the API and for ``--json``. Wire objects of MCP stay as they are."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mcpweb.clock import rfc3339
from mcpweb.schemas.documents import loosenings

if TYPE_CHECKING:
    from mcpweb.dao.accounts import Session, Token, User
    from mcpweb.dao.audit import AuditRow
    from mcpweb.dao.bindings import Binding
    from mcpweb.dao.configurations import Configuration, Revision
    from mcpweb.dao.findings import Finding
    from mcpweb.dao.jobs import Job
    from mcpweb.dao.pins import PinState
    from mcpweb.dao.schedules import Schedule
    from mcpweb.dao.secrets import Secret
    from mcpweb.dao.servers import Server
    from mcpweb.dao.test_cases import TestCase
    from mcpweb.dao.test_results import TestResult
    from mcpweb.dao.test_runs import TestRun
    from mcpweb.dao.test_types import TestTypeRow
    from mcpweb.dao.tools import Tool
    from mcpweb.errors import Failure
    from mcpweb.pluginhost import PluginRecord
    from mcpweb.schemas.documents import Change
    from mcpweb.services.comparison import ComparedCheck, ComparedMetric
    from mcpweb.services.keycheck import Verification
    from mcpweb.services.keys import KeyFacts
    from mcpweb.services.pins import FieldDiff
    from mcpweb.services.pins import Overview as PinOverview
    from mcpweb.services.trends import Series

Object = dict[str, Any]


def problem_object(failure: Failure) -> Object:
    """Return a failure as problem+json (RFC 9457)."""
    return {
        "type": "about:blank",
        "title": failure.title,
        "status": failure.status,
        "detail": failure.sentence,
        "code": failure.code,
        "errors": [{"pointer": error.pointer, "detail": error.detail} for error in failure.errors],
    }


def server_object(row: Server) -> Object:
    return {
        "id": row.id, "name": row.name, "description": row.description, "image": row.image, "status": row.status,
        "status_detail": row.status_detail, "wanted": row.wanted, "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at), "last_health_check": rfc3339(row.last_health_check),
        "seen_at": rfc3339(row.seen_at), "container_id": row.container_id, "image_id": row.image_id,
        "image_digest": row.image_digest, "protocol": row.protocol, "metadata": row.metadata,
        "created_by": row.created_by, "revision": row.revision, "pin_policy": row.pin_policy,
    }


def configuration_object(row: Configuration) -> Object:
    return {
        "id": row.id, "server_id": row.server_id, "name": row.name, "description": row.description,
        "config_data": row.config_data, "is_active": row.is_active, "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at), "created_by": row.created_by, "revision": row.revision,
        "loosened": [asdict(found) for found in loosenings(row.config_data)],
    }


def change_object(row: Change) -> Object:
    return asdict(row)


def revision_object(row: Revision) -> Object:
    return {
        "configuration_id": row.configuration_id, "revision": row.revision, "config_data": row.config_data,
        "created_at": rfc3339(row.created_at), "created_by": row.created_by,
    }


def secret_object(row: Secret) -> Object:
    """Return a secret without its value, and without the encrypted one."""
    return {
        "id": row.id, "name": row.name, "description": row.description, "scope": row.scope, "owner_id": row.owner_id,
        "is_active": row.is_active, "expired": row.expired, "expires_at": rfc3339(row.expires_at),
        "key_id": row.encryption_key_id, "key_version": row.key_version, "value_version": row.value_version,
        "created_at": rfc3339(row.created_at), "updated_at": rfc3339(row.updated_at), "created_by": row.created_by,
    }


def binding_object(row: Binding) -> Object:
    return {
        "id": row.id, "configuration_id": row.configuration_id, "secret_id": row.secret_id, "variable": row.variable,
        "scope": row.scope, "delivery": row.delivery, "condition": row.condition, "usage_context": row.usage_context,
        "created_at": rfc3339(row.created_at), "created_by": row.created_by,
    }


def key_object(facts: KeyFacts) -> Object:
    """Return a key with its versions, newest first, without any material."""
    key = facts.key
    return {
        "id": key.id, "name": key.key_name, "version": key.key_version, "is_active": key.is_active, "secrets": facts.secrets,
        "pending": facts.pending, "quarantined": [asdict(row) | {"found_at": rfc3339(row.found_at)} for row in facts.quarantined],
        "rotation": facts.rotation.id if facts.rotation else None, "created_at": rfc3339(key.created_at),
        "rotated_at": rfc3339(key.rotated_at), "created_by": key.created_by,
        "versions": [
            {
                "version": v.version, "state": v.state, "alg": v.alg, "kek_id": v.kek_id, "kek_source": v.kek_source,
                "kcv": v.kcv, "uses": v.uses, "secrets": one.secrets, "created_at": rfc3339(v.created_at),
                "compromised_at": rfc3339(v.compromised_at), "retired_at": rfc3339(v.retired_at),
                "destroyed_at": rfc3339(v.destroyed_at),
            }
            for one in facts.versions for v in (one.version,)
        ],
    }


def verification_object(found: Verification, *, most: int | None = None) -> Object:
    """Return a report; ``most`` bounds how many faults it lists, never how many it counts."""
    return {
        "ok": found.ok, "checked": found.checked, "fault_count": len(found.faults),
        "faults": [asdict(fault) for fault in found.faults[:most]],
        "notices": [asdict(notice) for notice in found.notices],
    }


def tool_object(row: Tool) -> Object:
    """Return the definition as received, with when it was seen; a tool cannot overwrite our fields."""
    return {**row.definition, "name": row.name, "server_id": row.server_id, "seen_at": rfc3339(row.seen_at)}


def job_object(row: Job) -> Object:
    return {
        "id": row.id, "kind": row.kind, "state": row.state, "progress": row.progress, "message": row.message,
        "result": row.result, "error": row.error, "subject": row.subject, "created_at": rfc3339(row.created_at),
        "finished_at": rfc3339(row.finished_at),
    }


def test_run_object(
    row: TestRun, results: Iterable[TestResult] | None = None, found: Mapping[str, Finding] | None = None
) -> Object:
    """Return a run; ``results`` is a list where it was asked for, else null. ``found`` are their findings by result id."""
    return {
        "id": row.id, "server_id": row.server_id, "configuration_id": row.configuration_id,
        "configuration_revision": row.configuration_revision, "types": row.types, "profile": row.profile,
        "parameters": row.parameters, "seed": row.seed, "state": row.state, "verdict": row.verdict,
        "counts": row.counts, "detail": row.detail, "image_id": row.image_id, "image_digest": row.image_digest,
        "protocol": row.protocol, "error": row.error, "job_id": row.job_id, "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at), "finished_at": rfc3339(row.finished_at), "created_by": row.created_by,
        "results": None if results is None else [result_object(result, (found or {}).get(result.id)) for result in results],
    }


test_run_object.__test__ = False  # type: ignore[attr-defined]


def result_object(row: TestResult, finding: Finding | None = None) -> Object:
    """Return a result; one that failed carries its finding and the state that has now."""
    return {
        "id": row.id, "run_id": row.run_id, "server_id": row.server_id, "configuration_id": row.configuration_id,
        "test_type": row.test_type, "check_id": row.check_id, "tool_name": row.tool_name, "status": row.status,
        "severity": row.severity, "input_data": row.input_data, "output_data": row.output_data,
        "error_message": row.error_message, "execution_time_ms": row.execution_time_ms,
        "created_at": rfc3339(row.created_at), "created_by": row.created_by,
        "finding": None if finding is None else {"id": finding.id, "state": finding.state},
    }


def finding_object(row: Finding) -> Object:
    return {
        "id": row.id, "server_id": row.server_id, "test_type": row.test_type, "check_id": row.check_id,
        "tool_name": row.tool_name, "key": row.key, "severity": row.severity, "confidence": row.confidence,
        "summary": row.summary, "state": row.state, "first_seen_at": rfc3339(row.first_seen_at),
        "first_run_id": row.first_run_id, "last_seen_at": rfc3339(row.last_seen_at), "last_run_id": row.last_run_id,
        "result_id": row.result_id, "accepted_at": rfc3339(row.accepted_at), "accepted_by": row.accepted_by,
        "accepted_until": rfc3339(row.accepted_until), "reason": row.reason,
    }


def pin_object(row: PinState) -> Object:
    """Return a pin as it was approved, with what the server says now where that differs."""
    return {
        "server_id": row.server_id, "kind": row.kind, "name": row.name, "state": row.state, "hash": row.hash,
        "definition": row.definition, "approved_at": rfc3339(row.approved_at), "approved_by": row.approved_by,
        "current_hash": row.current_hash, "current_definition": row.current_definition, "seen_at": rfc3339(row.seen_at),
    }


def pin_overview_object(row: PinOverview) -> Object:
    return asdict(row)


def field_diff_object(row: FieldDiff) -> Object:
    return asdict(row)


def test_case_object(row: TestCase) -> Object:
    return {
        "id": row.id, "server_id": row.server_id, "name": row.name, "tool_name": row.tool_name, "arguments": row.arguments,
        "assertions": row.assertions, "is_active": row.is_active, "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at), "created_by": row.created_by, "revision": row.revision,
    }


test_case_object.__test__ = False  # type: ignore[attr-defined]


def schedule_object(row: Schedule) -> Object:
    return {
        "id": row.id, "server_id": row.server_id, "name": row.name, "types": row.types, "configuration": row.configuration,
        "profile": row.profile, "parameters": row.parameters, "every_minutes": row.every_minutes,
        "on_new_image": row.on_new_image, "next_at": rfc3339(row.next_at), "last_run_id": row.last_run_id,
        "last_detail": row.last_detail, "is_active": row.is_active, "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at), "created_by": row.created_by, "revision": row.revision,
    }


def compared_check_object(row: ComparedCheck) -> Object:
    """Return a check of two runs: both statuses, and what each run said."""
    sides = {"first": row.first, "second": row.second}
    return {
        "test_type": row.test_type, "check_id": row.check_id, "tool_name": row.tool_name, "key": row.key, "change": row.change,
        **{name: side.status if side else None for name, side in sides.items()},
        **{f"{name}_severity": side.severity if side else None for name, side in sides.items()},
        **{f"{name}_summary": side.summary if side else None for name, side in sides.items()},
        **{f"{name}_metrics": side.metrics if side else {} for name, side in sides.items()},
        **{f"{name}_result_id": side.result_id if side else None for name, side in sides.items()},
    }


def compared_metric_object(row: ComparedMetric) -> Object:
    return {"name": row.name, "tool_name": row.tool_name, "first": row.first, "second": row.second, "ratio": row.ratio}


def series_object(row: Series) -> Object:
    return {
        "name": row.name, "tool_name": row.tool_name, "low": row.low, "high": row.high,
        "points": [
            {"at": rfc3339(point.at), "value": point.value, "run_id": point.run_id, "image_id": point.image_id}
            for point in row.points
        ],
    }


def test_type_object(row: TestTypeRow) -> Object:
    return {
        "name": row.name, "title": row.title, "description": row.description, "plugin": row.plugin,
        "installed": row.installed,
    }


test_type_object.__test__ = False  # type: ignore[attr-defined]


def user_object(row: User) -> Object:
    return {
        "id": row.id, "name": row.name, "role": row.role, "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at), "disabled_at": rfc3339(row.disabled_at), "created_by": row.created_by,
        "signed_in_at": rfc3339(row.signed_in_at),
    }


def session_object(row: Session, *, current: bool = False) -> Object:
    """Return a session; its id is the first part of the hash, which opens nothing."""
    return {
        "id": row.id_hash[:16], "user_id": row.user_id, "created_at": rfc3339(row.created_at),
        "seen_at": rfc3339(row.seen_at), "expires_at": rfc3339(row.expires_at), "ip": row.ip,
        "user_agent": row.user_agent, "current": current,
    }


def token_object(row: Token) -> Object:
    return {
        "id": row.id, "user_id": row.user_id, "name": row.name, "role": row.role,
        "created_at": rfc3339(row.created_at), "expires_at": rfc3339(row.expires_at),
        "last_used_at": rfc3339(row.last_used_at), "revoked_at": rfc3339(row.revoked_at),
    }


def audit_object(row: AuditRow) -> Object:
    return {
        "seq": row.seq, "at": rfc3339(row.at), "actor": row.actor, "actor_kind": row.actor_kind, "ip": row.ip,
        "request_id": row.request_id, "action": row.action, "target": row.target, "detail": row.detail,
        "prev_hash": row.prev_hash, "hash": row.hash,
    }


def plugin_object(record: PluginRecord) -> Object:
    return {
        "name": record.name, "state": record.state, "source": record.source, "origin": record.origin,
        "version": record.version, "description": record.description, "hooks": list(record.hooks),
        "load_ms": round(record.load_ms, 1), "error": record.error, "needs_restart": record.needs_restart,
    }
