"""What the functionality test holds a server to. mcpweb/docs/checks.md says of each what it proves."""

from __future__ import annotations

from mcpweb.plugin import Check

CHECKS = (
    Check(
        "F01",
        "Every message fits the protocol's schema",
        "high",
        "Fails for messages that the agreed revision does not allow; unknown extra fields are fine.",
    ),
    Check(
        "F02",
        "Tools have sound names and a stable list",
        "medium",
        "Fails for names no client takes, names twice, an order that moves, and a list that changes unannounced.",
    ),
    Check(
        "F03",
        "Schemas of tools are usable",
        "medium",
        "Fails for schemas that are invalid, refer to other documents, have no object at the root, or cost too much.",
    ),
    Check(
        "F04",
        "Lists can be walked to their end",
        "medium",
        "Fails for cursors that lead in circles, and for invented ones that work.",
    ),
    Check("F05", "Results say their type and how long they keep", "medium", "Modern era only: resultType, ttlMs, cacheScope."),
    Check("F06", "Valid input works", "high", "Fails when input the schema allows crashes, hangs or is refused as invalid."),
    Check(
        "F07", "Invalid input is refused", "high", "Fails when input the schema forbids is accepted, crashes or hangs the server."
    ),
    Check(
        "F08",
        "Errors say who failed",
        "medium",
        "An unknown tool is a protocol error, a tool that fails is a result with isError.",
    ),
    Check(
        "F09",
        "Structured results fit their schema",
        "high",
        "Fails when structuredContent is missing, wrong, or not what the text says.",
    ),
    Check(
        "F10", "Content is what it is called", "low", "Fails for broken base64, a type that its bytes are not, and relative URIs."
    ),
    Check(
        "F11",
        "Tools do what their annotations say",
        "high",
        "Read-only, idempotent, not destructive, closed world: seen in a container.",
    ),
    Check("F12", "A cancelled call ends", "medium", "Fails when a result comes all the same, or the session does not survive."),
    Check("F13", "Progress and logs come only when asked for", "low"),
    Check("F14", "Ping is answered", "low", "In the handshake era; the modern one has no ping."),
    Check("F15", "Resources can be read", "medium", "Fails for listed ones that cannot be read, and for absent ones that can."),
    Check("F16", "Prompts ask for their arguments", "low"),
    Check(
        "F17",
        "More input is asked for as agreed",
        "high",
        "Only what the client declared, and no state but its own is taken back.",
    ),
    Check("F18", "Subscriptions are acknowledged and marked", "low", "Modern era only."),
    Check("F19", "Calls at the same time do not mix", "high", "Fails when an answer belongs to another call, or comes twice."),
    Check("F20", "Large messages arrive whole", "medium", "Fails when 1 MB or 10 MB end the server or are cut in silence."),
    Check("F21", "Saved cases hold", "high", "Fails when an assertion of a saved case does not hold."),
)
