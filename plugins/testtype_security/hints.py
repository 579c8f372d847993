"""M08: what annotations promise, against what a tool's name, title, choices and description say it does."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Severity

from .strings import Thing
from .surface import described, parameters, tokens

CHANGES = frozenset(
    "delete remove drop destroy purge erase wipe truncate write create update insert add set send post put patch edit modify move rename upload "
    "install uninstall kill terminate stop restart revoke grant reset clear publish deploy transfer pay buy book cancel approve merge push commit "
    "append overwrite replace store save archive unlink rm mv mkdir register unregister disable enable invite ban assign".split()
)
DESTROYS = frozenset("delete remove drop destroy purge erase wipe truncate rm unlink overwrite kill terminate revoke uninstall clear".split())
LOOKS = frozenset("get list read search find fetch show describe query count check view lookup look status info explain preview validate compare".split())
_REPEATS = frozenset("append increment send post pay transfer buy book charge".split())
_NOUNS_TOO = frozenset("add set book post patch store archive register transfer stop merge push save clear update commit restart reset publish put edit move edit save cancel approve enable".split())
_MAY_ONLY_MAKE = _NOUNS_TOO | {"write", "create", "insert", "append", "move", "replace"}  # a text, an answer; F11 sees what is done
_SUMS = frozenset("number numbers two three integer integers int ints float floats vector vectors matrix matrices value values up together".split())
_OUTSIDE = re.compile(
    r"https?://|\b(?:internet|web\s+(?:page|search|site)s?|websites?|online|urls?|external\s+(?:api|service)s?|remote\s+\w+|e-?mails?|twitter|slack|github|sms|(?:public|third-party|partner'?s?)\s+(?:api|service|gateway)s?|webhooks?)\b"
)
_REACHES_OUT = frozenset("fetch search send post upload text mail email sms notify publish submit transmit dispatch download query call sync tweet".split())
_SAYS = {  # third person, of what the tool does itself
    one: re.compile(rf"(?<![\w-])(?P<verb>{one})(?![\w-])")
    for one in ("deletes", "removes", "drops", "destroys", "purges", "erases", "wipes", "truncates", "overwrites", "revokes", "uninstalls", "terminates", "discards", "empties")
}
_DONE = re.compile(
    r"\b(?P<what>(?:is|are|gets?)\s+(?:then\s+|also\s+|permanently\s+|irrevocably\s+|automatically\s+|immediately\s+)?(?:deleted|removed|purged|erased|wiped|destroyed|dropped|discarded|overwritten|lost|revoked|thrown\s+away|emptied))\b"
)
_FOR_GOOD = re.compile(r"\b(?:cannot|can't|can\s+not)\s+be\s+(?:undone|restored|recovered|reversed|brought\s+back|retrieved)\b|\birreversibl[ey]\b|\bno\s+way\s+back\b")
_EACH = re.compile(
    r"\b(?:each|every|any\s+further)\s+(?:further\s+|new\s+|repeated\s+|additional\s+)?(?:call|use|request|run|time)\b[^.;]{0,40}\b(?:again|another|once\s+more|adds?|creates?|charges?|takes?|sends?|increments?|appends?|counts?\s+up|books?|draws?)\b|\b(?:calling|running|using)\s+(?:it|this)\s+(?:twice|again)\b[^.;]{0,30}\b(?:twice|again|another|two|adds?|creates?|charges?)\b"
)
_RELATIVE = re.compile(r"\b(?:that|which|who|what|where|when|whether|if|once|until|unless|after|before|because|whose|how|can|could|may|might|should|would|not|no|never|nothing|none|without|n't|already|were|was|been)\b[^,;:]{0,60}$")
_CHOICES = frozenset("action mode op operation method verb task do what kind step command".split())


def given(thing: Thing) -> Mapping[str, Any]:
    found = thing.definition.get("annotations") if isinstance(thing.definition, Mapping) else None
    return {key: value for key, value in found.items() if key.endswith("Hint")} if isinstance(found, Mapping) else {}


def check(tools: Sequence[Thing]) -> list[CheckResult]:
    """Return M08: annotations that are missing where others have them, or contradict each other or the tool."""
    found = [one for thing in tools for one in _contradictions(thing, frozenset(one.name for one in tools))]
    marked = [given(thing) for thing in tools]
    silent = [thing.name for thing, hints in zip(tools, marked, strict=True) if not hints]
    if silent:
        every = len(silent) == len(tools)
        if every and found:
            return found
        found.append(
            CheckResult(
                "M08", "fail", "No tool says what it changes." if every else f"{len(silent)} of {len(tools)} tools say nothing of what they change.",
                severity="low", key="missing", evidence={"tools": silent[:50]}, reproduce="Look for annotations in the raw answer to tools/list.",
                next_step="Tell the server's author to annotate each tool: readOnlyHint, destructiveHint, idempotentHint, openWorldHint."
                + (" Without, clients must expect the worst." if every else ""),
            )
        )
    usual = [key for key in ("readOnlyHint",) if 2 * sum(key in hints for hints in marked) > len(tools)]
    for key in usual:
        without = [thing.name for thing, hints in zip(tools, marked, strict=True) if hints and key not in hints]
        if without:
            found.append(
                CheckResult(
                    "M08", "fail", f"{len(without)} of {len(tools)} tools leave open whether they change anything.", severity="low", key=f"missing:{key}",
                    evidence={"tools": without[:50], "hint": key}, reproduce=f"Look for {key} in the raw answer to tools/list.",
                    next_step="Tell the server's author to annotate each tool: readOnlyHint, destructiveHint, idempotentHint, openWorldHint.",
                )
            )
    return found


def _contradictions(thing: Thing, own: frozenset[str]) -> Iterator[CheckResult]:
    """Yield M08 for one tool: annotations that contradict each other, its name, its choices, or what it says of itself."""
    hints = given(thing)
    if not hints:
        return
    verb, changes = deed(thing)
    about = described(thing.definition)
    wrong: list[tuple[str, str, Severity]] = []
    read_only, harmless = hints.get("readOnlyHint") is True, hints.get("destructiveHint") is False
    said = _says_destroyed(about, own - {thing.name})
    chosen = _chosen(thing)
    if read_only and changes:
        wrong.append(("readOnlyHint", f"it is marked read-only and its name says {changes}", "low" if changes in _MAY_ONLY_MAKE else "medium"))
    elif read_only and (said or chosen):
        wrong.append(("readOnlyHint", f"it is marked read-only and says {said or chosen!r}", "medium"))
    elif read_only and (sends := _sends(about)):
        wrong.append(("readOnlyHint", f"it is marked read-only and says {sends!r}", "low"))
    if read_only and hints.get("destructiveHint") is True:
        wrong.append(("destructiveHint", "it is marked read-only and destructive", "medium"))
    if not read_only and harmless and changes in DESTROYS:
        wrong.append(("destructiveHint", f"it is marked not destructive and its name says {changes}", "medium"))
    elif not read_only and harmless and (said or chosen in DESTROYS):
        wrong.append(("destructiveHint", f"it is marked not destructive and says {said or chosen!r}", "medium"))
    if hints.get("idempotentHint") is True and not read_only and (again := _EACH.search(about.lower())) is not None:
        wrong.append(("idempotentHint", f"it is marked idempotent and says {again[0]!r}", "medium"))
    elif hints.get("idempotentHint") is True and changes in _REPEATS:
        wrong.append(("idempotentHint", f"it is marked idempotent and its name says {changes}", "low"))
    first = tokens(re.split(r"[.\n]", about)[0])[:1]
    if hints.get("openWorldHint") is False and _OUTSIDE.search(about.lower()) and ({verb, *(one.removesuffix("s") for one in first)} & _REACHES_OUT):
        wrong.append(("openWorldHint", "it is marked as closed and speaks of what lies outside", "low"))
    bad = sorted(key for key, value in hints.items() if not isinstance(value, bool))
    if bad:
        wrong.append((bad[0], f"{', '.join(bad)} is no boolean", "low"))
    for key, sentence, severity in wrong:
        at = f"{thing.pointer}/annotations/{key}"
        yield CheckResult(
            "M08", "fail", f"{thing.name[:80]} contradicts itself: {sentence}.", tool=thing.tool, severity=severity, confidence="firm", key=at,
            evidence={"pointer": at, "annotations": dict(hints), "name": thing.name, "description": about[:200]},
            reproduce=f"Look at {at} in the raw answer to tools/list.",
            next_step="Tell the server's author to correct the annotation; until then treat the tool as one that changes things.",
        )


def _says_destroyed(about: str, others: frozenset[str]) -> str:
    """Return the words by which a description says that the tool itself takes something away for good, empty when it does not.

    What is said of things ("files that are deleted"), of what can or will not happen, and of other tools is left alone.
    """
    for sentence in re.split(r"(?<=[.!?;])\s|\n", about):
        plain = sentence.lower()
        if any(re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", plain) for name in others) or re.search(r"\b(?:tool|another|elsewhere)\b", plain):
            continue
        for match in [*_DONE.finditer(plain), *_FOR_GOOD.finditer(plain)]:
            if not _RELATIVE.search(plain[: match.start()]):
                return match[0]
        for pattern in _SAYS.values():
            for match in pattern.finditer(plain):
                if not _RELATIVE.search(plain[: match.start()]):
                    return match[0]
    return ""


def _sends(about: str) -> str:
    """Return the verb by which a description begins that the tool tells somebody something outside, empty when it does not."""
    match = re.match(r"(Sends|Texts|Emails|Mails|Notifies|Posts|Publishes|Uploads|Submits|Tweets|Dispatches|Transmits)\s+(?!of\b|for\b|from\b|in\b)\w+", about)
    return match[1] if match else ""


def _chosen(thing: Thing) -> str:
    """Return a deed that destroys and is one of the tool's choices, or has a switch of its own, empty when none has."""
    for _, name, one in parameters(thing.definition):
        parts = tokens(name)
        if not isinstance(one, Mapping) or not parts:
            continue
        if parts[-1] in _CHOICES and isinstance(one.get("enum"), list):
            for choice in one["enum"]:
                first = tokens(str(choice))[:1]
                if first and first[0] in DESTROYS - {"clear", "drop"}:
                    return first[0]
        if one.get("type") == "boolean":
            deeds = [part for part in parts[:2] if part in DESTROYS - {"clear", "drop"}]
            if deeds and not (set(parts) & {"include", "show", "with", "only", "is", "was", "has"}):
                return deeds[0]
    return ""


def deed(thing: Thing) -> tuple[str, str]:
    """Return the verb that names a tool, and again where it changes something; words that are nouns as well need a place of a verb."""
    parts = tokens(thing.name)
    verb = next((part for part in parts if part in CHANGES or part in LOOKS), "")
    first = tokens(re.split(r"[.\n]", described(thing.definition))[0])[:1]
    said = first[0].removesuffix("s") if first else ""
    if verb in _NOUNS_TOO and (
        parts[0] != verb or len(parts) == 1 or any(part in LOOKS or part in _SUMS for part in parts) or said in LOOKS | {"return"}
    ):
        return verb, ""
    if verb:
        return verb, verb if verb in CHANGES else ""
    return said, said if said in CHANGES - _NOUNS_TOO else ""
