"""What the API answers, as JSON Schema: one component for each object of ``schemas/objects.py``.

Every member is always there and no other is: tests hold each answer of the API against these.
"""
from __future__ import annotations

from typing import Any, get_args

from mcpweb import logstore
from mcpweb.contracts import ROLES, SEVERITIES, PinKind

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
WHOLE: Shape = {"type": "integer"}
NUMBER: Shape = {"type": "number"}
FLAG: Shape = {"type": "boolean"}
TIME: Shape = {"type": "string", "format": "date-time"}
ANY: Shape = {}
OBJECT: Shape = {"type": "object"}

STATUSES = ("running", "stopped", "error", "unknown")
JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
VERDICTS = ("pass", "fail", "undecided")
RESULT_STATUSES = ("success", "failure", "error", "timeout")
SCOPES = ("global", "server", "configuration")
NEEDS = ("required", "optional", "conditional")
DELIVERIES = ("stdin", "file", "environment")
FINDING_STATES = ("open", "accepted", "fixed")
CONFIDENCES = ("certain", "firm", "tentative")
POLICIES = ("block", "warn")
KINDS: tuple[str, ...] = get_args(PinKind)


def choice(*words: str) -> Shape:
    return {"type": "string", "enum": list(words)}


def maybe(shape: Shape) -> Shape:
    """Return the shape of a value that may be null."""
    if "$ref" in shape or "type" not in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    opened = shape | {"type": [shape["type"], "null"]}
    return opened | {"enum": [*shape["enum"], None]} if "enum" in shape else opened


