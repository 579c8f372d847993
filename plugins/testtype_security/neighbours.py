"""M04 and M06: what a server is among the others of this installation – who it takes for itself, and where data can flow."""

# ruff: noqa: E501 - a pattern is read as a whole
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcpweb.plugin import CheckResult, ConfigData, Neighbour, canonical

from . import metadata, preference, script, utterance, wording
from .hints import CHANGES, LOOKS
from .strings import Thing
from .surface import Surface, described, parameters, properties, settled, tokens

CHECKS = ("M04", "M06")
SURE = 0.7  # of what is told as high
_GENERIC = frozenset("search list get add run echo fetch query read write help ping status info version health login".split())
_LOOKS_LIKE = str.maketrans("01345|$@", "oleasisa")


@dataclass(frozen=True)
class Foreign:
    """A tool of another server."""

    server: str
    name: str
    definition: Mapping[str, Any]


def check(surface: Surface, around: Sequence[Neighbour], server: str, config: ConfigData) -> Iterator[CheckResult]:
    """Yield the verdicts of M04 and M06; where no other server is known the first applies to texts that rule over one all the same."""
    foreign = [
        Foreign(one.server, str(tool["name"]), tool)
        for one in around
        for tool in one.definitions
        if isinstance(tool.get("name"), str)
    ]
    taken = list(_names(surface, foreign))
    known = {one.tool for one in taken}
    claimed = [one for one in _claimed(surface) if one.tool not in known]
    found = [*taken, *claimed, *_references(surface, foreign)]
    if foreign or found:
        yield from settled(
            "M04", found, "No tool takes the name of another server's, or speaks of one.", servers=len(around), tools=len(foreign)
        )
    else:
        yield CheckResult("M04", "not_applicable", "No other server's tools are known here.")
    yield _flow(surface, foreign, server, config)


def folded(name: str) -> str:
    """Return a name as a hurried reader takes it: without case, separators and look-alikes."""
    plain = script.skeleton(name).lower()
    return re.sub(r"[^a-z0-9]", "", plain.replace("rn", "m").replace("vv", "w").translate(_LOOKS_LIKE).replace("l", "i"))


def _names(surface: Surface, foreign: Sequence[Foreign]) -> Iterator[CheckResult]:
    by_name: dict[str, list[Foreign]] = {}
    for one in foreign:
        by_name.setdefault(folded(one.name), []).append(one)
    for thing in surface.tools:
        for other in by_name.get(folded(thing.name), ()):
            if canonical(_essence(other.definition)) == canonical(_essence(thing.definition)):
                continue  # the same tool, installed twice
            same = thing.name == other.name
            plainly = (
                re.sub(r"[^a-z0-9]", "", thing.name.lower()) == re.sub(r"[^a-z0-9]", "", other.name.lower())
                and thing.name.isascii()
            )
            disguised = not same and not plainly
            generic = set(tokens(thing.name)) <= _GENERIC
            yield CheckResult(
                "M04",
                "fail",
                f"The tool {thing.name[:80]!r} {'can be taken for' if disguised else 'has the name of'} {other.name[:80]!r} of the server {other.server}.",
                tool=thing.tool,
                severity="high" if disguised else "low" if generic else "medium",
                confidence="firm",
                key=f"{thing.pointer}/name:{other.server}",
                evidence={
                    "name": thing.name,
                    "code_points": [f"U+{ord(c):04X}" for c in thing.name if not c.isascii()],
                    "other": other.name,
                    "server": other.server,
                    "description": described(thing.definition)[:300],
                    "other_description": described(other.definition)[:300],
                },
                reproduce=f"Compare tools/list of this server and of {other.server}.",
                next_step="Do not offer both to the same model, or hide one tool with the configuration's list of tools.",
            )
            break


