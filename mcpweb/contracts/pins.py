"""What was approved of a server, told apart from everything else by a hash."""
from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from mcpweb.contracts.configuration import Json

PinKind = Literal["tool", "prompt", "resource", "template", "instructions"]


@dataclass(frozen=True)
class Pin:
    """One approved definition, its secrets masked; ``hash`` is of what was received without them: see ``as_pins``."""

    kind: PinKind
    name: str
    hash: str
    definition: Json


def canonical(definition: Json) -> bytes:
    """Return the one spelling of a JSON value: keys sorted, no spaces, UTF-8, numbers as Python's json writes them."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def pin_hash(definition: Json) -> str:
    """Return the SHA-256 of the canonical spelling, in hex."""
    return hashlib.sha256(canonical(definition)).hexdigest()
