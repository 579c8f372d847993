"""F15, F16 and F18: resources, prompts, completion and subscriptions."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout, Severity

from .base import Bench, cut
from .frames import AUTHOR
from .lists import Walk, listed
from .wire import META

MOST_READ = {True: 5, False: 40}
MOST_COMPLETED = 100
ABSENT = "mcpweb-test://absent/"


def resources(bench: Bench, walks: Mapping[str, Walk]) -> Iterator[CheckResult]:
    """F15: what is listed can be read and holds something; what is not there is refused as such."""
    if "resources" not in bench.capabilities and "resources" not in walks:
        yield CheckResult("F15", "not_applicable", "The server offers no resources.")
        return
    items = listed(walks["resources"]) if "resources" in walks else []
    failed = read = 0
    for item in items[: MOST_READ[bench.quick]]:
        uri = item["uri"]
        request = {"method": "resources/read", "params": {"uri": uri}}
        try:
            reply = bench.plain.session.request("resources/read", {"uri": uri}, deadline_s=5.0)
        except RpcError as failure:
            failed += 1
            yield _unread(bench, uri, request, f"is refused: {failure.detail}", {"error": cut(failure.rpc)})
            continue
        except ServerTimeout:
            failed += 1
            yield _unread(bench, uri, request, "gets no answer", {}, late=True)
            continue
        read += 1
        fault = _contents_fault(reply)
        if fault:
            failed += 1
            yield CheckResult(
                "F15",
                "fail",
                f"{uri} is read, and {fault}.",
                key=uri[:200],
                evidence={"reply": cut(reply)},
                input=request,
                next_step=AUTHOR + "contents hold a uri and a text or a blob.",
            )
    missing = yield from _absent(bench)
    if not failed and not missing:
        yield CheckResult(
            "F15",
            "pass",
            f"{read} of {len(items)} resources were read, and an absent one is refused.",
            evidence={"read": [one["uri"] for one in items[: MOST_READ[bench.quick]]]},
        )


def _unread(bench: Bench, uri: str, request: Any, what: str, evidence: dict[str, Any], late: bool = False) -> CheckResult:
    deprived = bench.needs_trust and not bench.plain.trusted
    return CheckResult(
        "F15",
        "undecided" if deprived else "fail",
        f"{uri} is listed, and reading it {what.rstrip('.')}.",
        key=uri[:200],
        evidence=evidence,
        input=request,
        timed_out=late,
        next_step="It had canaries for secrets and no network; try it by hand."
        if deprived
        else AUTHOR + "list what can be read.",
    )


def _contents_fault(reply: Any) -> str:
    contents = reply.get("contents") if isinstance(reply, Mapping) else None
    if isinstance(reply, Mapping) and reply.get("resultType") == "input_required":
        return ""
    if not isinstance(contents, list):
        return "there are no contents"
    if not contents:
        return "its contents are empty"
    for part in contents:
        if not isinstance(part, dict) or not isinstance(part.get("uri"), str):
            return "a part of it has no uri"
        if not isinstance(part.get("text"), str) and not isinstance(part.get("blob"), str):
            return "a part of it has neither text nor blob"
    return ""


def _absent(bench: Bench) -> Generator[CheckResult, None, bool]:
    """Yield what is wrong with the answer for a resource that is not there; return whether something is."""
    uri = ABSENT + secrets.token_hex(8)
    request = {"method": "resources/read", "params": {"uri": uri}}
    wanted = -32602 if bench.era == "modern" else -32002
    try:
        reply = bench.plain.session.request("resources/read", {"uri": uri}, deadline_s=5.0)
    except RpcError as failure:
        code = failure.rpc.get("code")
        if code in (wanted, -32602, -32002):
            return False
        yield CheckResult(
            "F15",
            "fail",
            f"An absent resource is refused with {code}, not {wanted}.",
            key="absent",
            severity="info",
            evidence={"error": cut(failure.rpc)},
            input=request,
        )
    except ServerTimeout:
        yield CheckResult(
            "F15", "fail", "Reading an absent resource gets no answer.", key="absent", timed_out=True, input=request
        )
    else:
        empty = isinstance(reply, Mapping) and reply.get("contents") == []
        yield CheckResult(
            "F15",
            "fail",
            "An absent resource is read: " + ("its contents are empty." if empty else "something is returned."),
            key="absent",
            evidence={"reply": cut(reply)},
            input=request,
            next_step=AUTHOR + f"answer {wanted} to a resource that is not there.",
        )
    return True


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
    for summary, evidence, request in _completions(bench, items):
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
    for missing in required[:2]:
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


def _completions(bench: Bench, items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    if "completions" not in bench.capabilities:
        return
    for item in items[:5]:
        for argument in (item.get("arguments") or [])[:3]:
            if not isinstance(argument, dict) or not isinstance(argument.get("name"), str):
                continue
            params = {"ref": {"type": "ref/prompt", "name": item["name"]}, "argument": {"name": argument["name"], "value": ""}}
            request = {"method": "completion/complete", "params": params}
            try:
                reply = bench.plain.session.request("completion/complete", params, deadline_s=5.0)
            except RpcError:
                continue
            except ServerTimeout:
                yield f"Completion of {argument['name']} gets no answer.", {}, request
                return
            found = reply.get("completion") if isinstance(reply, Mapping) else None
            values = found.get("values") if isinstance(found, Mapping) else None
            if isinstance(values, list) and len(values) > MOST_COMPLETED:
                yield f"Completion of {argument['name']} returns {len(values)} values.", {"first": values[:5]}, request
                return


def subscriptions(bench: Bench, walks: Mapping[str, Walk]) -> Iterator[CheckResult]:
    """F18: subscriptions/listen is acknowledged first, and all that comes on it says whose it is."""
    if bench.era != "modern":
        yield CheckResult("F18", "not_applicable", "subscriptions/listen is of the modern era.")
        return
    wanted: dict[str, Any] = {
        f"{what}ListChanged": True
        for what in ("tools", "resources", "prompts")
        if isinstance(bench.capabilities.get(what), Mapping) and bench.capabilities[what].get("listChanged")
    }
    offered = bench.capabilities.get("resources")
    if isinstance(offered, Mapping) and offered.get("subscribe") and "resources" in walks:
        wanted["resourceSubscriptions"] = [one["uri"] for one in listed(walks["resources"])[:3]]
    if not wanted:
        yield CheckResult("F18", "not_applicable", "The server announces no changes.")
        return
    yield from _listened(bench, wanted)


def _listened(bench: Bench, wanted: dict[str, Any]) -> Iterator[CheckResult]:
    session = bench.plain.session
    before = {frame.at for frame in session.frames()}
    request = {"method": "subscriptions/listen", "params": {"notifications": wanted}}
    pending = session.begin("subscriptions/listen", request["params"])  # type: ignore[arg-type]
    try:
        ended = pending.result(deadline_s=0.8)
    except ServerTimeout:
        ended = None  # as it should be: the stream stays open
    except RpcError as failure:
        yield CheckResult(
            "F18",
            "fail",
            f"A change is announced, and subscriptions/listen is refused: {failure.detail}",
            input=request,
            evidence={"error": cut(failure.rpc), "capabilities": cut(bench.capabilities)},
            next_step=AUTHOR + "announce listChanged and subscribe only with subscriptions/listen.",
        )
        return
    time.sleep(0.1)
    number = pending.request_id
    heard = [
        frame.message
        for frame in session.frames()
        if frame.at not in before
        and frame.direction == "received"
        and isinstance(frame.message, dict)
        and str(frame.message.get("method", "")).startswith("notifications/")
        and frame.message["method"] not in ("notifications/message", "notifications/progress")
    ]
    pending.cancel("mcpweb has heard enough")
    evidence = {"notifications": cut(heard[:5]), "request_id": number}
    if not heard:
        said = (
            "subscriptions/listen is answered at once, without an acknowledgement."
            if ended is not None
            else "subscriptions/listen is not acknowledged."
        )
        yield CheckResult(
            "F18",
            "fail",
            said,
            key="acknowledged",
            evidence={**evidence, "reply": cut(ended)},
            input=request,
            timed_out=ended is None,
            next_step=AUTHOR + "send notifications/subscriptions/acknowledged first.",
        )
        return
    if heard[0].get("method") != "notifications/subscriptions/acknowledged":
        yield CheckResult(
            "F18",
            "fail",
            f"{heard[0].get('method')} comes before the acknowledgement.",
            key="acknowledged",
            evidence=evidence,
            input=request,
            next_step=AUTHOR + "acknowledge first.",
        )
        return
    for message in heard:
        params = message.get("params")
        meta = params.get("_meta") if isinstance(params, Mapping) else None
        given = meta.get(META + "subscriptionId") if isinstance(meta, Mapping) else None
        if given != number:
            yield CheckResult(
                "F18",
                "fail",
                f"{message['method']} says subscriptionId {given!r}, not {number!r}.",
                key="subscriptionId",
                evidence=evidence,
                input=request,
                next_step=AUTHOR + "the id of the listen request goes into _meta.",
            )
            return
    honoured = heard[0].get("params", {}).get("notifications") if isinstance(heard[0].get("params"), Mapping) else None
    more = sorted(set(honoured) - set(wanted)) if isinstance(honoured, Mapping) else []
    if more:
        yield CheckResult(
            "F18",
            "fail",
            f"More is promised than was asked for: {', '.join(more)}.",
            key="more",
            evidence=evidence,
            input=request,
        )
        return
    yield CheckResult("F18", "pass", "A subscription is acknowledged, and what comes on it says whose it is.", evidence=evidence)


def can_list(bench: Bench, what: str) -> bool:
    """Tell whether a list is worth asking for."""
    return {"resourceTemplates": "resources"}.get(what, what) in bench.capabilities


def get_walks(bench: Bench, walk: Any) -> dict[str, Walk]:
    """Walk all lists that are offered; those that cannot be had are left out (C09 says so)."""
    made: dict[str, Walk] = {}
    for what in ("resources", "resourceTemplates", "prompts"):
        if can_list(bench, what):
            try:
                made[what] = walk(bench.plain.session, what)
            except Failure:
                continue
    return made
