"""Where servers are attacked: throw-away containers behind one sinkhole, what each was asked, and what came of it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mcpweb.plugin import (
    Failure,
    RpcError,
    ServerTimeout,
    Sink,
    SinkEvent,
    TestContext,
    TestSession,
    Unavailable,
)

from . import coats, marks
from .learning import Known, ends, ids, made
from .surfaces import Point, Surface, points, strings

CANARY_VARIABLE = "PROBE_ACCESS_TOKEN"
BAITS = {  # variables that thieves look for, and how their values begin
    "AWS_SECRET_ACCESS_KEY": "", "GITHUB_TOKEN": "ghp_", "OPENAI_API_KEY": "sk-proj-", "DB_PASSWORD": "",
}
HOLDERS = {  # files below the home folder that thieves look for; {} is the canary
    ".ssh/id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
    ".ssh/id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
    ".aws/credentials": "[default]\naws_access_key_id = AKIAQ3EGPIZ5T2VDX7WN\naws_secret_access_key = {}\n",
    ".docker/config.json": '{"auths": {"registry.test": {"auth": "{}"}}}\n',
    ".config/gh/hosts.yml": "github.com:\n  oauth_token: {}\n",
}
MOST_REOPENED = 8
RESERVE_S = 4.0  # of a run's time, to tell what was found
MOST_TIMEOUTS = 3
MOST_MET = 14  # arguments that are tried until a surface answers
SLOW_MS = 300
TEXT_KEPT = 262_144
PLACE = re.compile(r"(?<![\w/.:])/[\w.-]+(?:/[\w.-]+)*")
NO_ROOT = ("/proc", "/usr", "/lib", "/bin", "/sbin", "/etc", "/nonexistent", "/dev", "/sys")
ENDINGS = ("txt", "md", "json", "html", "yaml", "csv", "log", "png")
ASKED_KEPT = 32 * 2**20  # of all answers together


class Spent(Exception):
    """The time for probes is used up."""


@dataclass(frozen=True)
class Reply:
    """What came back: all texts of the answer, and how it ended."""

    text: str  # with what its Base64 holds
    outcome: Literal["ok", "is_error", "rpc_error", "timeout", "gone"]
    ms: float = 0.0
    plain: str = ""  # as it was sent
    pairs: str = ""  # texts with the names they have, a line each

    @property
    def answered(self) -> bool:
        """Whether there was any answer; without one a control shows nothing."""
        return self.outcome not in ("timeout", "gone")

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True)
class Asked:
    """One request with its reply, for those who look at everything afterwards."""

    surface: Surface
    arguments: Mapping[str, Any]
    reply: Reply


class Lab:
    """The sinkhole of a run and the containers behind it. ``quick`` runs ask less.

    A sinkhole has room for one server that speaks HTTP, because it keeps its port: others wait until that one is closed, or
    stand alone, without a way out, where nobody watches the network (``watched`` is false).
    """

    def __init__(self, context: TestContext, seconds: float) -> None:
        self.context = context
        self.quick = context.profile == "quick"
        self.until = time.monotonic() + min(seconds, context.remaining_s() - 5)
        self.deadline_s = 2.5 if self.quick else 6.0
        self.http = context.config.transport == "http"
        self.sink: Sink = context.sink()
        self.watched = True
        self._guard = threading.Lock()
        self._reopened = 0
        self.timeouts: dict[str, int] = {}
        self._cases: dict[str, list[Mapping[str, Any]]] = {}
        config, image = context.config, context.image
        inside = image.raw.get("Config") if isinstance(image.raw, Mapping) else None
        inside = inside or {}
        self.known = Known()
        self.learning = False
        self.worked: dict[str, Mapping[str, Any]] = {}  # by title, as they were found: arguments that were answered
        self.told: dict[str, str] = {}  # what was answered to these
        self.kept: dict[str, str] = {}  # canaries in files, by the file
        self.baited: list[str] = []  # folders in which they lie
        self.wanted: tuple[str, ...] = ()  # variables for secrets that the server names itself
        self.siblings: dict[str, str] = {}
        self.apart = self.planted = ""
        self.said = " ".join([  # what the server was told of places, and what it said of itself in plain use
            *(config.command or image.command), *(config.entrypoint or image.entrypoint), *config.environment.values(),
            *(mount.target for mount in config.mounts), *(inside.get("Env") or ()), str(inside.get("WorkingDir") or ""), "",
        ])

    def left_s(self) -> float:
        return min(self.until - time.monotonic(), self.context.remaining_s() - RESERVE_S)

    def stand(self, label: str = "", **changes: Any) -> Stand:
        """Open a container of its own. Raises what ``fresh`` raises."""
        return Stand(self, label, changes)

    def open(self, changes: Mapping[str, Any]) -> tuple[TestSession, dict[str, str]]:
        """Return a session behind the sinkhole with canaries for all secrets and one that nobody asked for."""
        config = self.context.config
        bait = f"canary_{secrets.token_hex(16)}"
        more = dict(changes)
        planted = {**BAITS, **dict.fromkeys(self.wanted, "")}
        baits = {name: f"{begin}{secrets.token_hex(20)}" for name, begin in planted.items() if name not in config.environment}
        baits[CANARY_VARIABLE] = bait
        environment = {**config.environment, **more.pop("environment", {}), **baits}
        sink = self.sink if self.watched else None
        session = self.context.fresh(deadline_s=20, sink=sink, canaries=True, environment=environment, **more)
        return session, {**session.canaries, **baits, **self.kept}

    def cases(self, surface: Surface) -> list[Mapping[str, Any]]:
        """Return valid arguments for a tool as the generator makes them, a few."""
        if surface.kind != "tool":
            return []
        if surface.title not in self._cases:
            self._cases[surface.title] = []
            with contextlib.suppress(Failure, ValueError, TypeError, RecursionError):
                cases = self.context.inputs(surface.definition, valid=4, invalid=0, known=self.known.values)
                self._cases[surface.title] = [case.arguments for case in cases if case.valid]
        worked = self.worked.get(surface.title)
        return [*([worked] if worked is not None else []), *self._cases[surface.title]]

    def fields(self, surface: Surface) -> list[Point]:
        """Return the fields of a surface, those inside of others too, with valid values as far as they were seen."""
        own = [coats.seen(point, self.known.values) for point in points(surface, self.cases(surface))]
        return [*own, *(one for point in own for one in coats.dressed(point))]

    def share(self, other: Lab) -> None:
        """Take over what was learned of the server."""
        self.known, self.worked, self.told, self._cases = other.known, other.worked, other.told, other._cases

    def meet(self, stand: Stand, surface: Surface, most: int = MOST_MET) -> bool:
        """Find arguments that a surface answers: its own examples, generated ones, then what other answers showed."""
        if most == MOST_MET and self.known.values:
            self._cases.pop(surface.title, None)  # made anew, with what was seen
        tried: list[Mapping[str, Any]] = []
        for arguments in self._likely(surface):
            if arguments in tried:
                continue
            tried.append(arguments)
            reply = stand.ask(surface, arguments)
            if reply.ok:
                self.worked[surface.title], self.told[surface.title] = arguments, reply.plain
                return True
            if len(tried) >= most or (reply.ms > SLOW_MS and len(tried) > 1) or self.tired_of(surface):
                break
        return False

    def _likely(self, surface: Surface) -> Iterator[Mapping[str, Any]]:
        fields = points(surface)
        own = [dict(base) for base in (fields[0].bases[:2] if fields else [{}])]
        yield from own
        yield from self.cases(surface)[:3]
        yield from (one for base in own[:1] for one in made(surface, base, self.known))

    def bait(self) -> dict[str, str]:
        """Return files such as hold secrets, with canaries, for the home folder a server has."""
        raw = self.context.image.raw.get("Config") if isinstance(self.context.image.raw, Mapping) else None
        told = [one for one in (raw or {}).get("Env") or () if str(one).startswith("HOME=")]
        root = str((raw or {}).get("User") or self.context.config.user or "0").partition(":")[0] in ("0", "root")
        home = told[0].partition("=")[2] if told else "/root" if root else "/nonexistent"
        if not re.fullmatch(r"(/[\w.-]+)+", home):
            return {}
        made = {}
        for name, form in HOLDERS.items():
            canary = f"canary_{secrets.token_hex(20)}"
            self.kept[f"~/{name}"] = canary
            self.baited.append(f"{home}/{name}".rpartition("/")[0])
            made[f"{home}/{name}"] = form.replace("{}", canary, 1) if "auths" not in form else form.replace('"{}"', f'"{canary}"')
        return made

    def plant(self) -> dict[str, str]:
        """Return files with canaries: beside each folder the server names, with a name that begins like it, and far from all."""
        roots: list[str] = []
        for one in folders(self.said):  # nothing is put into a folder of the server, which could not write there any more
            if len(roots) < 3 and not any(f"{one}/".startswith(f"{root}/") for root in roots):
                roots.append(one)
        self.siblings = {root: f"{root}-{marks.token(6)}" for root in roots}
        self.apart = f"/{marks.token(8)}"
        canary = marks.token(16)
        self.planted = canary
        places = (self.apart, *self.siblings.values())
        return {f"{place}/canary.{ending}": f"{canary}\n" for place in places for ending in ENDINGS}

    def may_reopen(self) -> bool:
        with self._guard:
            self._reopened += 1
            return self._reopened <= MOST_REOPENED

    def late(self, surface: Surface) -> None:
        """Note that a surface did not answer in time."""
        with self._guard:
            self.timeouts[surface.title] = self.timeouts.get(surface.title, 0) + 1

    def tired_of(self, surface: Surface) -> bool:
        """Tell whether a surface failed to answer so often that asking on would use up the time of the others."""
        return self.timeouts.get(surface.title, 0) >= MOST_TIMEOUTS

    def events(self, since: int = 0) -> list[SinkEvent]:
        return self.sink.events(since)


class Stand:
    """One container and its session; a server that left or hangs is replaced by a new one, a few times."""

    def __init__(self, lab: Lab, label: str, changes: Mapping[str, Any]) -> None:
        self.lab, self.label, self._changes = lab, label, dict(changes)
        self.asked: list[Asked] = []
        self.words = ""  # what earlier sessions of this stand said beside the protocol
        self.touched: set[str] = set()  # paths that changed in earlier containers
        self.died: list[Asked] = []
        self._kept = 0
        self._called: dict[str, str] = {}  # numbers of things: as they were in plain use, and as they are here
        self.session, self.canaries = lab.open(self._changes)

    @property
    def hostname(self) -> str:
        """What the server finds in /etc/hostname."""
        return self.lab.sink.hostname if self.lab.watched else self.session.container_id[:12]

    def ask(
        self, surface: Surface, arguments: Mapping[str, Any], deadline_s: float | None = None, *, mend: bool = True
    ) -> Reply:
        """Use a surface and return what came back. Raises Spent, and Unavailable when the server cannot be had again.

        With ``mend`` a server that left or hangs is replaced at once.
        """
        if self.lab.left_s() <= 0:
            raise Spent
        method, params = surface.request(_renamed(arguments, self._called) if self._called else arguments)
        limit = min(deadline_s or self.lab.deadline_s, max(self.lab.left_s(), 0.5))
        started = time.monotonic()
        try:
            result = self.session.request(method, params, deadline_s=limit)
            texts, pairs = list(strings(result)), _pairs(result)
            failed = isinstance(result, Mapping) and bool(result.get("isError"))
            reply = _reply(texts, "is_error" if failed else "ok", started, pairs)
            if self.lab.learning and not failed:
                self.lab.known.learn(result)
        except RpcError as failure:
            reply = _reply(list(strings(failure.rpc)), "rpc_error", started, _pairs(failure.rpc))
        except ServerTimeout:
            reply = Reply("", "timeout", (time.monotonic() - started) * 1000)
        except Unavailable:
            raise
        except Failure as failure:
            reply = Reply(failure.detail, "gone", (time.monotonic() - started) * 1000)
        asked = Asked(surface, arguments, reply)
        self._kept += len(reply.text)
        if self._kept < ASKED_KEPT:
            self.asked.append(asked)
        if reply.outcome in ("timeout", "gone") and mend:
            self._mend(asked)
        return reply

    def settle(self, surfaces: Sequence[Surface]) -> None:
        """Do once what worked in plain use, so that what was made there is here as well, under the same number or another one."""
        by_title = {surface.title: surface for surface in surfaces if not ends(surface)}
        self._called = {}
        for title, arguments in list(self.lab.worked.items()):
            if title not in by_title or not arguments:
                continue
            reply = self.ask(by_title[title], arguments, mend=False)
            then, now = (ids(text) for text in (self.lab.told[title], reply.plain))
            if reply.ok and len(then) == len(now):
                self._called |= {old: new for old, new in zip(then, now, strict=True) if old != new and not old.isdigit()}

    def _mend(self, asked: Asked) -> None:
        """Put a new server in the place of one that left, or that answers nobody since the last request."""
        if asked.reply.outcome == "timeout":
            self.lab.late(asked.surface)
            with contextlib.suppress(Failure):
                self.session.request("tools/list", {}, deadline_s=1.0)
                return
        else:
            self.died.append(asked)
        if not self.lab.may_reopen():
            raise Unavailable("The server ended or hung too often to go on.", code="probes_ended")
        self.reopen()

    def reopen(self) -> None:
        """Start anew; what was seen of the old container is kept."""
        self.words = self.beside()
        self.touched |= self._changed()
        self.session.close()
        self.session, self.canaries = self.lab.open(self._changes)

    def beside(self) -> str:
        """Return what the server wrote outside of the protocol: standard error and lines that are no messages."""
        lines = b"\n".join(self.session.bad_lines()).decode(errors="replace")
        return f"{self.words}\n{self.session.stderr()}\n{lines}"[-TEXT_KEPT:]

    def changed(self) -> set[str]:
        """Return the paths that were added or changed in the root file system."""
        return self.touched | self._changed()

    def _changed(self) -> set[str]:
        with contextlib.suppress(Failure):
            return {change.path for change in self.session.changes() if change.kind != "deleted"}
        return set()

    def close(self) -> None:
        self.session.close()


def listings(session: TestSession) -> dict[str, list[Any]]:
    """Return the lists that take arguments; one that cannot be had is empty."""
    found: dict[str, list[Any]] = {}
    for what, capability in (
        ("tools", "tools"),
        ("resourceTemplates", "resources"),
        ("resources", "resources"),
        ("prompts", "prompts"),
    ):
        found[what] = []
        if capability in session.capabilities or what == "tools":
            with contextlib.suppress(Failure):
                found[what] = session.listing(what)  # type: ignore[arg-type]
    return found


def folders(said: str) -> list[str]:
    """Return the folders that a text names, the most named first; those of the system are left out."""
    named: Counter[str] = Counter()
    for place in PLACE.findall(said):
        place = place.rstrip("/.")
        parent, _, name = place.rpartition("/")
        named.update(one for one in ([parent] if "." in name else [place, parent]) if one.strip("/"))
    return [one for one, _ in named.most_common(40) if len(one) <= 60 and not one.startswith(NO_ROOT)]


def is_internal(address: str) -> bool:
    """Tell whether an address means this machine, this network or the metadata of a cloud."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    return (
        ip.is_loopback or ip.is_link_local or ip.is_unspecified or any(ip in net for net in _PRIVATE if net.version == ip.version)
    )


