"""An environment of its own that sees mcpweb and everything it needs, so that a test can install plugins into it."""
from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment_at(folder: Path) -> Path:
    """Make it and return its Python; pip of the outer environment installs into this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    python = folder / "bin" / "python"
    asked = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], capture_output=True, text=True, check=True)
    Path(asked.stdout.strip(), "outer.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n")
    for command in ("mcpweb", "pytest"):
        (folder / "bin" / command).write_text(f'#!/bin/sh\nexec "{python}" -m {command} "$@"\n')
        (folder / "bin" / command).chmod(0o755)
    return python
