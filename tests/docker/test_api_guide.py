"""The guide to the API is a session in a shell; here it is held."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mcpweb.testing.served import Served

pytestmark = pytest.mark.docker
GUIDE = Path(__file__).resolve().parents[2] / "mcpweb" / "docs" / "api.md"


def test_the_guide_does_what_it_says(tmp_path: Path, nothing_left: None) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
    assert len(blocks) >= 6
    served = Served(tmp_path)
    served.cli("users", "add", "ada", "--role", "operator", "--password-stdin", given="seven tall lighthouses\n")
    served.cli("demo")
    served.start()
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env={**served.environment, "URL": served.url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert '"result":7' in done.stdout.replace(" ", "").replace("\\n", "").replace('\\"', '"') and "Changed by a script" in done.stdout
        assert "<testsuite" in (tmp_path / "report.xml").read_text()
    finally:
        served.cli("servers", "remove", "demo", code=None)
        served.stop()
