"""What an imported text says of one server: a draft that fills a form and decides nothing.

Nothing here holds the value of a secret but ``SecretWanted.given``, which is never written down (``to_json`` leaves it out).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mcpweb.contracts import Sensitive

REASONS: dict[str, str] = {
    "remote": "It is a service elsewhere; there is no container to run.",
    "per_call": "It is started anew for each call; here a server runs until it is stopped.",
    "package": "It is a package, not an image: build an image of it first.",
    "binary": "It is a program for the client's own machine; there is no image.",
    "no_image": "No image is named.",
    "bad_image": "This is not an image reference.",
    "other_runtime": "What starts it is not known here; only images, docker run and packages of npm and PyPI are.",
    "other_package": "Packages of this kind cannot be put into an image from here.",
    "privileged": "It would take every protection away from the container; that cannot be asked for here.",
    "engine_socket": "Who reaches the engine's socket rules this machine; it is never mounted.",
    "host": "It would share a namespace or a device of this machine with the container; that cannot be asked for here.",
    "weaker": "It would take a protection away from the container.",
    "network": "A container gets no network, a port on this machine, or the way out; named networks are not joined.",
    "port": "Ports are published on this machine by mcpweb itself, for http servers.",
    "driver": "Options of volume drivers are not passed on.",
    "not_needed": "mcpweb does this by itself for each container.",
    "limits": "Set it in the limits of the configuration instead.",
    "option": "This option is not known here.",
    "variable_from_outside": "Its value comes from the client's own environment; give it here.",
    "file_outside": "The file lies on the client's machine.",
    "secret_in_text": "A secret is given to the server as a variable only, never inside a command, a path or another value.",
    "allow_hosts": "Single hosts cannot be allowed; the container gets the way out, or none.",
    "extra_hosts": "Names are not added to the container's host file.",
    "oauth": "Signing in for the server through a browser is not done here; give it a token as a secret.",
    "either_or": "Which parameters go together is not checked here.",
    "tool_image": "Tools with images of their own are not run.",
    "template": "This template is not understood; write the value yourself.",
    "mount": "This mount is not understood; add it to the configuration yourself.",
    "user": "This is not a user a container can have.",
    "headers": "Headers are sent to services elsewhere only.",
    "transport": "Only stdio and streamable HTTP are spoken; the older SSE transport is not.",
    "variable": "This is not the name of a variable.",
    "unknown_field": "This field is not known here.",
    "too_much": "There is more of it than a configuration holds.",
    "deleted": "Its publisher took it back.",
    "deprecated": "Its publisher advises against it.",
    "dropped_value": "What is written there looks like a secret; the value was not kept. Give it as a secret.",
}
"""Why something of a text is not carried over; a key stands in ``Lost.code``."""

Kind = Literal["string", "number", "integer", "boolean", "array"]


@dataclass(frozen=True)
class Lost:
    """One thing that is not carried over: where it stands (a JSON pointer or an option) and why (a key of ``REASONS``)."""

    where: str
    code: str

    @property
    def why(self) -> str:
        return REASONS[self.code]


@dataclass(frozen=True)
class Parameter:
    """A value to fill in: ``{{key}}`` in the environment, the command or a mount stands for it."""

    key: str
    type: Kind = "string"
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Variable:
    """A variable of the environment that is no secret."""

    name: str
    value: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class SecretWanted:
    """A secret the server wants under a variable. ``given`` is a value that stood in the text, for the moment of reading it."""

    variable: str
    name: str
    required: bool = True
    description: str = ""
    given: Sensitive | None = field(default=None, compare=False)


@dataclass(frozen=True)
class MountWanted:
    """A folder or volume the text proposes."""

    type: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Draft:
    """What a text says of one server. Command, mounts, user and network are proposals: nobody gets them unasked."""

    key: str
    name: str
    image: str = ""
    why_not: str = ""  # a key of REASONS when there is no image to run
    recipe: str = ""  # a Dockerfile for a package
    title: str = ""
    description: str = ""
    transport: Literal["stdio", "http"] = "stdio"
    port: int | None = None
    path: str = "/mcp"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    mounts: tuple[MountWanted, ...] = ()
    network: str = ""  # "", none or outbound
    variables: tuple[Variable, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    secrets: tuple[SecretWanted, ...] = ()
    tools: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[Lost, ...] = ()

    @property
    def proposals(self) -> tuple[str, ...]:
        """What of it loosens or steers the container and is asked for by name."""
        found = {
            "command": self.command, "entrypoint": self.entrypoint, "user": self.user, "mounts": self.mounts,
            "network": self.network == "outbound",
        }
        return tuple(name for name, value in found.items() if value)

    def to_json(self) -> dict[str, Any]:
        """Return the draft for a file or an answer, without any value of a secret."""
        bare = replace(self, secrets=tuple(replace(one, given=None) for one in self.secrets))
        data = asdict(bare)
        for one in data["secrets"]:
            del one["given"]
        return data | {"about": dict(self.about), "lost": [asdict(one) | {"why": one.why} for one in self.lost]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Draft:
        """Build from what ``to_json`` returned."""
        known = dict(data)
        for name, kind in _INNER.items():
            known[name] = tuple(kind(**{k: _frozen(v) for k, v in one.items() if k != "why"}) for one in known[name])
        return cls(**{name: _frozen(value) for name, value in known.items()})


_INNER: dict[str, Any] = {
    "mounts": MountWanted, "variables": Variable, "parameters": Parameter, "secrets": SecretWanted, "lost": Lost,
}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
