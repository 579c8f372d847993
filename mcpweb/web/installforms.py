"""The form of a draft: what it shows first, what was typed, and what that answers."""
from __future__ import annotations

from typing import Any

from werkzeug.datastructures import MultiDict

from mcpweb.catalogs import Draft
from mcpweb.catalogs.templates import PLACE
from mcpweb.contracts import Sensitive
from mcpweb.errors import FieldError, InvalidInput
from mcpweb.services.imports import PROPOSALS, Answers, SecretAnswer

USES = ("value", "later", "none")


def first(draft: Draft) -> dict[str, Any]:
    """Return what the fields show before anybody typed: what the text says, a secret only if it was in the text itself."""
    fields: dict[str, Any] = {
        "name": draft.name, "image": draft.image, "description": (draft.title or draft.description)[:500],
        "transport": draft.transport, "port": draft.port or "", "path": draft.path, "delivery": "stdin",
        "pull": "" if draft.recipe else "on",
    }
    fields |= {f"value:{one.key}": one.default for one in draft.parameters}
    fields |= {f"env:{one.name}": one.value for one in draft.variables}
    for one in draft.secrets:
        fields[f"use:{one.variable}"] = "value" if one.given or one.required else "none"
        fields[f"secret:{one.variable}"] = one.given.reveal() if one.given else ""
    return fields


def given(draft: Draft, form: MultiDict[str, str]) -> dict[str, Any]:
    """Return posted fields as the form shows them again; values of secrets are typed anew."""
    return {name: text for name, text in form.items() if not name.startswith("secret:")} | {"accept": form.getlist("accept")}


def answers(draft: Draft, form: MultiDict[str, str]) -> Answers:
    """Return what was decided. Raises InvalidInput for what is no number and for variables nobody can read."""
    port = form.get("port", "").strip()
    if port and not (port.isascii() and port.isdigit() and len(port) < 6):
        raise InvalidInput("This is not a whole number.", errors=[FieldError("/port", "a whole number")])
    secrets = {one.variable: answer for one in draft.secrets if (answer := _secret(one.variable, form)) is not None}
    environment: dict[str, str] = {}
    for one in draft.variables:
        text = form.get(f"env:{one.name}", "")
        if form.get(f"keep:{one.name}") and text:
            secrets[one.name] = SecretAnswer(Sensitive(text), delivery=form.get("delivery", "stdin"))
        else:
            environment[one.name] = text
    for line in form.get("more", "").replace("\r", "").split("\n"):
        if line.strip():
            name, equals, text = line.strip().partition("=")
            if not equals:
                raise InvalidInput("A variable is written NAME=VALUE.", errors=[FieldError("/more", "NAME=VALUE")])
            environment[name] = text
    return Answers(
        name=form.get("name", "").strip(), image=form.get("image", "").strip(),
        description=form.get("description", "").strip()[:500], transport=form.get("transport", "stdio"),
        port=int(port) if port else None, path=form.get("path", "").strip() or "/mcp",
        values={one.key: form.get(f"value:{one.key}", "").replace("\r", "") for one in draft.parameters}, environment=environment,
        secrets=secrets, accept=frozenset(form.getlist("accept")) & set(PROPOSALS), writable="writable" in form,
    )


def _secret(variable: str, form: MultiDict[str, str]) -> SecretAnswer | None:
    use, delivery = form.get(f"use:{variable}", "value"), form.get("delivery", "stdin")
    if use == "none":
        return None
    if use not in USES:
        return SecretAnswer(secret_id=use, delivery=delivery)
    text = form.get(f"secret:{variable}", "")
    if use == "value" and not text:
        raise InvalidInput(
            "A secret has no value.", next_step="Type it, choose another secret, or fill it in later.",
            errors=[FieldError(f"/secrets/{variable}", "missing")],
        )
    return SecretAnswer(Sensitive(text) if use == "value" else None, delivery=delivery)


__all__ = ["PLACE", "USES", "answers", "first", "given"]
