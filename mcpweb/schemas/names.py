"""Names and image references, as grammars."""
from __future__ import annotations

import re

from mcpweb.errors import FieldError, InvalidInput

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")

# The grammar of github.com/distribution/reference: [domain[:port]/]path[:tag][@digest]
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[a-f0-9]{{64}})?"
)
_IMAGE_ID = re.compile(r"sha256:[a-f0-9]{64}")
LONGEST_IMAGE = 400


def check_name(name: str, pointer: str = "/name") -> None:
    """Raise InvalidInput unless this is a name of a server or configuration."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput(
            "A name begins with a letter or digit and has up to 63 letters, digits, dots, dashes and underscores.",
            errors=[FieldError(pointer, "not a valid name")],
        )


def check_image(image: str, pointer: str = "/image") -> None:
    """Raise InvalidInput unless this is an image reference."""
    fits = isinstance(image, str) and len(image) <= LONGEST_IMAGE
    if not fits or not (IMAGE.fullmatch(image) or _IMAGE_ID.fullmatch(image)):
        raise InvalidInput(
            "This is not an image reference.",
            next_step="Write it as name:tag, host/name:tag or name@sha256:….",
            errors=[FieldError(pointer, "not a valid image reference")],
        )
