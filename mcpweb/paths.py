"""Where sql/, templates/ and plugins/ live: beside the package in a checkout, inside it in an installed wheel."""
from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _find(name: str) -> Path:
    inside = PACKAGE / f"_{name}"
    return inside if inside.is_dir() else PACKAGE.parent / name


SQL = _find("sql") / "migrations"
TEMPLATES = _find("templates")
PLUGINS = _find("plugins")
STATIC = PACKAGE / "static"
LOCALE = PACKAGE / "locale"
DOCS = PACKAGE / "docs"
