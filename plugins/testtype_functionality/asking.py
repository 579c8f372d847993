"""F17: what a server asks the client for, and what it does with state that went through the client's hands."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice, product
from typing import Any

from mcpweb.plugin import CheckResult, Failure

from .base import Attempt, Bench, cut
from .frames import AUTHOR, no_meta, undeclared
from .wire import META, exchanges

NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
ALL: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
MOST_TOOLS = {True: 8, False: 60}
MOST_STATES = {True: 12, False: 40}
LONGEST_STATE = 20_000


def more_input(bench: Bench) -> Iterator[CheckResult]:
    """F17."""
    asked = False
    for method, message in undeclared(bench):
        if bench.era == "modern":
            yield _wrong(
                "The server sends the request " + method + ", which the modern era does not have.",
                "*",
                method,
                {"frame": cut(message)},
            )
        else:
            yield _wrong(
                f"The server asks for {method}, which this client did not declare.", "*", method, {"frame": cut(message)}
            )
        asked = True
        break
    if bench.era != "modern":
        if not asked and bench.attempts:
            yield CheckResult("F17", "pass", "The server asked for nothing that the client did not declare.")
        elif not asked:
            yield CheckResult("F17", "not_applicable", "No tool could be called.")
        return
    for method, request, result in _asked_elsewhere(bench):
        asked = True
        yield _wrong(
            f"{method} asks for what the client did not declare; -32021 is the answer.",
            "*",
            method,
            {"reply": cut(result)},
            request,
        )
        break
    for one in bench.attempts:
        if one.outcome == "asks":
            wants = sorted({NEEDS.get(str(wish.get("method")), "?") for wish in _wishes(one.result)})
            if wants:
                asked = True
                yield _wrong(
                    f"It asks for {', '.join(wants)}, which the client did not declare; -32021 is the answer.",
                    one.tool,
                    "undeclared",
                    {"reply": cut(one.result)},
                    one.request,
                )
                break
    found = yield from _states(bench)
    if not asked and not found:
        yield CheckResult("F17", "not_applicable", "No tool asks for more input.")


def _asked_elsewhere(bench: Bench) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Yield answers to prompts and reads that ask for more input; none of ours declares that it could give any."""
    for _, frames in bench.frames():
        for one in exchanges(frames):
            result = one.result
            asks = result is not None and result.get("resultType") == "input_required" and bool(_wishes(result))
            if result is not None and asks and one.method in ("prompts/get", "resources/read"):
                yield one.method, {"method": one.method, "params": dict(no_meta(one.request))}, result


def _states(bench: Bench) -> Generator[CheckResult, None, bool]:
    """Declare everything, let tools ask, and send back a state that is not theirs; return whether any tool asked."""
    told = [str(one.tool) for one in bench.attempts if one.code == -32021 or one.outcome == "asks"]
    order = sorted(bench.tools, key=lambda one: one["name"] not in told)[: MOST_TOOLS[bench.quick]]
    found = False
    fine = 0
    meta = {META + "clientCapabilities": ALL}
    for definition in order:
        if bench.context.remaining_s() < 10:
            break
        tried = next((one for one in bench.attempts if one.tool == definition["name"] and one.valid), None)
        if tried is None or tried.ms > 1000:
            continue
        first = _call(bench, definition, tried, meta, {})
        if first is None or first.outcome != "asks":
            continue
        found = True
        less = yield from _with_less(bench, definition, tried, first)
        if less:
            continue
        state = first.result.get("requestState")
        answers = {name: _answer(wish) for name, wish in _named(first.result).items()}
        if not answers and not isinstance(state, str):
            yield _wrong(
                "It asks for more input, and neither says what nor gives a state.",
                str(definition["name"]),
                "empty",
                {"reply": cut(first.result)},
                first.request,
            )
            continue
        if isinstance(state, str) and state:
            sent = ""
            for sent in changed_states(state)[: MOST_STATES[bench.quick]]:
                taken = _call(bench, definition, tried, meta, {"inputResponses": answers, "requestState": sent})
                if taken is not None and taken.outcome == "ok":
                    break
            right = _call(bench, definition, tried, meta, {"inputResponses": answers, "requestState": state})
            if taken is not None and taken.outcome == "ok":
                yield CheckResult(
                    "F17",
                    "fail",
                    "A state that was changed on its way is taken back, and the call succeeds.",
                    tool=str(definition["name"]),
                    key="requestState",
                    confidence="certain" if right is not None and right.outcome == "ok" else "firm",
                    evidence={"state": state[:300], "sent": sent[:300], "reply": cut(taken.result)},
                    input={**first.request, "inputResponses": answers, "requestState": sent},
                    next_step=AUTHOR + "sign all of the state, and refuse one that is not signed.",
                )
                continue
        fine += 1
    if found and fine:
        yield CheckResult("F17", "pass", f"{fine} tools ask for more input as agreed, and take back no state but their own.")
    return found


