"""Packages of npm and PyPI: not run here; a Dockerfile that puts one into an image is proposed, names held to their grammar."""
from __future__ import annotations

import re
from collections.abc import Sequence

_NPM = re.compile(r"(?:@[a-z0-9][a-z0-9._-]{0,100}/)?[a-z0-9][a-z0-9._-]{0,100}", re.IGNORECASE)
_PYPI = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,60}")
_SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")

NPM_RUNNERS = ("npx", "npx.cmd", "bunx", "pnpx")
PYPI_RUNNERS = ("uvx", "uvx.exe", "pipx")


def recipe(kind: str, name: str, version: str = "", script: str = "") -> str:
    """Return a Dockerfile for a package, empty when name or version are not what such names are."""
    if version in ("latest", "*"):
        version = ""
    if version and not _VERSION.fullmatch(version):
        return ""
    if kind == "npm" and _NPM.fullmatch(name):
        program = script or name.rpartition("/")[2]
        if not _SCRIPT.fullmatch(program):
            return ""
        wanted = f"{name}@{version}" if version else name
        return (
            "FROM node:22-slim\n"
            f"RUN npm install --global --no-audit --no-fund {wanted} && npm cache clean --force\n"
            "USER node\nWORKDIR /tmp\n"
            f'ENTRYPOINT ["{program}"]\n'
        )
    if kind == "pypi" and _PYPI.fullmatch(name):
        program = script or name
        if not _SCRIPT.fullmatch(program):
            return ""
        wanted = f"{name}=={version}" if version else name
        return (
            "FROM python:3.13-slim\n"
            f"RUN pip install --no-cache-dir {wanted} && useradd --create-home --uid 1000 mcp\n"
            "USER mcp\nWORKDIR /tmp\n"
            f'ENTRYPOINT ["{program}"]\n'
        )
    return ""


def from_runner(words: Sequence[str]) -> tuple[str, str, str, str, tuple[str, ...]] | None:
    """Read ``npx -y package@1 …`` or ``uvx --from package program …``: kind, name, version, program, the arguments after it."""
    program = words[0].rpartition("/")[2].rpartition("\\")[2].lower() if words else ""
    kind = "npm" if program in NPM_RUNNERS else "pypi" if program in PYPI_RUNNERS else ""
    if not kind:
        return None
    valued = {"--package", "-p", "--from", "--with", "--python", "--index-url", "--spec"}
    origin, at = "", 1
    while at < len(words) and (words[at].startswith("-") or words[at] == "run"):
        name, equals, value = words[at].partition("=")
        at += 1
        if name in valued and not equals:
            value, at = (words[at] if at < len(words) else ""), at + 1
        if name in ("--package", "-p", "--from", "--spec"):
            origin = value
    if at >= len(words) and not origin:
        return None
    first = words[at] if at < len(words) else ""
    name, version = _split(kind, origin or first)
    return kind, name, version, (first if origin else ""), tuple(words[at + 1 :])


def _split(kind: str, text: str) -> tuple[str, str]:
    if kind == "npm":
        head, at, version = text.rpartition("@")
        return (head, version) if at and head else (text, "")
    for mark in ("==", "@"):
        name, found, version = text.partition(mark)
        if found:
            return name.partition("[")[0].strip(), version.strip()
    return text.partition("[")[0], ""
