"""F16: prompts and completion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, RpcError, ServerTimeout, Severity

from .base import Bench, cut
from .frames import AUTHOR
from .lists import Walk, listed
from .serving import MOST_READ

MOST_COMPLETED = 100
STARTS = ("", "a", "s", "1")


def prompts(bench: Bench, walks: Mapping[str, Walk]) -> Iterator[CheckResult]:
    """F16: prompts with their arguments have messages, without required ones they are refused; completion is bounded."""
    items = listed(walks["prompts"]) if "prompts" in walks else []
    if not items and "prompts" not in bench.capabilities:
        yield CheckResult("F16", "not_applicable", "The server offers no prompts.")
        return
    failed = got = 0
    for item in items[: MOST_READ[bench.quick]]:
        name = str(item["name"])
        needed = [one for one in item.get("arguments") or [] if isinstance(one, dict) and isinstance(one.get("name"), str)]
        for summary, severity, evidence, request in _of_prompt(bench, name, needed):
            failed += 1
            yield CheckResult(
                "F16",
                "fail",
                summary,
                key=f"{name}: {summary[-40:]}"[:200],
                severity=severity,
                evidence=evidence,
                input=request,
                next_step=AUTHOR + "check a prompt's arguments, and answer -32602.",
            )
        got += 1
    unknown = unknown_prompt(bench, items)
    if unknown is not None:
        failed += 1
        yield CheckResult(
            "F16",
            "fail",
            "An unknown prompt is had.",
            key="unknown",
            evidence={"reply": cut(unknown[0])},
            input=unknown[1],
            next_step=AUTHOR + "answer -32602.",
        )
    templates = listed(walks["resourceTemplates"]) if "resourceTemplates" in walks else []
    for summary, evidence, request in _completions(bench, items, templates):
        failed += 1
        yield CheckResult(
            "F16",
            "fail",
            summary,
            key="completion",
            evidence=evidence,
            input=request,
            next_step=AUTHOR + f"return at most {MOST_COMPLETED} values, and say hasMore.",
        )
    if not failed:
        yield CheckResult("F16", "pass", f"{got} of {len(items)} prompts were had, and ask for what they require.")


def _arguments(bench: Bench, name: str, needed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    properties = {
        one["name"]: {"type": "string", "minLength": 1, "maxLength": 60, "description": str(one.get("description", ""))}
        for one in needed
    }
    definition = {"name": name, "inputSchema": {"type": "object", "properties": properties, "required": list(properties)}}
    cases = bench.context.inputs(definition, valid=1, invalid=0, known=bench.known)
    return {key: str(value) for key, value in cases[0].arguments.items()} if cases else {one["name"]: "example" for one in needed}


def _of_prompt(
    bench: Bench, name: str, needed: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Severity | None, dict[str, Any], dict[str, Any]]]:
    given = _arguments(bench, name, needed)
    required = [one["name"] for one in needed if one.get("required") is True]
    reply = error = None
    request = {"method": "prompts/get", "params": {"name": name, "arguments": given}}
    try:
        reply = bench.plain.session.request("prompts/get", request["params"], deadline_s=5.0)  # type: ignore[arg-type]
    except RpcError as failure:
        error = failure.rpc
    except ServerTimeout:
        yield f"The prompt {name} gets no answer.", None, {}, request
        return
    if error is None and isinstance(reply, Mapping) and reply.get("resultType") != "input_required":
        messages = reply.get("messages")
        if not isinstance(messages, list) or not messages:
            yield f"The prompt {name} has no messages.", None, {"reply": cut(reply)}, request
    if error is None and len(required) < len(given):
        fault = _needs_more(bench, name, given, required)
        if fault is not None:
            yield fault
    for missing in required[:6]:
        less = {key: value for key, value in given.items() if key != missing}
        request = {"method": "prompts/get", "params": {"name": name, "arguments": less}}
        try:
            reply = bench.plain.session.request("prompts/get", request["params"], deadline_s=5.0)  # type: ignore[arg-type]
        except RpcError:
            continue
        except ServerTimeout:
            yield f"The prompt {name} without {missing} gets no answer.", None, {}, request
            return
        if isinstance(reply, Mapping) and reply.get("resultType") != "input_required":
            yield f"The prompt {name} does without its required argument {missing}.", None, {"reply": cut(reply)}, request


def _needs_more(
    bench: Bench, name: str, given: Mapping[str, str], required: Sequence[str]
) -> tuple[str, Severity | None, dict[str, Any], dict[str, Any]] | None:
    """Return that a prompt does not do without what it does not require."""
    params = {"name": name, "arguments": {key: given[key] for key in required}}
    request = {"method": "prompts/get", "params": params}
    try:
        bench.plain.session.request("prompts/get", params, deadline_s=5.0)  # type: ignore[arg-type]
    except RpcError as failure:
        return (
            f"The prompt {name} is refused with all that it requires: {failure.detail}",
            None,
            {"error": cut(failure.rpc)},
            request,
        )
    except ServerTimeout:
        return f"The prompt {name} with what it requires gets no answer.", None, {}, request
    return None


def unknown_prompt(bench: Bench, items: Sequence[Mapping[str, Any]]) -> tuple[Any, dict[str, Any]] | None:
    """Return what an unknown prompt is answered with, where that is no error: without arguments, and with those of all others."""
    names = [one.get("name") for item in items for one in item.get("arguments") or () if isinstance(one, dict)]
    for arguments in ({}, {name: "example" for name in names if isinstance(name, str)}):
        params: dict[str, Any] = {"name": "mcpweb-no-such-prompt", "arguments": arguments}
        try:
            reply = bench.plain.session.request("prompts/get", params, deadline_s=5.0)
        except (RpcError, ServerTimeout):
            continue
        return reply, {"method": "prompts/get", "params": params}
    return None


def _to_complete(
    items: Sequence[Mapping[str, Any]], templates: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[dict[str, Any], str]]:
    for item in items[:8]:
        for argument in (item.get("arguments") or [])[:4]:
            if isinstance(argument, dict) and isinstance(argument.get("name"), str):
                yield {"type": "ref/prompt", "name": item["name"]}, argument["name"]
    for item in templates[:8]:
        for name in re.findall(r"\{[+#./;?&]?([\w.]+)", str(item["uriTemplate"]))[:3]:
            yield {"type": "ref/resource", "uri": item["uriTemplate"]}, name


def _completions(
    bench: Bench, items: Sequence[Mapping[str, Any]], templates: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    if "completions" not in bench.capabilities and bench.protocol >= "2025-03-26":
        return
    for reference, argument in _to_complete(items, templates):
        for start in STARTS:
            params = {"ref": reference, "argument": {"name": argument, "value": start}}
            request = {"method": "completion/complete", "params": params}
            try:
                reply = bench.plain.session.request("completion/complete", params, deadline_s=5.0)
            except RpcError:
                break
            except ServerTimeout:
                yield f"Completion of {argument} gets no answer.", {}, request
                return
            found = reply.get("completion") if isinstance(reply, Mapping) else None
            values = found.get("values") if isinstance(found, Mapping) else None
            if not isinstance(found, Mapping) or not isinstance(values, list):
                continue
            total, more = found.get("total"), found.get("hasMore")
            said = ""
            if len(values) > MOST_COMPLETED:
                said = f"Completion of {argument} returns {len(values)} values."
            elif isinstance(total, int) and (total < len(values) or (total > len(values) and more is False)):
                said = f"Completion of {argument} returns {len(values)} values of {total}, and hasMore is {more}."
            if said:
                yield said, {"first": values[:5], "total": total, "hasMore": more}, request
                return