def _with_less(bench: Bench, definition: Mapping[str, Any], tried: Attempt, first: Attempt) -> Generator[CheckResult, None, bool]:
    """Declare everything but what the tool asked for: it may not ask for that then, and says -32021."""
    wants = {NEEDS[method] for wish in _wishes(first.result) if (method := str(wish.get("method"))) in NEEDS}
    if not wants:
        return False
    meta = {META + "clientCapabilities": {name: value for name, value in ALL.items() if name not in wants}}
    second = _call(bench, definition, tried, meta, {})
    if second is None:
        return False
    again = (
        {NEEDS.get(str(wish.get("method")), "?") for wish in _wishes(second.result)} & wants
        if second.outcome == "asks"
        else set()
    )
    if again:
        said = f"It asks for {', '.join(sorted(again))}, where the client declared everything but that; -32021 is the answer."
    elif second.outcome == "rpc_error" and second.code != -32021:
        said = f"Where the client cannot be asked, the answer is the error {second.code}, not -32021."
    else:
        return False
    yield _wrong(said, str(definition["name"]), "undeclared", {"reply": cut(second.result or second.error)}, second.request)
    return True


def _call(
    bench: Bench, definition: Mapping[str, Any], tried: Attempt, meta: Mapping[str, Any], more: Mapping[str, Any]
) -> Attempt | None:
    try:
        return bench.lane(definition).call(tried.tool, tried.arguments, deadline_s=3.0, meta=meta, more=more)
    except Failure:
        return None


