"""Each view names its permission; a view without one is not served."""
from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

View = TypeVar("View", bound=Callable[..., object])

PUBLIC = "public"


def permission(name: str) -> Callable[[View], View]:
    """Tag a view with the permission it needs; ``public`` needs nobody signed in."""

    def tag(view: View) -> View:
        view.permission = name  # type: ignore[attr-defined]
        return view

    return tag


def permission_of(view: object) -> str | None:
    """Return the tag of a view, None when it has none."""
    found = getattr(view, "permission", None)
    if found is None:
        found = getattr(getattr(view, "view_class", None), "permission", None)
    return found
