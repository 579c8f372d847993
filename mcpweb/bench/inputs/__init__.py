"""Input for tools, made from their schemas: valid and invalid cases, shrinking, and what is wrong with a schema or value.

All of it is our own, seeded, offline and bounded; a schema comes from a stranger and may be made to hurt. What it makes
is verified before it is handed out, by an evaluator in a process that can be ended (``judge``).
"""
from __future__ import annotations

from mcpweb.bench.inputs.cases import cases, shrink
from mcpweb.bench.inputs.faults import schema_faults, value_faults

__all__ = ["cases", "schema_faults", "shrink", "value_faults"]
