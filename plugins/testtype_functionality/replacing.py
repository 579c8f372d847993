"""F11: what one call added, and another call of the same tool, about something else, took away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcpweb.plugin import Severity, TestSession

from .base import Attempt, Bench, cut
from .seeing import QUICK_MS, answer_to, fresh_session, hint_of, reading_calls

MOST = 6


def replaced(
    bench: Bench, tried: list[tuple[Mapping[str, Any], Attempt]]
) -> Iterator[tuple[Mapping[str, Any], str, Severity, dict[str, Any], Any]]:
    """Find tools that say they destroy nothing: a value of a first call, which others tell of, is gone after a second one."""
    pairs = []
    for definition, _ in tried[:20]:
        if hint_of(definition, "readOnlyHint", False) or hint_of(definition, "destructiveHint", True):
            continue
        found = two(bench, str(definition["name"]))
        if found is not None:
            pairs.append((definition, *found))
    witnesses = reading_calls(bench)
    if not pairs or not witnesses or bench.context.remaining_s() < 8:
        return
    session, _ = fresh_session(bench, None)
    try:
        for definition, first, second, own in pairs[:MOST]:
            gone = _gone(session, first, second, own, witnesses)
            if gone is not None:
                witness, was, now = gone
                evidence = {"first": first.request, "witness": witness.request, "before": cut(was), "after": cut(now)}
                sentence = f"It says it destroys nothing, and {witness.tool} tells no more of one call after another"
                yield definition, sentence, "medium", evidence, "firm"
    finally:
        session.close()


def two(bench: Bench, tool: str) -> tuple[Attempt, Attempt, list[str]] | None:
    """Return two calls that worked, differ in every text they give, and which texts are the first one's own."""
    tries = [one for one in bench.attempts if one.tool == tool and one.valid and one.outcome == "ok" and one.ms < QUICK_MS]
    for first in tries[:12]:
        for second in tries[:40]:
            texts = _texts(first.arguments)
            others = _texts(second.arguments)
            shared = set(texts) & set(others)
            own = [text for name, text in texts.items() if 2 < len(text) < 60 and text not in str(others.values())]
            if own and shared and not any(texts[name] == others[name] for name in shared):
                return first, second, own
    return None


def _texts(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in arguments.items() if isinstance(value, str)}


def _gone(
    session: TestSession, first: Attempt, second: Attempt, own: list[str], witnesses: list[Attempt]
) -> tuple[Attempt, str, str] | None:
    before = [answer_to(session, one) or "" for one in witnesses]
    if answer_to(session, first) is None:
        return None
    added = [answer_to(session, one) or "" for one in witnesses]
    if answer_to(session, second) is None:
        return None
    for one, was, then in zip(witnesses, before, added, strict=True):
        told = [text for text in own if then.count(text) > was.count(text)]
        now = answer_to(session, one) if told else None
        if now is not None and all(text not in now for text in told):
            return one, then, now
    return None