def _claimed(surface: Surface) -> Iterator[CheckResult]:
    """Yield names that are made to be taken for another's, without knowing whose: qualified as a client does it, or misspelt on purpose."""
    names = [thing.name for thing in surface.tools]
    itself = " ".join(str(value) for thing in surface.things if thing.kind == "server" for value in thing.definition.values() if isinstance(value, str)).lower()
    by_fold: dict[str, list[str]] = {}
    for name in names:
        by_fold.setdefault(folded(name), []).append(name)
    for thing in surface.tools:
        title = thing.definition.get("title") if isinstance(thing.definition, Mapping) else None
        hints = thing.definition.get("annotations") if isinstance(thing.definition, Mapping) else None
        shown = hints.get("title") if isinstance(hints, Mapping) else None
        for said, what in ((thing.name, "name"), (title, "title"), (shown, "annotations/title")):
            if not isinstance(said, str) or not said:
                continue
            why = ""
            if (match := _QUALIFIED.fullmatch(said)) is not None:
                server = match["client"] or match["server"]
                alone = sum(bool(re.match(rf"(?:mcp__)?{re.escape(server)}(?:__|[.:/])", name)) for name in names) * 2 < len(names) or match["client"]
                if server.lower() not in itself and alone and folded(server) not in folded(itself):
                    why = f"is written as a client writes a tool of the server {server!r}"
            if not why and what == "name" and (word := _misspelt(said)):
                why = f"is made to be read as {word!r}"
            if not why and what != "name" and re.fullmatch(r"[a-z]+(?:_[a-z0-9]+)+", said) and said != thing.name and folded(said) != folded(thing.name):
                why = "is the name of a tool, and not of this one"
            if why:
                yield _claim(thing, what, said, why)
        if len(by_fold[folded(thing.name)]) > 1 and len(set(by_fold[folded(thing.name)])) > 1:
            other = next(name for name in by_fold[folded(thing.name)] if name != thing.name)
            yield _claim(thing, "name", thing.name, f"can be taken for {other!r} of the same server")


_QUALIFIED = re.compile(r"mcp__(?P<client>[A-Za-z][\w-]*?)__\w+|(?P<server>[A-Za-z][A-Za-z0-9-]{1,30})(?:__|::|\.|/|:\s?)[a-z][a-zA-Z0-9]*_\w+")


def _misspelt(name: str) -> str:
    """Return a name as it is meant to be read where signs in it stand for others: letters of other scripts, digits, rn for m."""
    plain = script.skeleton(name)
    if plain != name and plain.isascii() and any(script.spoofed(word) or script.whole_spoof(word) for word in re.findall(r"[^\W_]+", name)):
        return plain
    parts = re.split(r"([_\-.])", name)
    for at, part in enumerate(parts):
        if len(part) < 4 or wording.of_word(part.lower()):
            continue
        for read in (part.lower().translate(_DIGITS) if re.search(r"[a-z][01357]+[a-z]|^[01357]+[a-z]{3}|[a-z]{3}[01]+$", part.lower()) else "",
                     part.lower().translate(_DIGITS_L) if re.search(r"[a-z]1[a-z]", part.lower()) else "",
                     part.replace("rn", "m"), part.replace("vv", "w"), f"l{part[1:]}" if part[0] == "I" and part[1:].islower() else ""):
            if read and read != part and (wording.of_word(read) or read in LOOKS | CHANGES or read.removesuffix("s") in LOOKS | CHANGES):
                return "".join([*parts[:at], read, *parts[at + 1 :]])
    return ""


_DIGITS, _DIGITS_L = str.maketrans("01357", "oiest"), str.maketrans("01357", "olest")


def _claim(thing: Thing, what: str, said: str, why: str) -> CheckResult:
    at = f"{thing.pointer}/{what}"
    return CheckResult(
        "M04", "fail", f"The {what.rpartition('/')[2]} {said[:80]!r} of the tool {thing.name[:80]!r} {why}.", tool=thing.tool, severity="medium", confidence="tentative",
        key=at, evidence={"pointer": at, "name": said, "code_points": [f"U+{ord(c):04X}" for c in said if not c.isascii()]},
        reproduce=f"Look at {at} in the raw answer to tools/list.", next_step="Do not offer it beside the server it can be taken for; tell its author to name it plainly.",
    )


def _essence(definition: Any) -> dict[str, Any]:
    return {key: definition.get(key) for key in ("name", "description", "inputSchema")} if isinstance(definition, Mapping) else {}


