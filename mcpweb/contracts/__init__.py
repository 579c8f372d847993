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
    Pending,
    TestContext,
    TestSession,
    TestType,
    Watch,
)
from mcpweb.contracts.configuration import (
    ConfigData,
    Json,
    Limits,
    Mount,
)
from mcpweb.contracts.material import (
    FileChange,
    Frame,
    ImageFile,
    InputCase,
    Load,
    Neighbour,
    SavedCase,
    Timed,
    is_interesting,
)
from mcpweb.contracts.pages import (
    Link,
    Panel,
)
from mcpweb.contracts.pins import (
    Pin,
    PinKind,
    canonical,
    pin_hash,
)
from mcpweb.contracts.runtime import (
    ContainerIntent,
    ContainerState,
    ImageFacts,
    Launched,
    Planted,
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
from mcpweb.contracts.verdicts import (
    SEVERITIES,
    Check,
    CheckResult,
    Confidence,
    Severity,
    TestOutcome,
    Verdict,
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
    "FileChange",
    "Frame",
    "ImageFacts",
    "ImageFile",
    "InputCase",
    "Json",
    "KeySource",
    "KeySourceHealth",
    "Launched",
    "Limits",
    "Link",
    "Load",
    "Mount",
    "Neighbour",
    "Panel",
    "Pending",
    "Pin",
    "PinKind",
    "Planted",
    "Progress",
    "Role",
    "Runtime",
    "RuntimeEvent",
    "RuntimeHealth",
    "SavedCase",
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
    "Timed",
    "Verdict",
    "Watch",
    "Wrapped",
    "canonical",
    "is_interesting",
    "pin_hash",
    "variable_fault",
]
