"""Who asks, and the knobs of this application."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")



@dataclass(frozen=True)
class Actor:
    """Who asked: a person, a token, the local command line, or the system itself.

    ``name`` is what rows keep (``user:usr_…``, ``token:tok_…``, ``cli:root``, ``system:worker``).
    """

    name: str
    role: Role
    label: str = ""
    session_id: str = ""
    csrf_key: bytes = field(default=b"", repr=False)
    via: Literal["session", "token", "cli", "system"] = "system"
    user_id: str = ""

    @classmethod
    def cli(cls, os_user: str) -> Actor:
        return cls(name=f"cli:{os_user}", role="admin", label=os_user, via="cli")

    @classmethod
    def system(cls, part: str) -> Actor:
        return cls(name=f"system:{part}", role="admin", label=part, via="system")

    def has(self, role: Role) -> bool:
        """Tell whether this actor's role includes ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Setting:
    """A knob of this application. ``secret`` ones also come from ``<NAME>_FILE``."""

    name: str
    default: str
    help: str
    secret: bool = False
