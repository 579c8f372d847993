"""Image references: what is one, and what to say when the image is not here."""
from __future__ import annotations

import re

from mcpweb.plugin import ImageMissing

PULLABLE = re.compile(
    r"(?P<repository>[a-zA-Z0-9][a-zA-Z0-9._-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
LOCAL_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}")


def check(reference: str) -> str:
    """Return a reference or local id that is safe to send. Raises ImageMissing for anything else."""
    if not (PULLABLE.fullmatch(reference) or LOCAL_ID.fullmatch(reference)):
        raise ImageMissing(f"{reference[:200]!r} is not an image reference.", next_step="Correct the reference.")
    return reference


def missing(reference: str) -> ImageMissing:
    """Return the failure for an image that is not on this machine."""
    return ImageMissing(f"The image {reference} is not on this machine.", next_step="Pull it first.")
