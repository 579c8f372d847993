"""What tests run in place of ``python -m mcpweb`` is that: the same words, the same ends."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcpweb.testing.served import Served


@pytest.mark.parametrize(("words", "given"), [
    (["--version"], None), (["servres"], None), (["servers", "show", "none", "--json"], None), (["tokens", "create", "--user", "x"], "yes\n"),
])
def test_a_forked_command_says_and_ends_as_one_that_was_started_anew(tmp_path: Path, words: list[str], given: str | None) -> None:
    served = Served(tmp_path)
    said, complaint = served.cli(*words, given=given, code=None), served.stderr
    anew = subprocess.run(
        [sys.executable, "-m", "mcpweb", *words], env=served.environment, cwd=tmp_path, input=given or "", capture_output=True, text=True,
    )
    assert (said, complaint) == (anew.stdout, anew.stderr) and (said or complaint)
    served.cli(*words, given=given, code=anew.returncode)


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        Served(tmp_path).cli("worker", timeout_s=1.0)
