"""D02: does a path lead out of where it belongs? What is read there is random; what is written is looked for."""

from __future__ import annotations

import base64
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence

from mcpweb.plugin import CheckResult, Severity

from . import marks
from .attack import Attack, Family, declared
from .coats import Dressed
from .lab import Reply, folders
from .surfaces import place, points

CHECK = "D02"
ANY_PATH = (
    r"\b(any (file|path|folder|directory)|arbitrary|absolute path|full path|anywhere|whole (disk|file ?system)|local disk"
    r"|entire (disk|file ?system))\b"
)
FIX = "Resolve the path (links too), then check that it lies below the folder it belongs to, and open exactly what was checked."
UP = "../" * 10
INSIDE = ("mountinfo", "oom_score_adj", "timerslack_ns", "coredump_filter", "setgroups")  # what lies in /proc/self

WAYS = (  # {p} the place without its first slash, {v} a valid value
    ("upwards", UP + "{p}"),
    ("absolute", "/{p}"),
    ("upwards after a valid value", "{v}/" + UP + "{p}"),
    ("upwards from its folder", "{d}" + UP + "{p}"),
    ("upwards, encoded", "%2e%2e%2f" * 10 + "{e}"),
    ("upwards, for a filter that takes ../ out once", "....//" * 10 + "{p}"),
)
FURTHER = (
    ("upwards after a folder", "x/" + UP + "{p}"),
    ("upwards from here", "./" + UP + "{p}"),
    ("upwards, encoded twice", "%252e%252e%252f" * 10 + "{ee}"),
    ("upwards, the slash encoded", "..%2f" * 10 + "{e}"),
    ("upwards, the dots encoded", "%2e%2e/" * 10 + "{p}"),
    ("upwards, for a filter that takes ../ out of the middle", "..././" * 10 + "{p}"),
    ("upwards with backslashes", "..\\" * 10 + "{p}"),
    ("upwards with semicolons", "..;/" * 10 + "{p}"),
    ("upwards, wide dots", "\uff0e\uff0e/" * 10 + "{p}"),
    ("with a zero byte", UP + "{p}\0{x}"),
    ("with an encoded zero byte", UP + "{p}%00{x}"),
    ("absolute with two slashes", "//{p}"),
    ("absolute after a space", " /{p}"),
    ("through the process", "/proc/self/root/{p}"),
    ("upwards through the process", UP + "proc/self/root/{p}"),
    ("through the working folder", "/proc/self/cwd/" + UP + "{p}"),
    ("absolute, upwards from /tmp", "/tmp/" + UP + "{p}"),
    ("home folder", "~/" + UP + "{p}"),
)
FROM_ROOT = (  # {r} a folder the server names
    ("absolute, upwards from a known folder", "{r}/" + UP + "{p}"),
)
PLACES = ("var/tmp", "tmp")  # where it may be possible to write
READ = ("etc/hostname", "etc//hostname")
OTHER = (("proc/sys/kernel/hostname", "proc/sys//kernel/hostname"), ("proc/self/environ", "proc/self//environ"))


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Try to read, to list and to write outside, in the ways that most code falls for."""
    yield from _each(attack, WAYS, ((READ, False),))
    for way, frame in (*WAYS[:3], ("one folder up", "../{m}")):
        _write(attack, way, frame)
    for way, pack in ARCHIVES:
        _unpack(attack, way, pack)
    yield from _together(attack)


def more(attack: Attack) -> Iterator[CheckResult | None]:
    """Try what passes filters, and other files."""
    yield from _beside(attack)
    places = ((READ, False), (("proc/self", "proc/./self"), True))
    found = False
    for verdict in _each(attack, WAYS, ((OTHER[0], False), (OTHER[1], False), (("proc/self", "proc/./self"), True))):
        found = found or verdict is not None
        yield verdict
    if not found:
        roots = tuple((way, frame.replace("{r}", root)) for root in _roots(attack) for way, frame in FROM_ROOT)
        yield from _each(attack, (*roots, *FURTHER), places[:1])


def _each(
    attack: Attack, ways: tuple[tuple[str, str], ...], places: tuple[tuple[tuple[str, str], bool], ...]
) -> Iterator[CheckResult | None]:
    for (spot, again), listing in places:
        for way, frame in ways:
            verdict = _read(attack, way, frame, spot, again, listing)
            if verdict is not None:
                yield verdict
                return


def _together(attack: Attack) -> Iterator[CheckResult | None]:
    """Read what was planted where a path is put together from several fields: this one leads out, the others name the file."""
    lab, point = attack.lab, attack.point
    others = [
        one for one in points(point.surface) if one.kind == "text" and one.pointer != point.pointer and "/" not in one.pointer[1:]
    ]
    if not lab.planted or not others or isinstance(point, Dressed):
        return

    def ask(name: str) -> Reply:
        arguments = point.arguments(f"{UP}{lab.apart[1:]}", attack.base)
        for one in others:
            place(arguments, one.pointer, name)
        return attack.stand.ask(point.surface, arguments)

    ending = os.path.splitext(others[0].valid)[1]
    for name in dict.fromkeys(("canary", f"canary{ending or '.txt'}")):
        reply = ask(name)
        if not marks.seen(lab.planted, reply.text):
            continue
        control, again = ask(marks.token()), ask(name)
        if control.answered and not marks.seen(lab.planted, control.text) and marks.seen(lab.planted, again.text):
            yield attack.fail(
                CHECK,
                f"The tool reads files outside of where it belongs: {point.pointer} leads upwards, another field names the file.",
                sent=f"{UP}{lab.apart[1:]}", next_step=FIX, way="upwards, with a name in another field", reply=reply,
                mark=lab.planted, canary=lab.planted, others=dict.fromkeys((one.pointer for one in others), name),
                control={"sent": "the same with a random name", "answer": control.text[:200]},
            )
            return


def _beside(attack: Attack) -> Iterator[CheckResult | None]:
    """Read what was planted: beside a folder of the server, with a name that begins like its, and where it adds an ending."""
    lab = attack.lab
    forms = [("upwards, an ending is added", UP + lab.apart[1:] + "/canary")]
    for root, sibling in lab.siblings.items():
        name = sibling.rpartition("/")[2]
        ways = (f"{sibling}/canary.txt", f"../{name}/canary.txt", f"../{name}/canary")
        forms += [(f"into a folder that begins like {root}", form) for form in ways]
    for way, form in forms if lab.planted else ():
        reply = attack.send(form)
        if not marks.seen(lab.planted, reply.text):
            continue
        control, again = attack.send(form.replace("canary", marks.token())), attack.send(form)
        if not control.answered or marks.seen(lab.planted, control.text) or not marks.seen(lab.planted, again.text):
            continue
        severity, words = _weight(attack, way)
        yield attack.fail(
            CHECK, f"The tool reads files outside of where it belongs: {attack.point.pointer} takes a path {way}{words}.",
            sent=form, severity=severity, next_step=FIX, way=way, reply=reply, mark=lab.planted, canary=lab.planted,
            control={"sent": "the same with a random name", "answer": control.text[:200]},
        )
        return


def payload(attack: Attack, frame: str, place: str) -> str:
    """Return the text to send: an ending the field may insist on is kept behind a zero byte."""
    ending = os.path.splitext(attack.valid)[1] or ".txt"
    encoded = place.replace("/", "%2f")
    return (
        frame.replace("{v}", attack.valid)
        .replace("{p}", place)
        .replace("{e}", encoded)
        .replace("{d}", f"{attack.valid.rpartition('/')[0] or 'x'}/")
        .replace("{ee}", encoded.replace("%", "%25"))
        .replace("{x}", ending)
    )


def _roots(attack: Attack) -> list[str]:
    """Return folders that the server names itself: of this field first, then of all it was started with or said."""
    own = folders(f"{attack.point.surface.definition} {attack.plain().text[:4000]}")
    return list(dict.fromkeys([*own[:2], *folders(attack.lab.said)[:2], "/data"]))


def _found(attack: Attack, reply: Reply, listing: bool) -> str:
    if not listing:
        hit = marks.read(attack.canary, reply.text)
        return hit or next((bait for bait in attack.stand.canaries.values() if marks.seen(bait, reply.text)), "")
    names = [name for name in INSIDE if name in reply.text]
    return names[0] if len(names) >= 3 else ""


def _read(attack: Attack, way: str, frame: str, place: str, again: str, listing: bool) -> CheckResult | None:
    """Read one place twice, written differently; a name that is not there and a harmless value must not show the same."""
    sent = payload(attack, frame, place)
    reply = attack.send(sent)
    found = _found(attack, reply, listing)
    if not found or found in sent:
        return None
    control = attack.send(payload(attack, frame, f"{place}-{marks.token()}"))
    controls = (control, attack.plain())
    if any(not one.answered or _found(attack, one, listing) for one in controls):
        return None
    second_sent = payload(attack, frame, again)
    second = attack.send(second_sent)
    if not _found(attack, second, listing):
        second_sent, second = sent, attack.send(sent)
        if not _found(attack, second, listing):
            return None
    what = "lists folders" if listing else "reads files"
    severity, confidence_words = _weight(attack, way)
    return attack.fail(
        CHECK,
        f"The tool {what} outside of where it belongs: {attack.point.pointer} takes a path {way}{confidence_words}.",
        sent=sent,
        severity=severity,
        next_step=FIX,
        way=way,
        reply=reply,
        mark=found,
        canary=found,
        again={"sent": second_sent, "answer": marks.span(second.text, found)},
        control={"sent": f"{sent}-(random)", "answer": control.text[:200]},
    )


def _weight(attack: Attack, way: str) -> tuple[Severity | None, str]:
    """Return how grave it is: a tool that says it takes any path, and does, is no hidden flaw."""
    if not declared(attack.point, ANY_PATH):
        return None, ""
    plain = way == "absolute" or marks.read(attack.canary, attack.send("/etc/hostname").text)
    return ("medium", ", as it says of itself") if plain else (None, "")


# Writing


def _write(attack: Attack, way: str, frame: str, again: bool = False) -> tuple[str, str]:
    """Hand over a place outside where a file may appear; return payload and the file's name."""
    name = marks.token()
    sent = ""
    for folder in PLACES if "{p}" in frame else ("",):
        sent = payload(attack, frame, f"{folder}/{name}").replace("{m}", name)
        attack.send(sent)
    if not again:
        attack.hope(CHECK, name, "path", way, lambda other: _write_again(other, way, frame))
    return sent, name


