"""``mcpweb docs …``"""
from __future__ import annotations

import inspect

import click

from mcpweb.hookspecs import API_VERSION, Specs


@click.group()
def docs() -> None:
    """Reference of hooks."""


@docs.command()
def hooks() -> None:
    """Print every hook with its promise, as Markdown (kept in mcpweb/docs/hooks.md)."""
    click.echo(hooks_markdown(), nl=False)


def hooks_markdown() -> str:
    """Return the hook reference, made from the specs."""
    parts = [f"# Hooks\n\nPlugin API {API_VERSION}. Import from `mcpweb.plugin` only.\n"]
    for name, function in vars(Specs).items():
        if not name.startswith("mcpweb_"):
            continue
        signature = inspect.signature(function)
        names = [parameter for parameter in signature.parameters if parameter != "self"]
        first = " (first result wins)" if function.mcpweb_spec.get("firstresult") else ""
        parts.append(
            f"## `{name}({', '.join(names)})`\n\nReturns `{signature.return_annotation}`{first}.\n\n"
            f"{inspect.getdoc(function)}\n"
        )
    return "\n".join(parts)
