"""F04 and F14: pages of lists, and pings."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping

from mcpweb.plugin import CheckResult, RpcError, ServerTimeout

from .base import Bench, cut, guarded
from .frames import AUTHOR
from .lists import METHODS, NAMED, WALK_S, Walk

BOGUS = "mcpweb-no-such-cursor-7f3a"


def pages(bench: Bench, walks: Mapping[str, Walk]) -> Iterator[CheckResult]:
    """F04: each list comes to an end without repeating itself, and a cursor nobody gave is refused."""
    fine = 0
    taken: list[str] = []
    for what, walked in walks.items():
        names = [
            json.dumps(item.get(NAMED[what], item) if isinstance(item, dict) else item, sort_keys=True) for item in walked.items
        ]
        evidence = {"pages": walked.pages, "items": len(names), "cursors": walked.cursors[:10]}
        if walked.fault:
            yield CheckResult(
                "F04",
                "fail",
                f"{METHODS[what]}: {walked.fault}.",
                key=what,
                evidence=evidence,
                input={"method": METHODS[what], "params": {"cursor": (walked.cursors or [""])[-1]}},
                next_step=AUTHOR + "the last page has no nextCursor.",
            )
            continue
        if walked.endless:
            repeats = len(set(names)) < len(names)
            yield CheckResult(
                "F04",
                "fail" if repeats else "undecided",
                f"{METHODS[what]} has no end within {walked.pages} pages" + (", and repeats itself." if repeats else "."),
                key=what,
                evidence=evidence,
            )
            continue
        if len(walked.cursors) and len(set(names)) < len(names):
            yield CheckResult(
                "F04",
                "fail",
                f"{METHODS[what]} shows items on more than one page.",
                key=what,
                evidence=evidence,
                next_step=AUTHOR + "each item stands on one page.",
            )
            continue
        said, whole = yield from _bogus(bench, what, walked)
        fine += said
        taken += [METHODS[what]] if whole else []
    if taken:
        yield CheckResult(
            "F04",
            "fail",
            f"An invented cursor is answered with the whole list, which has one page: {', '.join(taken)}.",
            key="bogus",
            severity="info",
            evidence={"methods": taken},
            input={"method": taken[0], "params": {"cursor": BOGUS}},
            next_step=AUTHOR + "answer -32602 to a cursor that was never given.",
        )
    if not walks:
        yield CheckResult("F04", "not_applicable", "Nothing is listed.")
    elif fine == len(walks):
        yield CheckResult(
            "F04",
            "pass",
            f"{fine} lists come to their end, and invented cursors are refused.",
            evidence={what: {"pages": one.pages, "items": len(one.items)} for what, one in walks.items()},
        )


def _bogus(bench: Bench, what: str, walked: Walk) -> Generator[CheckResult, None, tuple[bool, bool]]:
    """Yield what is wrong with the answer to an invented cursor; return whether nothing is, and whether all was the answer."""
    request = {"method": METHODS[what], "params": {"cursor": BOGUS}}
    try:
        reply = bench.plain.session.request(METHODS[what], {"cursor": BOGUS}, deadline_s=WALK_S)
    except RpcError as failure:
        if failure.rpc.get("code") == -32602:
            return True, False
        yield CheckResult(
            "F04",
            "fail",
            f"{METHODS[what]}: an invented cursor is refused with {failure.rpc.get('code')}, not -32602.",
            key=f"{what}/bogus",
            severity="info",
            evidence={"error": cut(failure.rpc)},
            input=request,
        )
        return False, False
    except ServerTimeout as failure:
        yield CheckResult(
            "F04",
            "fail",
            f"{METHODS[what]}: an invented cursor gets no answer.",
            key=f"{what}/bogus",
            timed_out=True,
            evidence={"error": failure.sentence},
            input=request,
        )
        return False, False
    if walked.pages == 1:
        return False, True
    yield CheckResult(
        "F04",
        "fail",
        f"{METHODS[what]}: an invented cursor is answered with a page.",
        key=f"{what}/bogus",
        evidence={"reply": cut(reply)},
        input=request,
        next_step=AUTHOR + "answer -32602 to a cursor that was never given.",
    )
    return False, False


def ping(bench: Bench) -> Iterator[CheckResult]:
    """F14: a ping is answered with an empty result in the handshake era, and unknown in the modern one."""

    def check() -> Iterator[CheckResult]:
        modern = bench.era == "modern"
        try:
            reply = bench.plain.session.request("ping", {}, deadline_s=5.0)
        except RpcError as failure:
            code = failure.rpc.get("code")
            if modern and code == -32601:
                yield CheckResult("F14", "pass", "The modern era has no ping, and it is refused as unknown.")
            else:
                said = "is refused with -32601" if not modern and code == -32601 else f"is answered with the error {code}"
                yield CheckResult(
                    "F14",
                    "fail",
                    f"A ping {said}.",
                    evidence={"error": cut(failure.rpc)},
                    input={"method": "ping"},
                    severity="info" if modern else None,
                )
            return
        except ServerTimeout:
            yield CheckResult(
                "F14",
                "fail",
                "A ping gets no answer.",
                timed_out=True,
                input={"method": "ping"},
                next_step=AUTHOR + "clients close a session whose server does not answer pings.",
            )
            return
        extra = {key for key in reply if key not in ("_meta", "resultType")} if isinstance(reply, Mapping) else {"no object"}
        if not modern and not extra:
            yield CheckResult("F14", "pass", "A ping is answered.")
            return
        yield CheckResult(
            "F14",
            "fail",
            "A ping is answered, although the modern era has none."
            if modern
            else "A ping is answered with more than an empty result.",
            severity="info",
            evidence={"reply": cut(reply)},
            input={"method": "ping"},
        )

    yield from guarded("F14", check)
