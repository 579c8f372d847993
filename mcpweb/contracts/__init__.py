"""The shapes plugins and core exchange: plain data and abstract classes.

Nothing here imports Docker, MCP, Flask or SQLite.
"""
from mcpweb.contracts.actors import (
    ROLES,
    Actor,
    Role,
    Setting,
)
from mcpweb.contracts.bench import (
    SEVERITIES,
    Check,
    CheckResult,
    Confidence,
    Frame,
    Severity,
    TestContext,
    TestOutcome,
    TestSession,
    TestType,
    Verdict,
)
from mcpweb.contracts.configuration import (
    ConfigData,
    Json,
    Limits,
    Mount,
)
from mcpweb.contracts.pages import (
    Link,
    Panel,
)
from mcpweb.contracts.runtime import (
    ContainerIntent,
    ContainerState,
    ImageFacts,
    Launched,
    Progress,
    Runtime,
    RuntimeEvent,
    RuntimeHealth,
    Stats,
)
from mcpweb.contracts.sink import (
    Sink,
    SinkEvent,
    SinkKind,
)
from mcpweb.contracts.vault import (
    Cipher,
    Delivery,
    KeySource,
    KeySourceHealth,
    SecretDelivery,
    Sensitive,
    Wrapped,
    variable_fault,
)

__all__ = [
    "ROLES",
    "SEVERITIES",
    "Actor",
    "Check",
    "CheckResult",
    "Cipher",
    "Confidence",
    "ConfigData",
    "ContainerIntent",
    "ContainerState",
    "Delivery",
    "Frame",
    "ImageFacts",
    "Json",
    "KeySource",
    "KeySourceHealth",
    "Launched",
    "Limits",
    "Link",
    "Mount",
    "Panel",
    "Progress",
    "Role",
    "Runtime",
    "RuntimeEvent",
    "RuntimeHealth",
    "SecretDelivery",
    "Sensitive",
    "Setting",
    "Severity",
    "Sink",
    "SinkEvent",
    "SinkKind",
    "Stats",
    "TestContext",
    "TestOutcome",
    "TestSession",
    "TestType",
    "Verdict",
    "Wrapped",
    "variable_fault",
]