def _named(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    given = result.get("inputRequests")
    return {str(name): wish for name, wish in given.items() if isinstance(wish, Mapping)} if isinstance(given, Mapping) else {}


def _wishes(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(_named(result).values())


def _answer(wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client would answer: a form filled in, a word of a model, no roots."""
    method, params = wish.get("method"), wish.get("params")
    if method == "roots/list":
        return {"roots": []}
    if method == "sampling/createMessage":
        return {"role": "assistant", "model": "none", "content": {"type": "text", "text": "yes"}}
    schema = params.get("requestedSchema") if isinstance(params, Mapping) else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    filled = {str(name): _filled(rules) for name, rules in properties.items()} if isinstance(properties, Mapping) else {}
    return {"action": "accept", "content": filled}


def _filled(rules: Any) -> Any:
    if not isinstance(rules, Mapping):
        return "yes"
    if isinstance(rules.get("enum"), list) and rules["enum"]:
        return rules["enum"][0]
    return {"boolean": True, "integer": rules.get("minimum", 1), "number": rules.get("minimum", 1)}.get(
        str(rules.get("type")), "yes"
    )


def changed_states(state: str) -> list[str]:
    """Return states that are not the server's own: one with another character in its middle, and, where a part of the state is
    JSON, plain or in Base64, one for each value in it: a seal may cover some and not others. Numbers and switches come first.
    """
    values: list[tuple[int, str]] = []
    with contextlib.suppress(RecursionError):
        values = list(_inside(state)) if len(state) <= LONGEST_STATE else []
        parts = re.split(r"([.~:|])", state, maxsplit=20) if len(state) <= LONGEST_STATE else []
        for at in range(0, len(parts) if 1 < len(parts) < 20 and not values else 0, 2):
            values += [(rank, "".join([*parts[:at], other, *parts[at + 1 :]])) for rank, other in _inside(parts[at])]
    bare = [state[: -len(part)] for part in (re.split(r"[.~:|]", state)[-1],) if 0 < len(part) < len(state)]  # without its seal
    return [_tampered(state), *bare, *_said_in(state), *(text for _, text in sorted(values, key=lambda one: one[0]))]


def _said_in(state: str) -> Iterator[str]:
    """Yield the state with each number in it made another, where it is no JSON: plain, or in Base64."""
    for decode, encode in _PLAIN:
        try:
            text = decode(state)
        except ValueError:
            continue
        if text.isprintable() and "{" not in text and (decode is str or encode(text) == state):
            for found in list(re.finditer(r"\d+", text))[:10]:
                yield encode(f"{text[: found.start()]}{int(found.group()) + 1}{text[found.end() :]}")
            return


def _inside(part: str) -> Iterator[tuple[int, str]]:
    """Yield how likely each value of an encoded document matters, and the document with that value changed, encoded as it was."""
    padded = part + "=" * (-len(part) % 4)
    for data in (part.encode(), *(_decoded(padded, altchars) for altchars in (None, b"-_"))):
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            continue
        for writer, encode in product(_WRITERS, _ENCODERS):
            if isinstance(document, dict | list) and encode(writer(document).encode()) == part:
                for rank, other in islice(_altered(document), 40):
                    yield rank, encode(writer(other).encode())
                return


def _decoded(text: str, altchars: bytes | None) -> bytes:
    try:
        return base64.b64decode(text.encode(), altchars, validate=True)
    except ValueError:
        return b""


def _altered(document: Any) -> Iterator[tuple[int, Any]]:
    """Yield the document once for each value in it, with that one changed to another of its kind."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        others: Iterable[tuple[int, Any]] = ()
        if isinstance(value, dict | list):
            others = _altered(value)
        elif isinstance(value, bool):
            others = ((0, not value),)
        elif isinstance(value, int | float):
            others = ((0, value + 1),)
        elif isinstance(value, str) and value:
            others = ((1, _tampered(value)),)
        for rank, other in others:
            copy = document.copy()
            copy[key] = other
            yield rank, copy


def _bare(encode: Callable[[bytes], bytes], data: bytes) -> str:
    return encode(data).decode().rstrip("=")


_ENCODERS: tuple[Callable[[bytes], str], ...] = (
    lambda data: data.decode(),
    lambda data: base64.b64encode(data).decode(),
    lambda data: base64.urlsafe_b64encode(data).decode(),
    partial(_bare, base64.b64encode),
    partial(_bare, base64.urlsafe_b64encode),
)
_PLAIN: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (lambda text: base64.b64decode(text.encode(), validate=True).decode(), lambda text: base64.b64encode(text.encode()).decode()),
    (
        lambda text: base64.urlsafe_b64decode((text + "=" * (-len(text) % 4)).encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    ),
    (str, str),
)
_WRITERS: tuple[Callable[[Any], str], ...] = tuple(
    partial(json.dumps, ensure_ascii=ascii_, separators=separators)
    for ascii_ in (True, False)
    for separators in ((",", ":"), (", ", ": "))
)


def _tampered(state: str) -> str:
    """Return the state with one character in its middle changed to another of its kind."""
    at = next((at for at in range(len(state) // 2, len(state)) if state[at].isalnum()), len(state) // 2)
    char = state[at]
    other = (
        ("1" if char == "0" else "0")
        if char.isdigit()
        else ("b" if char in "aA" else "a")
        if char.islower()
        else "B"
        if char != "B"
        else "C"
    )
    return state[:at] + other + state[at + 1 :]


def _wrong(summary: str, tool: str, key: str, evidence: dict[str, Any], request: Any = None) -> CheckResult:
    return CheckResult(
        "F17",
        "fail",
        summary,
        tool=tool,
        key=key,
        severity="medium",
        evidence=evidence,
        input=request,
        next_step=AUTHOR + "look at the client's capabilities before asking.",
    )