def _references(surface: Surface, foreign: Sequence[Foreign]) -> Iterator[CheckResult]:
    """Yield texts that name a tool of another server; one that tells what to do with it takes it over."""
    own = {name.lower() for name in surface.names}
    theirs = {one.name.lower(): one for one in foreign if one.name.lower() not in own and len(one.name) > 2}
    servers = {one.server.lower(): one for one in foreign if len(one.server) > 3}
    told = (
        re.compile(r"(?<![\w/.-])(" + "|".join(sorted(map(re.escape, theirs), key=len, reverse=True)) + r")(?![\w-]|\.\w)")
        if theirs
        else None
    )
    for thing in surface.things:
        if thing.kind == "server":
            continue
        best: tuple[float, CheckResult] | None = None
        mine = {str(name).lower() for _, name, _ in parameters(thing.definition)}
        for text in thing.texts:
            if text.role == "key" or text.pointer.endswith("/name"):
                continue
            for _, _, sentence in utterance.sentences(text.shown):
                other = _named(sentence, told, theirs, servers) or _told_of(sentence, mine, own)
                if other is None:
                    continue
                weight = _ordered(sentence, text.shown, thing, other, surface.names)
                if not other.definition and weight < utterance.LEAST:
                    continue
                result = _reference(thing, text.pointer, sentence, other, weight)
                if best is None or weight > best[0]:
                    best = (weight, result)
        if best is not None and best[0] > 0:
            yield best[1]
        elif (ruled := _ruled(thing, surface.names)) is not None:
            yield ruled


def _ruled(thing: Thing, own: frozenset[str]) -> CheckResult | None:
    """Return the first text that makes rules for tools this server does not have, whosever they are."""
    about = replace(metadata.about(thing, own), opening=False)
    for text in thing.texts:
        if text.role == "prose" and 20 < len(text.text) < 8000:
            for signal in utterance.read(text.shown, about, utterance.LIMIT):
                if signal.kind == wording.MEANT["rules"]:
                    said = text.shown[signal.start : signal.end].strip()
                    return _reference(thing, text.pointer, said, Foreign("another server", "a tool", {}), signal.weight)
    return None


def _named(
    sentence: str, told: re.Pattern[str] | None, theirs: Mapping[str, Foreign], servers: Mapping[str, Foreign]
) -> Foreign | None:
    """Return the foreign tool that a sentence names; a plain word counts only where it is called a tool or quoted."""
    for match in told.finditer(sentence) if told else ():
        name = match[1]
        marked = (
            bool(re.search(r"[_-]|\d", name))
            or bool(re.search(r"[`'\"(]$", sentence[: match.start()]))
            or bool(re.match(r"[`'\")]*\s*(?:\(\)|tool|function|command)", sentence[match.end() :]))
        )
        if marked:
            return theirs[name]
    for server, one in servers.items():
        if re.search(
            rf"(?<![\w-]){re.escape(server)}(?![\w-])(?:'s)?\s+(?:mcp|server|tools?)\b|\b(?:server|mcp)\s+[`'\"]?{re.escape(server)}(?![\w-])",
            sentence,
        ):
            return one
    return None


_PLACE = r"(?:mcp\s+)?(?:servers?|connectors?|plugins?|integrations?|extensions?|mcps?|add-?ons?|apps?|toolsets?)"
_TOOL = r"[`'\"]?(?P<{}>[a-z][a-z0-9]{{0,30}}(?:[_-][a-z0-9]{{1,30}}){{1,6}}|[a-z]\w{{2,63}}(?=[`'\"])|(?<=[`'\"])[a-z]\w{{2,63}})[`'\"]?"
_ELSEWHERE = tuple(
    re.compile(pattern.replace("PLACE", _PLACE).replace("TOOL", _TOOL.format("tool")), re.I)
    for pattern in (
        r"\b(?:the|your|an?|any|another|other|every)\s+(?P<server>[a-z][\w-]{1,30})\s+PLACE(?:'s|’s)?\s+(?:tools?\s+)?TOOL",
        r"TOOL\s+(?:tool\s+)?(?:of|from|on|in|by)\s+(?:the|your|an?|any|another|other)\s+(?P<server>[a-z][\w-]{1,30})\s+PLACE\b",
        r"TOOL\s+(?:tool\s+)?\((?:the\s+|your\s+)?(?P<server>[a-z][\w-]{1,30})(?:\s+PLACE)?\)",
        r"\b(?P<server>[a-z][\w-]{1,30})(?:'s|’s)\s+(?:tool\s+)?TOOL",
        r"(?<![\w./-])(?P<server>[a-z][\w-]{1,30})(?:::|:\s(?=\S+$)|:|/|\.|__)TOOL(?:\(\))?(?![\w./-])",
        r"(?P<server>[\w一-龯ァ-ヶー]{1,20}?)(?:サーバー?|プラグイン|コネクタ|連携|拡張|アプリ)の\s*TOOL",
        r"(?P<server>[\w一-鿿]{1,20}?)(?:服务器|插件|连接器)的\s*TOOL",
    )
)
_NO_SERVER = frozenset("this same own our its it that let here there user tool next last first e i http https note see use call via with calls returns from by".split())