def ref(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{name}"}


def arrays(shape: Shape) -> Shape:
    return {"type": "array", "items": shape}


def by_name(shape: Shape) -> Shape:
    return {"type": "object", "additionalProperties": shape}


def thing(**members: Shape) -> Shape:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def listing(shape: Shape | str, **more: Shape) -> Shape:
    """Return the shape of one page of a list; ``next`` is the cursor of the page after it."""
    return thing(items=arrays(ref(shape) if isinstance(shape, str) else shape), next=maybe(TEXT), **more)


_BORN = {"created_at": TIME, "created_by": maybe(TEXT)}
_CHANGED = {**_BORN, "updated_at": TIME, "revision": WHOLE}
_CHANGE = {"pointer": TEXT, "before": ANY, "after": ANY}
_PIN_COUNTS = {"policy": choice(*POLICIES), **dict.fromkeys(("approved", "added", "changed", "removed", "weighty"), WHOLE),
               "digest": TEXT}
_SIDE = {"": maybe(TEXT), "_severity": maybe(TEXT), "_summary": maybe(TEXT), "_metrics": by_name(NUMBER),
         "_result_id": maybe(TEXT)}

COMPONENTS: dict[str, Shape] = {
    "Problem": thing(
        type=TEXT, title=TEXT, status=WHOLE, detail=TEXT, code=TEXT, errors=arrays(thing(pointer=TEXT, detail=TEXT)),
    ),
    "Server": thing(
        id=TEXT, name=TEXT, description=TEXT, image=TEXT, status=choice(*STATUSES), status_detail=TEXT,
        wanted=choice("running", "stopped"), last_health_check=maybe(TIME), seen_at=maybe(TIME), container_id=maybe(TEXT),
        image_id=maybe(TEXT), image_digest=maybe(TEXT), protocol=maybe(TEXT), metadata=OBJECT, pin_policy=choice(*POLICIES),
        **_CHANGED,
    ),
    "Configuration": thing(
        id=TEXT, server_id=TEXT, name=TEXT, description=TEXT, config_data=ref("ConfigData"), is_active=FLAG,
        loosened=arrays(thing(code=TEXT, pointer=TEXT, detail=TEXT)), **_CHANGED,
    ),
    "Change": thing(kind=choice("added", "removed", "changed"), **_CHANGE),
    "Revision": thing(configuration_id=TEXT, revision=WHOLE, config_data=ref("ConfigData"), **_BORN),
    "Secret": thing(
        id=TEXT, name=TEXT, description=TEXT, scope=choice(*SCOPES), owner_id=TEXT, is_active=FLAG, expired=FLAG,
        expires_at=maybe(TIME), key_id=TEXT, key_version=WHOLE, value_version=WHOLE, updated_at=TIME, **_BORN,
    ),
    "Binding": thing(
        id=TEXT, configuration_id=TEXT, secret_id=TEXT, variable=TEXT, scope=choice(*NEEDS), delivery=choice(*DELIVERIES),
        condition=maybe(by_name(TEXT)), usage_context=TEXT, **_BORN,
    ),
    "Key": thing(
        id=TEXT, name=TEXT, version=WHOLE, is_active=FLAG, secrets=WHOLE, pending=WHOLE, rotation=maybe(TEXT),
        rotated_at=maybe(TIME), **_BORN,
        quarantined=arrays(thing(secret_id=TEXT, key_id=TEXT, key_version=WHOLE, reason=TEXT, found_at=TIME)),
        versions=arrays(thing(
            version=WHOLE, state=choice("active", "retiring", "retired", "destroyed"), alg=TEXT, kek_id=TEXT, kek_source=TEXT,
            kcv=TEXT, uses=WHOLE, secrets=WHOLE, created_at=TIME, compromised_at=maybe(TIME), retired_at=maybe(TIME),
            destroyed_at=maybe(TIME),
        )),
    ),
    "VaultState": thing(locked=FLAG, code=TEXT, detail=TEXT, next_step=TEXT),
    "Tool": {
        "type": "object", "properties": {"name": TEXT, "server_id": TEXT, "seen_at": TIME},
        "required": ["name", "server_id", "seen_at"], "additionalProperties": True,
        "description": "The tool's definition as the server sent it, with ours of the same name in their place.",
    },
    "Connection": thing(
        server_id=TEXT, transport=choice("stdio", "http"), url=maybe(TEXT), secrets=arrays(TEXT), files=arrays(TEXT),
        snippets=arrays(thing(client=TEXT, file=TEXT, text=TEXT)),
    ) | {"description": "`url` is null while an http server does not run; `files` are the variables that are files here."},
    "Job": thing(
        id=TEXT, kind=TEXT, state=choice(*JOB_STATES), progress=maybe(NUMBER), message=TEXT, result=ANY,
        error=maybe(thing(code=TEXT, detail=TEXT)), subject=TEXT, created_at=TIME, finished_at=maybe(TIME),
    ),
    "TestRun": thing(
        id=TEXT, server_id=TEXT, configuration_id=maybe(TEXT), configuration_revision=maybe(WHOLE), types=arrays(TEXT),
        profile=TEXT, parameters=OBJECT, seed=WHOLE, state=choice(*JOB_STATES), verdict=maybe(choice(*VERDICTS)),
        counts=thing(**{"pass": WHOLE, "fail": WHOLE, "not_applicable": WHOLE, "undecided": WHOLE}), detail=OBJECT,
        image_id=maybe(TEXT), image_digest=maybe(TEXT), protocol=maybe(TEXT), error=maybe(OBJECT), job_id=maybe(TEXT),
        started_at=maybe(TIME), finished_at=maybe(TIME), results=maybe(arrays(ref("TestResult"))), **_BORN,
    ),
    "TestResult": thing(
        id=TEXT, run_id=maybe(TEXT), server_id=TEXT, configuration_id=maybe(TEXT), test_type=TEXT, check_id=maybe(TEXT),
        tool_name=TEXT, status=choice(*RESULT_STATUSES), severity=maybe(choice(*SEVERITIES)), input_data=ANY, output_data=ANY,
        error_message=maybe(TEXT), execution_time_ms=maybe(WHOLE), finding=maybe(thing(id=TEXT, state=choice(*FINDING_STATES))),
        **_BORN,
    ),
    "TestType": thing(name=TEXT, title=TEXT, description=TEXT, plugin=TEXT, installed=FLAG),
    "TestCase": thing(
        id=TEXT, server_id=TEXT, name=TEXT, tool_name=TEXT, arguments=OBJECT, assertions=arrays(OBJECT), is_active=FLAG,
        **_CHANGED,
    ),
    "Schedule": thing(
        id=TEXT, server_id=TEXT, name=TEXT, types=arrays(TEXT), configuration=maybe(TEXT), profile=TEXT, parameters=OBJECT,
        every_minutes=maybe(WHOLE), on_new_image=FLAG, next_at=maybe(TIME), last_run_id=maybe(TEXT), last_detail=TEXT,
        is_active=FLAG, **_CHANGED,
    ),
    "Finding": thing(
        id=TEXT, server_id=TEXT, test_type=TEXT, check_id=TEXT, tool_name=TEXT, key=TEXT, severity=choice(*SEVERITIES),
        confidence=choice(*CONFIDENCES), summary=TEXT, state=choice(*FINDING_STATES), first_seen_at=TIME, first_run_id=TEXT,
        last_seen_at=TIME, last_run_id=TEXT, result_id=TEXT, accepted_at=maybe(TIME), accepted_by=maybe(TEXT),
        accepted_until=maybe(TIME), reason=maybe(TEXT),
    ),
    "Pin": thing(
        server_id=TEXT, kind=choice(*KINDS), name=TEXT, state=TEXT, hash=maybe(TEXT), definition=ANY, approved_at=maybe(TIME),
        approved_by=maybe(TEXT), current_hash=maybe(TEXT), current_definition=ANY, seen_at=maybe(TIME),
    ),
    "PinCounts": thing(**_PIN_COUNTS),
    "PinDifference": thing(kind=choice(*KINDS), name=TEXT, change=TEXT, **_CHANGE),
    "ComparedCheck": thing(
        test_type=TEXT, check_id=TEXT, tool_name=TEXT, key=TEXT,
        change=choice("worse", "better", "other", "gone", "new", "same"),
        **{side + end: shape for side in ("first", "second") for end, shape in _SIDE.items()},
    ),
    "ComparedMetric": thing(
        name=TEXT, tool_name=TEXT, first=maybe(NUMBER), second=maybe(NUMBER), ratio=maybe(NUMBER),
    ),
    "Series": thing(
        name=TEXT, tool_name=TEXT, low=maybe(NUMBER), high=maybe(NUMBER),
        points=arrays(thing(at=TIME, value=NUMBER, run_id=TEXT, image_id=maybe(TEXT))),
    ),
    "User": thing(
        id=TEXT, name=TEXT, role=choice(*ROLES), updated_at=TIME, disabled_at=maybe(TIME), signed_in_at=maybe(TIME), **_BORN,
    ),
    "Session": thing(
        id=TEXT, user_id=TEXT, created_at=TIME, seen_at=TIME, expires_at=TIME, ip=TEXT, user_agent=TEXT,
        current=FLAG,
    ),
    "Token": thing(
        id=TEXT, user_id=TEXT, name=TEXT, role=choice(*ROLES), created_at=TIME, expires_at=TIME, last_used_at=maybe(TIME),
        revoked_at=maybe(TIME),
    ),
    "AuditRow": thing(
        seq=WHOLE, at=TIME, actor=TEXT, actor_kind=TEXT, ip=TEXT, request_id=TEXT, action=TEXT, target=TEXT, detail=OBJECT,
        prev_hash=TEXT, hash=TEXT,
    ),
    "AuditVerification": thing(ok=FLAG, rows=WHOLE, first_bad=maybe(WHOLE), reason=TEXT, checkpoints=WHOLE),
    "Plugin": thing(
        name=TEXT, state=TEXT, source=TEXT, origin=TEXT, version=TEXT, description=TEXT, hooks=arrays(TEXT), load_ms=NUMBER,
        error=TEXT, needs_restart=FLAG,
    ),
    "Setting": thing(name=TEXT, default=TEXT, help=TEXT, value=maybe(WHOLE), source=TEXT),
    "DoctorFinding": thing(name=TEXT, level=TEXT, sentence=TEXT, next_step=TEXT),
    "LogLine": thing(
        offset=WHOLE, at=TEXT, stream=choice(*logstore.STREAMS), level=choice(*logstore.LEVELS), text=TEXT,
    ),
    "Sample": thing(
        at=TEXT, cpu_percent=NUMBER, memory_bytes=WHOLE, memory_limit=WHOLE, pids=WHOLE, rx_bytes=WHOLE, tx_bytes=WHOLE,
        cpu_s=NUMBER,
    ),
}


def extended(name: str, **more: Shape) -> Shape:
    """Return the shape of an object that carries more than its component says."""
    return thing(**COMPONENTS[name]["properties"], **more)
