"""Jobs whose work is done by a process of its own (``mcpweb/apart``): this passes on what it tells."""
from __future__ import annotations

from typing import Any

from mcpweb import apart
from mcpweb.errors import Interrupted
from mcpweb.worker.work import Work


def rotate(work: Work) -> dict[str, Any]:
    """Bring every secret of a key to its active version."""
    try:
        return _apart(work, "rotate", str(work.job.payload["key_id"]))
    except Interrupted:
        raise Interrupted(
            "The rotation was cut off.", next_step="It goes on with `mcpweb keys rotate`, or by itself at the next start."
        ) from None


def verify_keys(work: Work) -> dict[str, Any]:
    """Open every secret once."""
    return _apart(work, "verify_keys")


def verify_audit(work: Work) -> dict[str, Any]:
    """Check the chain, its checkpoints and its triggers."""
    return _apart(work, "verify_audit")


def prune_audit(work: Work) -> dict[str, Any]:
    """Move old rows of the audit log into a segment."""
    return _apart(work, "prune_audit", str(work.job.payload["before"]))


def _apart(work: Work, what: str, *words: str) -> dict[str, Any]:
    return apart.run(work.core.settings, what, work.job.created_by, *words, tell=work.progress)
