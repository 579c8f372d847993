"""What the security test holds a server to. K container, I image, M what is told to a model, D what the server does."""

from __future__ import annotations

from mcpweb.plugin import Check

from .probes import CHECKS as PROBES

POSTURE = (
    Check(
        "K01",
        "The container has no privileges beyond a plain process",
        "high",
        "Fails for privileged mode, for added capabilities, and where not all capabilities are dropped.",
    ),
    Check("K02", "The container reaches neither the engine nor a sensitive place of the host", "critical"),
    Check("K03", "The container shares no namespace and no device of the host", "high"),
    Check(
        "K04", "The kernel's guards are on", "high", "seccomp, AppArmor, no-new-privileges, hidden and read-only parts of /proc."
    ),
    Check("K05", "Read-only root and limits", "medium"),
    Check("K06", "Not reachable from other machines, not started by itself", "high"),
    Check(
        "K07",
        "The container is as its configuration says",
        "high",
        "Compares inspect with the stored configuration, field by field.",
    ),
)
IMAGE = (
    Check(
        "I01",
        "The image runs as an ordinary user and holds no secret",
        "high",
        "Root, setuid and setgid files, secrets in variables, in the steps that made it and in every layer, removed or not.",
    ),
    Check(
        "I02",
        "The image tells what it is made of and is maintained",
        "medium",
        "Lists its packages as CycloneDX; fails for a system without security updates, or without any list.",
    ),
)
METADATA = (
    Check(
        "M01",
        "No description gives orders to a model",
        "medium",
        "Weighs who is told, to do what, to what, and what is to be kept quiet. High only where the order is encoded.",
    ),
    Check(
        "M02",
        "No text holds what cannot be seen",
        "high",
        "Invisible and tag characters, selectors, direction overrides, terminal sequences, comments, look-alike letters.",
    ),
    Check(
        "M03",
        "No other text gives orders to a model",
        "medium",
        "Every string of the raw definitions: names, enums, defaults, examples, unknown keys, instructions, prompts, resources.",
    ),
    Check(
        "M04",
        "No tool takes the place of another server's",
        "high",
        "Same and confusable names, and texts about another server's tools.",
    ),
    Check(
        "M05",
        "What is served is what was approved, and stays so",
        "high",
        "Compared with the pins, from list to list, after calls, and in a second container with another clock.",
    ),
    Check("M06", "Strangers' text, private data and a way out do not meet", "medium", "Over all servers of this installation."),
    Check(
        "M07",
        "Parameters are no wider than they need to be",
        "medium",
        "Free text that is run or reaches things; secrets as arguments.",
    ),
    Check("M08", "Annotations are there and do not contradict the tool", "medium"),
    Check(
        "M09",
        "No parameter asks for what is the model's own",
        "high",
        "System prompt, conversation, reasoning, model, other tools.",
    ),
    Check("M10", "No text wants its tool to be chosen over others", "medium"),
    Check(
        "M11",
        "No schema is a burden to whoever reads it",
        "medium",
        "Depth, branches, regexes that hang, references that fetch, icons.",
    ),
)

CHECKS = (*POSTURE, *IMAGE, *METADATA, *PROBES)