def _told_of(sentence: str, names: set[str], own: set[str]) -> Foreign | None:
    """Return the tool that a sentence itself gives to another server, whether that is installed or not; its name must look like one.

    ``names`` are the parameters of the tool whose text it is, ``own`` the tools of its server.
    """
    for pattern in _ELSEWHERE:
        for match in pattern.finditer(sentence):
            server, name = match["server"], match["tool"]
            plain = name.lower()
            marked = re.search(r"[_\d-]|[a-z][A-Z]", name) or re.search(r"[`'\"]", match[0])
            if marked and plain not in own | names and server.lower() not in _NO_SERVER and server.lower() not in names and not plain.endswith(_ENDS):
                return Foreign(server, name, {})
    return None


_ENDS = ("-only", "-based", "-free", "-wide", "-level", "-day", "-year", "-time", "-in", "-out", "-up", "-to-date", "-id", "_id", "-related")


def _ordered(sentence: str, whole: str, thing: Thing, other: Foreign, own: frozenset[str]) -> float:
    """Return how surely a text rules over a foreign tool: nothing for a mention."""
    about = replace(
        metadata.about(thing, own, frozenset({other.name.lower(), other.server.lower()})), opening=False, here="", parameter=False
    )
    chance = utterance.score(utterance.read(sentence, about))
    around = [one.weight for one in utterance.read(whole, about) if sentence in utterance.plain(whole[one.start : one.end])]
    takes = sum(weight for _, weight, _ in preference.weigh(sentence, frozenset()))
    name = re.escape(other.name.lower())
    displaces = bool(re.search(rf"\b(?:instead\s+of|rather\s+than|in\s+place\s+of|replaces?|supersedes?)\b[^.]{{0,40}}{name}", sentence))
    spurns = bool(re.search(rf"{name}[^.]{{0,60}}\b(?:deprecated|broken|unsafe|obsolete|outdated|disabled|retired)\b", sentence))
    return round(max(chance, *around, 0.8 * takes, 0.4 * displaces + 0.4 * spurns, 0.0), 2)


def _reference(thing: Thing, pointer: str, sentence: str, other: Foreign, weight: float) -> CheckResult:
    strong, known = weight >= SURE, bool(other.definition)
    return CheckResult(
        "M04",
        "fail",
        f"The {thing.kind} {thing.name[:80]!r} {'gives orders about' if strong or not known else 'speaks of'} {other.name[:80]!r} of the server {other.server}.",
        tool=thing.tool,
        severity="medium" if not known else "high" if strong else "low",
        confidence="firm" if known else "tentative",
        key=pointer,
        evidence={"pointer": pointer, "sentence": sentence[:400], "other": other.name, "server": other.server, "weight": weight},
        reproduce=f"Read {pointer}; {other.name} stands in tools/list of {other.server}." if known else f"Read {pointer}.",
        next_step="Do not offer both servers to the same model; a server has no business with another's tools.",
    )


# What flows: where others can write, what is private, where it can leave