_PRIVATE = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


def short(arguments: Mapping[str, Any]) -> Any:
    """Return arguments small enough for a report."""
    text = json.dumps(arguments, default=str)
    return dict(arguments) if len(text) < 4000 else {"cut": text[:4000]}


def _renamed(value: Any, called: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return called.get(value, value)
    if isinstance(value, Mapping):
        return {key: _renamed(inner, called) for key, inner in value.items()}
    return [_renamed(inner, called) for inner in value] if isinstance(value, list) else value


def _pairs(value: Any, depth: int = 0) -> str:
    """Return the texts of a JSON value that have a name, with it."""
    found: list[str] = []
    if isinstance(value, Mapping) and depth < 8:
        for name, inner in list(value.items())[:200]:
            found.append(f"{name}: {inner}" if isinstance(inner, str) and len(inner) < 400 else _pairs(inner, depth + 1))
    elif isinstance(value, list) and depth < 8:
        found += [_pairs(inner, depth + 1) for inner in value[:200]]
    return "\n".join(one for one in found if one)[:20_000]


def _reply(texts: Sequence[str], outcome: Literal["ok", "is_error", "rpc_error"], started: float, pairs: str) -> Reply:
    plain = "\n".join(texts)[:TEXT_KEPT]
    more = marks.decoded(texts) if len(plain) < TEXT_KEPT else ""
    return Reply(f"{plain}\n{more}" if more else plain, outcome, (time.monotonic() - started) * 1000, plain, pairs)