def _write_again(attack: Attack, way: str, frame: str) -> CheckResult | None:
    sent, name = _write(attack, way, frame, again=True)
    inside = marks.token()
    reply = attack.send(inside)
    path = outside(attack, name, inside, reply)
    if not path:
        return None
    severity, words = _weight(attack, way)
    return attack.fail(
        CHECK,
        f"The tool writes files outside of where it belongs: {attack.point.pointer} takes a path {way}{words}.",
        sent=sent,
        severity=severity,
        next_step=FIX,
        way=way,
        file=path,
    )


def outside(attack: Attack, name: str, inside: str, reply: Reply) -> str:
    """Return what has this name, with whatever ending, and lies beside the folder in which a plain name is put.

    Where nothing is seen of the plain name, it must have been taken, and the other must lie where no server keeps things.
    """
    changed = attack.stand.changed()
    home = {os.path.dirname(path) for path in changed if inside in os.path.basename(path)}
    for path in sorted(path for path in changed if re.fullmatch(rf"{name}(?:[._-][\w.-]*)?", os.path.basename(path))):
        folder = os.path.dirname(path)
        if home and not any(f"{folder}/".startswith(f"{one}/") for one in home) and not _own(attack, folder, exactly=True):
            return path
        if not home and (folder == "/var/tmp" or (folder == "/tmp" and reply.ok)) and not _own(attack, folder):
            return path
    return ""


