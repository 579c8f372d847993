"""F15 and F18: resources and subscriptions."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout

from .base import Bench, cut
from .frames import AUTHOR
from .lists import Walk, listed
from .wire import META

MOST_READ = {True: 14, False: 60}
ABSENT = "mcpweb-test://absent/"
MOST_STIRRED, STIR_S = 20, 1.0
MOST_ABSENT = 8


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
        fault = _contents_fault(reply) or _of_another(uri, reply)
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
    missing = (yield from _absent_here(bench, walks, items)) or missing
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
        if code == wanted or (code == -32602 and bench.era != "modern"):
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


def _of_another(uri: str, reply: Any) -> str:
    """Return that what is read is all of other things than what was asked for."""
    parts = reply.get("contents") if isinstance(reply, Mapping) else None
    uris = [one.get("uri") for one in parts or () if isinstance(one, dict)]
    if not uris or any(isinstance(one, str) and (one.rstrip("/") == uri.rstrip("/") or one.startswith(uri)) for one in uris):
        return ""
    return f"its contents are those of {uris[0]}"


def _absent_here(
    bench: Bench, walks: Mapping[str, Walk], items: Sequence[Mapping[str, Any]]
) -> Generator[CheckResult, None, bool]:
    """Yield what is wrong with answers for what is not there, where something is: one segment, or a template's part, changed.

    What a template takes may be anything: there only an answer that holds nothing is wrong.
    """
    made: dict[str, tuple[str, bool]] = {}  # by what they are an example of
    patterns = [str(one["uriTemplate"]) for one in listed(walks["resourceTemplates"])] if "resourceTemplates" in walks else []
    for item in items:
        stem, slash, _ = str(item["uri"]).rpartition("/")
        if slash:
            uri = f"{stem}/mcpweb-{secrets.token_hex(4)}"
            made.setdefault(stem, (uri, any(_fits(pattern, uri) for pattern in patterns)))
    told = [json.dumps(items), *(json.dumps(listed(walk)) for walk in walks.values()), *(one.words for one in bench.attempts)]
    for pattern in patterns:
        uri = re.sub(r"\{[^}]*\}", lambda _: f"mcpweb-{secrets.token_hex(4)}", pattern)
        made.setdefault(uri.rpartition("/")[0], (uri, True))
        made |= {uri: (uri, True) for uri in _like_known(pattern, "\n".join(told)[:200_000])}
    for uri, open_ in list(made.values())[:MOST_ABSENT]:
        request = {"method": "resources/read", "params": {"uri": uri}}
        try:
            reply = bench.plain.session.request("resources/read", {"uri": uri}, deadline_s=3.0)
        except (RpcError, ServerTimeout):
            continue
        contents = reply.get("contents") if isinstance(reply, Mapping) else None
        holds = [one for one in contents or () if isinstance(one, dict) and (one.get("text") or one.get("blob"))]
        if (holds and open_) or (isinstance(reply, Mapping) and reply.get("resultType") == "input_required"):
            continue
        yield CheckResult(
            "F15",
            "fail",
            f"An absent resource is read: {uri} " + ("holds nothing." if not holds else "returns something."),
            key="absent here",
            evidence={"reply": cut(reply)},
            input=request,
            next_step=AUTHOR + f"answer {-32602 if bench.era == 'modern' else -32002} to a resource that is not there.",
        )
        return True
    return False


def _like_known(pattern: str, told: str) -> Iterator[str]:
    """Yield one that is not there, for a template whose own values somebody told: the same form, with other digits."""
    parts = [re.escape(part) for part in re.split(r"\{[^}]*\}", pattern)]
    known = re.search(r"([\w~%-]+(?:\.[\w~%-]+)*)".join(parts), told)
    if known is None or not known.groups():
        return
    uri = known[0]
    for value in known.groups():
        other = re.sub(r"\d", lambda digit: str((int(digit[0]) + 5) % 10), value)
        uri = uri.replace(value, other if other != value else f"{value}-zq")
    if uri not in told:
        yield uri


def _fits(pattern: str, uri: str) -> bool:
    parts = [re.escape(part) for part in re.split(r"\{[^}]*\}", pattern)]
    return re.fullmatch(".*".join(parts), uri) is not None


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
    _stir(bench)
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


def _stir(bench: Bench) -> None:
    """Call each tool twice, as it worked before, so that what they change is announced."""
    for definition in bench.tools[:MOST_STIRRED]:
        name = str(definition["name"])
        if bench.lane(definition) is not bench.plain or bench.context.remaining_s() < 5:
            continue
        worked = bench.worked(name)
        valid = [worked.arguments] if worked else [one.arguments for one in bench.context.inputs(definition, valid=1, invalid=0)]
        with contextlib.suppress(RpcError, ServerTimeout):
            for arguments in 2 * valid[:1]:
                bench.plain.session.call(name, arguments, deadline_s=STIR_S)


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
