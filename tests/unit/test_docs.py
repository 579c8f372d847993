"""Documentation is held against what it documents."""
from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest

from mcpweb.cli import COMMANDS, cli
from mcpweb.cli.docs import hooks_markdown
from mcpweb.hookspecs import Specs
from mcpweb.settings import PREFIX, SETTINGS

ROOT = Path(__file__).resolve().parents[2]


def test_the_hook_reference_equals_the_specs() -> None:
    assert (ROOT / "mcpweb" / "docs" / "hooks.md").read_text() == hooks_markdown(), "run `mcpweb docs hooks`"


@pytest.mark.parametrize("name", [name for name in vars(Specs) if name.startswith("mcpweb_")])
def test_each_hook_promises_in_words_and_has_somebody_who_uses_it(name: str) -> None:
    assert len((inspect.getdoc(getattr(Specs, name)) or "").split("\n\n")) >= 2
    users = [f for folder in ("plugins", "mcpweb", "tests") for f in (ROOT / folder).rglob("*.py")
             if f.name != "hookspecs.py" and f"def {name}(" in f.read_text()]
    assert users, f"nothing implements {name}"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_each_setting_is_explained_in_the_readme(setting) -> None:  # type: ignore[no-untyped-def]
    assert setting.help and f"`{PREFIX}{setting.name}`" in (ROOT / "README.md").read_text()


def _commands(group: click.Group, path: str = "mcpweb") -> list[tuple[str, click.Command]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((f"{path} {name}", command))
        if isinstance(command, click.Group):
            found += _commands(command, f"{path} {name}")
    return found


def test_every_command_has_help() -> None:
    assert set(COMMANDS) == set(cli.list_commands(click.Context(cli)))
    for path, command in _commands(cli):
        assert command.help, path


def test_every_partial_is_used() -> None:
    templates = list((ROOT / "templates").rglob("*.html"))
    code = "".join(f.read_text() for f in [*templates, *(ROOT / "mcpweb").rglob("*.py")])
    for template in templates:
        name = template.relative_to(ROOT / "templates").as_posix()
        page = name.replace("/_", "/")
        used = name in code or page in code or re.sub(r"/_?\w+\.html", "", name) + "/" in code
        assert used, name


DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "mcpweb" / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_every_file_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", text):
        assert (document.parent / target).exists(), target
    for name in re.findall(r"`((?:mcpweb|plugins|templates|tests|tools|sql|deploy|examples|benchmarks)/[\w./-]+)", text):
        assert (ROOT / name).exists(), name


def test_every_document_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        document = ahead.pop()
        if document not in seen and document.suffix == ".md":
            seen.add(document)
            ahead += [(document.parent / one).resolve() for one in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())]
    assert not {path.name for path in DOCUMENTS} - {path.name for path in seen}