_UNTRUSTED = frozenset(
    "web url page pages browse browser crawl scrape http html rss feed search inbox email emails mail gmail message messages slack "
    "discord tweet tweets twitter reddit comment comments issue issues pr pull review reviews ticket tickets webhook news website internet telegram".split()
)
_PRIVATE = frozenset(
    "file files directory folder document documents note notes database db sql table customer customers contact contacts calendar email "
    "emails mail inbox gmail password passwords secret secrets vault credential credentials env environment memory memories history private repo repository "
    "patient medical bank account accounts transactions clipboard screenshot keychain drive invoice invoices employee employees payroll".split()
)
_TAKES = frozenset(
    "fetch get read browse crawl scrape search list download open load receive check retrieve visit navigate query find lookup show view export".split()
)
_LEAVES = frozenset(
    "send post publish upload share email tweet reply comment forward submit push webhook notify message invite export sync put request".split()
)
_OUT = re.compile(
    r"\b(?:sends?|posts?|publish(?:es)?|uploads?|forwards?|e-?mails?|submits?|tweets?|notif(?:y|ies))\b[^.]{0,60}\b(?:to|e-?mails?|messages?|webhooks?|urls?|channel|recipients?|api|http|server|issue|comment)\b|\bhttp\s+(?:request|post|put)|\barbitrary\s+urls?\b"
)
_IN = re.compile(
    r"\b(?:fetch(?:es)?|download(?:s)?|brows(?:e|es)|crawl(?:s)?|scrap(?:e|es)|reads?|retriev(?:e|es)|search(?:es)?|gets?|lists?)\b[^.]{0,60}\b(?:urls?|web\s*(?:pages?|sites?)?|internet|e-?mails?|inbox|messages?|issues?|comments?|tickets?|feeds?|tweets?|posts?)\b"
)
_OWN_DATA = re.compile(
    r"\b(?:reads?|gets?|lists?|search(?:es)?|quer(?:y|ies)|retriev(?:e|es)|returns?|opens?|exports?|loads?|shows?)\b[^.]{0,60}\b(?:files?|director(?:y|ies)|documents?|databases?|tables?|rows|customers?|contacts?|calendar|e-?mails?|inbox|secrets?|passwords?|credentials?|environment\s+variables?|notes?|memor(?:y|ies)|private|repositor(?:y|ies)|records|invoices?|accounts?)\b"
)


def labels(definition: Mapping[str, Any]) -> set[str]:
    """Return what a tool is in a flow of data: untrusted (others write what it returns), private, outbound."""
    parts = tokens(str(definition.get("name", "")))
    said = described(definition).lower()[:600]
    given = definition.get("annotations")
    hints: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    names = {str(name).lower() for name in properties(definition)}
    found: set[str] = set()
    takes = bool(set(parts) & _TAKES) and not set(parts) & {"send", "post", "write", "create", "delete", "update"}
    if (takes and set(parts) & _UNTRUSTED) or _IN.search(said) or ("url" in names and takes):
        found.add("untrusted")
    if (takes and set(parts) & _PRIVATE) or (_OWN_DATA.search(said) and hints.get("openWorldHint") is not True):
        found.add("private")
    if (
        (set(parts) & _LEAVES and not (takes and parts[0] in _TAKES))
        or _OUT.search(said)
        or ("url" in names and names & {"body", "data", "payload", "method", "headers"})
    ):
        found.add("outbound")
    if "url" in names and "untrusted" in found and hints.get("openWorldHint") is not False:
        found.add("outbound")  # an address can carry what it asks for
    return found


def _flow(surface: Surface, foreign: Sequence[Foreign], server: str, config: ConfigData) -> CheckResult:
    """M06: untrusted text, private data and a way out, within reach of one model, and this server has a part in it."""
    found: dict[str, list[str]] = {"untrusted": [], "private": [], "outbound": []}
    own: set[str] = set()
    for thing in surface.tools:
        if isinstance(thing.definition, Mapping):
            for label in labels(thing.definition):
                found[label].append(f"{server}/{thing.name}")
                own.add(label)
    for other in foreign:
        for label in labels(other.definition):
            found[label].append(f"{other.server}/{other.name}")
    evidence = {label: sorted(set(tools))[:20] for label, tools in found.items()} | {
        "own": sorted(own),
        "network": config.network,
    }
    if all(found.values()) and own:
        path = [found[label][0] for label in ("untrusted", "private", "outbound")]
        leaves = {one.partition("/")[0] for one in found["outbound"]}
        held = config.network != "outbound" and leaves == {server}  # the only way out is one that its container does not have
        return CheckResult(
            "M06",
            "fail",
            f"Text of strangers can reach private data and leave: {' → '.join(path)}."
            + (" For now its container has no way out." if held else ""),
            severity="low" if held else "medium",
            confidence="tentative",
            evidence=evidence | {"path": path},
            key="flow",
            reproduce="Give one model the tools named here; a stranger's text that one returns can order the other two.",
            next_step="Offer them to different models, ask a person before the last one runs, or take a tool out of the configuration's list.",
        )
    missing = [label for label, tools in found.items() if not tools]
    why = f"nothing is {' or '.join(missing)}" if missing else "this server has no part in it"
    return CheckResult(
        "M06", "pass", f"Text of strangers, private data and a way out do not come together: {why}.", evidence=evidence
    )
