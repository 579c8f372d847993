"""The words of statuses, states, verdicts and jobs, in the language of the page. Unknown ones are shown as they are."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

from flask import Flask

from mcpweb.services.health import filled
from mcpweb.web.language import _, chosen, has, with_places
from mcpweb.web.phrases import Phrases


def N_(text: str) -> str:
    """Mark a text for the catalogues; it is translated where it is shown."""
    return text


WORDS = {
    # servers, jobs and runs, the engine, plugins, findings
    "running": N_("running"), "stopped": N_("stopped"), "error": N_("error"), "unknown": N_("unknown"),
    "queued": N_("waiting"), "underway": N_("in progress"),
    "succeeded": N_("succeeded"), "failed": N_("failed"), "cancelled": N_("cancelled"),
    "reachable": N_("reachable"), "away": N_("away"),
    "loaded": N_("loaded"), "off": N_("off"), "broken": N_("broken"), "quarantined": N_("quarantined"),
    "ok": N_("fine"), "warning": N_("warning"), "problem": N_("problem"),
    # keys and their versions, the vault, secrets
    "active": N_("active"), "retiring": N_("retiring"), "retired": N_("retired"), "destroyed": N_("destroyed"),
    "open": N_("open"), "locked": N_("locked"), "inactive": N_("inactive"), "expired": N_("expired"),
    "required": N_("required"), "optional": N_("optional"), "conditional": N_("conditional"),
    "global": N_("global"), "server": N_("server"), "configuration": N_("configuration"),
    # verdicts and severities
    "pass": N_("pass"), "fail": N_("fail"), "undecided": N_("undecided"), "not_applicable": N_("not applicable"),
    "info": N_("info"), "low": N_("low"), "medium": N_("medium"), "high": N_("high"), "critical": N_("critical"),
    # findings
    "accepted": N_("accepted"), "fixed": N_("fixed"),
    # people and tokens
    "viewer": N_("viewer"), "operator": N_("operator"), "admin": N_("admin"), "disabled": N_("disabled"),
    "revoked": N_("revoked"),
    # how far the evidence of a finding goes
    "certain": N_("certain"), "firm": N_("firm"), "tentative": N_("tentative"),
}
DOING = {
    "start": N_("Starting"), "stop": N_("Stopping"), "restart": N_("Restarting"), "pull": N_("Pulling the image"),
    "tools": N_("Reading the tools"), "remove": N_("Removing"), "call": N_("Calling a tool"), "test_run": N_("Testing"),
    "rotate": N_("Rotating the key"), "verify_keys": N_("Opening every secret"), "verify_audit": N_("Checking the audit log"),
    "prune_audit": N_("Moving old audit rows out"), "demo": N_("Adding the demo server"),
    "retention": N_("Deleting old results"), "import": N_("Importing the set-up"), "backup": N_("Writing a backup"),
}
KINDS = {
    "start": N_("Start"), "stop": N_("Stop"), "restart": N_("Restart"), "pull": N_("Pull"), "tools": N_("Read tools"),
    "remove": N_("Remove"), "call": N_("Tool call"), "test_run": N_("Test run"),
    "rotate": N_("Key rotation"), "verify_keys": N_("Check of secrets"), "verify_audit": N_("Check of the audit log"),
    "prune_audit": N_("Audit retention"), "demo": N_("Demo server"),
    "retention": N_("Deletion of old results"), "import": N_("Import of a set-up"), "backup": N_("Scheduled backup"),
}

# what the test types of the box say of themselves; a team's own are shown as they are
TYPES = (
    N_("Connection"), N_("Create, start, handshake, list; which step failed and what to do."),
    N_("Functionality"), N_("Every tool called with generated input, valid and invalid; lists, resources, prompts, saved cases."),
    N_("Performance"), N_("Cold start, latency, throughput, memory; slower than a baseline or not, by statistics."),
    N_("Security"), N_("Container, image, tool descriptions, changes since approval, and how the tools take an attack."),
)


def word(name: str) -> str:
    """Return the word of a status, state, verdict, severity or confidence."""
    return _(WORDS[name]) if name in WORDS else name


def stage(name: str) -> str:
    """Return the word of the state of a job or run; a server that runs has another one."""
    return word("underway" if name == "running" else name)


def types(names: Iterable[str]) -> str:
    """Return test types in a row: as commands call them; in other languages by their titles, where those are known."""
    language = chosen()
    return comma().join(names if language == "en" else (has(language, name.capitalize()) or name for name in names))


def comma() -> str:
    """Return what stands between things in a row."""
    return "、" if chosen() == "ja" else ", "


def stop() -> str:
    """Return what ends a sentence."""
    return "。" if chosen() == "ja" else "."


def doing(kind: str) -> str:
    """Return what a job of this kind is doing."""
    return _(DOING[kind]) if kind in DOING else kind


def kind(name: str) -> str:
    """Return what a job of this kind is called."""
    return _(KINDS[name]) if name in KINDS else name


def told(text: str, facts: Mapping[str, object]) -> str:
    """Return a sentence of a table such as ``health.SENTENCES`` in the language of the page, with its facts."""
    if chosen() != "en":
        facts = {name: said(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
    return filled(_(text), facts)


def said(text: str) -> str:
    """Return a sentence made in Python – of a failure, a job, a status – in the language of the page.

    Names and foreign text in it stay as they are, and so does all of it when it is not one of ours. The data stay English.
    """
    language = chosen()
    return text if language == "en" or not text else _said(language, str(text))


@lru_cache(maxsize=1024)
def _said(language: str, text: str) -> str:
    return _phrases(language).said(text)


@cache
def _phrases(language: str) -> Phrases:
    return Phrases(
        with_places(language), lambda text: has(language, text),
        lambda name: has(language, WORDS.get(name, "")) or has(language, name.capitalize()) or name,
    )


def install(app: Flask) -> None:
    """Give templates all of them."""
    app.jinja_env.globals.update(word=word, stage=stage, comma=comma, stop=stop, doing=doing, kind=kind, told=told)
    app.jinja_env.filters.update(said=said, types=types)
