"""What the formats of Docker and of the MCP registry share: values that stand for parameters, commands, wishes for a network."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.catalogs import mounts, names, templates
from mcpweb.catalogs.draft import Draft, Kind, Lost, MountWanted, Parameter, SecretWanted, Variable
from mcpweb.catalogs.nodes import Node
from mcpweb.catalogs.secretlike import secret_value

_NAMED = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_KINDS: dict[str, Kind] = {name: name for name in ("string", "number", "integer", "boolean", "array")}  # type: ignore[misc]


@dataclass
class Sketch:
    """A draft in the making."""

    owner: str
    secrets: dict[str, SecretWanted] = field(default_factory=dict)
    variables: list[Variable] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    mounts: list[MountWanted] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)

    def lose(self, where: str, code: str) -> None:
        self.lost.append(Lost(where[:200], code))

    def secret(self, node: Node, *, variable: str, name: str, required: bool, description: str) -> None:
        """Note a secret that is wanted."""
        if not names.is_variable(variable):
            self.lose(node.pointer, "variable")
            return
        short = names.secret_name(name.rpartition(".")[2] or variable)
        self.secrets[variable] = SecretWanted(variable, short, required, description)

    def variable(self, node: Node, name: str, value: str, *, description: str = "", example: str = "") -> None:
        """Note a variable of the environment; one that hands a secret on becomes that secret."""
        if not names.is_variable(name):
            self.lose(node.pointer, "variable")
            return
        value = templates.normal(value, self.owner)
        whole = value[2:-1] if value.startswith("${") and value.endswith("}") else value[1:] if value.startswith("$") else ""
        if whole and whole in self.secrets:
            if whole != name:
                known = self.secrets.pop(whole)
                self.secrets[name] = SecretWanted(name, known.name, known.required, known.description)
        elif name in self.secrets:
            return
        elif templates.names_outside(value):
            inside = any(f"{{{one}}}" in value or f"${one}" in value for one in self.secrets)
            self.lose(node.pointer, "secret_in_text" if inside else "variable_from_outside")
            self.variables.append(Variable(name, "", description=description))
        elif not templates.understood(value):
            self.lose(node.pointer, "template")
            self.variables.append(Variable(name, "", description=description))
        elif secret_value(name, value):
            self.lose(node.pointer, "dropped_value")
            self.secrets[name] = SecretWanted(name, names.secret_name(name), description=description)
        else:
            about = description or (f"For example {example}" if example else "")
            self.variables.append(Variable(name, value, description=about))

    def volumes(self, nodes: Iterable[Node]) -> None:
        """Note mounts as ``-v`` writes them."""
        for node in nodes:
            made = mounts.volume(templates.normal(node.text(1500), self.owner), node.pointer)
            if isinstance(made, Lost):
                self.lost.append(made)
            else:
                self.mounts.append(made)

    def words(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Return the words of a command without those that would take a secret or something unknown in."""
        kept = []
        values = {one.name: one.value for one in self.variables}
        for node in nodes:
            word = templates.normal(node.text(2000), self.owner)
            if (known := _NAMED.fullmatch(word)) and known[1] in values:  # as a shell would, for what is no secret
                word = values[known[1]]
            if templates.names_outside(word):
                self.lose(node.pointer, "secret_in_text" if any(one in word for one in self.secrets) else "variable_from_outside")
            elif not templates.understood(word):
                self.lose(node.pointer, "template")
            elif secret_value("", word):
                self.lose(node.pointer, "dropped_value")
            else:
                kept.append(word)
        return tuple(kept)

    def user(self, node: Node) -> str:
        found = templates.normal(node.text(200), self.owner)
        if not found or names.USER.fullmatch(found) or (templates.PLACE.fullmatch(found) and templates.understood(found)):
            return found
        self.lose(node.pointer, "user")
        return ""

    def properties(self, schema: Node, *, path: str = "") -> None:
        """Note the parameters of a JSON Schema of an object; objects inside of it by their path."""
        required = {one.text(200) for one in schema.at("required").each()}
        for name, node in schema.at("properties").items():
            key = f"{path}{name}"
            if node.is_mapping and node.has("properties") and path.count(".") < 4:
                self.properties(node, path=f"{key}.")
                continue
            if not node.is_mapping:
                node.wrong("should be a mapping with a type")
                continue
            kind = _KINDS.get(node.at("type").text(40), "string")
            choices = tuple(one.text(500) for one in node.at("enum").each())
            known = self.parameters.get(key)
            self.parameters[key] = Parameter(
                key, kind, name in required or bool(known and known.required), shown(node.at("default")), choices,
                node.at("description", "title").prose(2000),
            )
        for name in ("anyOf", "oneOf", "allOf"):
            if schema.has(name):
                self.lose(f"{schema.pointer}/{name}", "either_or")

    def asked(self, texts: Iterable[str]) -> None:
        """Make a parameter of each template that nothing else explains."""
        for key in templates.keys(texts):
            if key not in self.parameters:
                self.parameters[key] = Parameter(key)

    def finish(self, **fields: Any) -> Draft:
        """Return the draft; templates without a parameter get one."""
        command, user = fields.get("command", ()), fields.get("user", "")
        self.asked([*command, user, *(one.value for one in self.variables)])
        self.asked([text for one in self.mounts for text in (one.source, one.target)])
        more = fields.pop("lost", ())
        return Draft(
            **fields, variables=tuple(self.variables), parameters=tuple(self.parameters.values()), mounts=tuple(self.mounts),
            secrets=tuple(self.secrets.values()), lost=(*self.lost, *more),
        )


def shown(node: Node) -> str:
    """Return a default as a form field holds it: lists line by line."""
    if node.is_list:
        return "\n".join(one.text(1000) for one in node.each())
    if node.is_mapping:
        return json.dumps(node.value, ensure_ascii=False, default=str)[:2000]
    return node.text(4000)