def _own(attack: Attack, folder: str, *, exactly: bool = False) -> bool:
    """Tell whether the server may have a business in a folder: what it was started with or what it says names it."""
    said = f"{attack.lab.said} {attack.point.surface.definition} {attack.plain().text}"
    return bool(re.search(rf"{re.escape(folder)}(?![\w/-])", said)) if exactly else folder in said


def _zip(members: Sequence[str]) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for one in members:
            archive.writestr(one, "{}\n")
    return base64.b64encode(packed.getvalue()).decode()


def _tar(members: Sequence[str], mode: str = "w") -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for one in members:
            entry = tarfile.TarInfo(one)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"{}\n"))
    return base64.b64encode(packed.getvalue()).decode()


Packer = Callable[[Sequence[str]], str]
ARCHIVES: tuple[tuple[str, Packer], ...] = (
    ("in a zip", _zip),
    ("in a tar", _tar),
    ("in a packed tar", lambda members: _tar(members, "w:gz")),
)


def _unpack(attack: Attack, way: str, pack: Packer, again: bool = False) -> tuple[str, str]:
    """Hand over an archive with members that lead out, upwards and from the root; return it and their name."""
    name = marks.token()
    places = [f"{led}{folder}/{name}.txt" for folder in ("tmp", "var/tmp") for led in (UP, "/")]
    sent = pack(places)  # what cannot be written ends it, so the surest is first
    attack.send(sent)
    if not again:
        attack.hope(CHECK, name, "path", way, lambda other: _unpack_again(other, way, pack))
    return sent, name


def _unpack_again(attack: Attack, way: str, pack: Packer) -> CheckResult | None:
    sent, name = _unpack(attack, way, pack, again=True)
    inside = marks.token()
    reply = attack.send(pack([f"{inside}.txt"]))
    path = outside(attack, name, inside, reply)
    if not path:
        return None
    return attack.fail(
        CHECK,
        f"The tool writes files outside of where it belongs: a member {way} in {attack.point.pointer} has a path that leads out.",
        sent=sent, next_step=FIX, way=way, file=path,
    )


FAMILY = Family(
    CHECK, first, more, likely=r"path|file|dir|folder|name|document|note|template|page|log|read|write|load|save|key|\bid\b"
)
