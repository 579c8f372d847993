"""What the security test holds a server to. K container, I image, M what is told to a model, D what the server does."""
from __future__ import annotations

from mcpweb.plugin import Check

from .probes import CHECKS as PROBES

POSTURE = (
    Check("K01", "The container has no privileges beyond a plain process", "high",
          "Fails for privileged mode and added capabilities, and where not all capabilities are dropped."),
)
IMAGE: tuple[Check, ...] = ()
METADATA: tuple[Check, ...] = ()

CHECKS = (*POSTURE, *IMAGE, *METADATA, *PROBES)
