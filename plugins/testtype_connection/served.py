"""C09: what is announced against what is served, method by method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcpweb.plugin import Cancelled, CheckResult, Failure, RpcError, ServerProtocolError, ServerTimeout, TestSession

from .protocol import sentence
from .use import NAMED, Used, announced_changes, same

UNKNOWN = -32601
SINCE = {"completions": "2025-03-26"}  # before that it was served without a word


def announced(session: TestSession, made: Used | None) -> CheckResult:
    """C09: each announced list and method can be had, others are not; identity is given."""
    wrong: list[str] = []
    evidence: dict[str, Any] = {"capabilities": session.capabilities, "server_info": session.server_info}
    wrong += _lists(session, evidence)
    if not str(session.server_info.get("name") or "").strip():
        wrong.append("the server gives no name")
    elif not str(session.server_info.get("version") or "").strip():
        wrong.append("the server gives no version")
    if made is not None and not made.ended:
        methods: dict[str, Any] = {}
        wrong += _methods(made, methods)
        wrong += _changes(made)
        wrong += _another(session, made.session)
        evidence["methods"] = methods
    if wrong:
        return CheckResult(
            "C09",
            "fail",
            sentence(wrong),
            evidence=evidence,
            next_step="Tell the server's author: announce exactly what is served.",
        )
    return CheckResult("C09", "pass", "Everything announced is served.", evidence=evidence)


def _lists(session: TestSession, evidence: dict[str, Any]) -> Iterator[str]:
    for what in ("tools", "resources", "prompts"):
        offered = what in session.capabilities
        try:
            items = session.listing(what)  # type: ignore[arg-type]
            evidence[what] = len(items)
            if not offered and items:
                yield f"{what} are served but not announced"
        except (ServerTimeout, Cancelled):
            raise
        except (RpcError, ServerProtocolError) as failure:
            evidence[what] = failure.sentence
            if offered:
                yield f"{what} are announced but not served: {failure.detail.rstrip('.')}"
        except Failure as failure:  # the session is over: the other lists are not to blame
            evidence[what] = failure.sentence
            yield f"asked for {what}, the server ended the session: {failure.detail.rstrip('.')}"
            return


def _methods(made: Used, evidence: dict[str, Any]) -> Iterator[str]:
    """Yield which methods are unknown to a server that announces them, and which it serves and does not announce."""
    offers = made.session.capabilities
    for what, method in (("tools", "tools/call"), ("resources", "resources/read"), ("prompts", "prompts/get")):
        said = made.told.get(method)
        if what in offers and said is not None and made.before.get(what) and _unknown(said):
            evidence[method] = said
            yield f"{what} are announced and listed, and {method} is an unknown method"
    for what, offered, method, params in _asked(made):
        said = made.ask(method, params)
        evidence[method] = said
        if offered and _unknown(said):
            yield f"{what} is announced, and {method} is an unknown method"
        elif not offered and "result" in said:
            yield f"{method} is served, and {what} is not announced"


def _asked(made: Used) -> Iterator[tuple[str, bool, str, dict[str, Any]]]:
    """Yield what a capability promises, whether it was announced, and a request that shows it."""
    offers, session = made.session.capabilities, made.session
    if session.protocol >= SINCE["completions"] and (reference := _to_complete(made)) is not None:
        yield "completions", "completions" in offers, "completion/complete", reference
    if session.era == "modern":
        return
    yield "logging", "logging" in offers, "logging/setLevel", {"level": "info"}
    resources = offers.get("resources")
    listed = [one.get("uri") for one in made.before.get("resources", ()) if isinstance(one, dict)]
    if isinstance(resources, Mapping) and listed and isinstance(listed[0], str):
        offered = resources.get("subscribe") is True
        yield "resources.subscribe", offered, "resources/subscribe", {"uri": listed[0]}
        yield "resources.subscribe", offered, "resources/unsubscribe", {"uri": listed[0]}


def _to_complete(made: Used) -> dict[str, Any] | None:
    for one in made.before.get("prompts", ()):
        for argument in (one.get("arguments") or ()) if isinstance(one, dict) else ():
            if isinstance(argument, dict) and isinstance(argument.get("name"), str):
                return {
                    "ref": {"type": "ref/prompt", "name": one.get("name")},
                    "argument": {"name": argument["name"], "value": ""},
                }
    return None


def _unknown(said: Mapping[str, Any]) -> bool:
    error = said.get("error")
    return isinstance(error, Mapping) and error.get("code") == UNKNOWN


def _changes(made: Used) -> Iterator[str]:
    """Yield lists whose changes are announced to be told, and were not, and those told without a word before."""
    said = announced_changes(made)
    for what in NAMED:
        offered = made.session.capabilities.get(what)
        tells = isinstance(offered, Mapping) and offered.get("listChanged") is True
        changed = bool(made.after) and not same(made.before.get(what, []), made.after.get(what, []))
        if tells and changed and what not in said and made.session.era != "modern":
            yield f"{what}.listChanged is announced, and the list changed without a word"
        elif what in said and not tells:
            yield f"changes of {what} are told, and {what}.listChanged is not announced"


def _another(one: TestSession, other: TestSession) -> Iterator[str]:
    """Yield what two sessions of one server say otherwise of themselves."""
    if one.protocol != other.protocol:
        return
    if one.server_info != other.server_info:
        yield "it gives another name or version at its second start"
    elif one.capabilities != other.capabilities:
        yield "it announces something else at its second start"
