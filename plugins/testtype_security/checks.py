"""What the security test holds a server to. K container, I image, M what is told to a model, D what the server does."""

from __future__ import annotations

from mcpweb.plugin import Check

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
        "Weighs sentences by what was learned from many texts. High only where the order is encoded.",
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
PROBES = (
    Check("D01", "No value becomes part of a command", "critical",
          "Values are sent in every context of a shell; a command that was run has written a number in another base."),
    Check("D02", "No path leads out of where it belongs", "critical",
          "Paths upwards, absolute and encoded; what is read is the container's random name, what is written is looked for."),
    Check("D03", "No value makes the server ask inside its own network", "high",
          "Loopback, metadata and private addresses in every spelling, redirects and names that change their address."),
    Check("D04", "No local file is read through a URL or a document", "critical",
          "file:// in several spellings, after a redirect, and entities of XML."),
    Check("D05", "No value is evaluated as a template or as code", "critical",
          "Templates and expressions of several languages, and objects that run when they are read."),
    Check("D06", "No value becomes part of an SQL statement", "high",
          "Conditions made of the same signs, computed columns, and errors that follow the grammar of SQL."),
    Check("D07", "No secret stands in results, errors and logs", "high",
          "Canaries in the place of every secret and in a variable nobody asked for; known formats of credentials."),
    Check("D08", "No secret is sent anywhere", "critical",
          "Canaries in names, requests and bodies that the sinkhole sees, whole, encoded or in pieces."),
    Check("D09", "Nothing is contacted that nobody asked for", "medium",
          "At start, at the lists and on calls with valid arguments: names, ports and server names of TLS."),
    Check("D10", "Nothing that is returned gives orders to the model or hides anything", "high",
          "Results, errors and resources, and the same call many times: an answer may turn after some calls."),
    Check("D11", "No single call uses up the server", "medium",
          "Packed and nested data, patterns and counts that grow, in a container of their own with bounded memory."),
    Check("D12", "Nothing is written outside of /tmp, and no process is left behind", "medium",
          "A throw-away container with a writable root file system is compared before and after plain use."),
    Check("D13", "Nobody gets what belongs to another", "high",
          "Objects of one identity are asked for by the other; who tests gives both."),
)

CHECKS = (*POSTURE, *IMAGE, *METADATA, *PROBES)
