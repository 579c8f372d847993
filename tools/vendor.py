"""Vendor the front-end files: copy named files out of npm packages, record their hashes, make the icon sprite.

``tools/vendor.py`` fetches with ``npm pack`` into a temporary folder; ``tools/vendor.py --check`` only compares the
files in the tree with the hashes on record, without a network.
"""
from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "mcpweb" / "static"
RECORD = STATIC / "vendor" / "vendor.lock.json"
HTMX = "4.0.1"
LUCIDE = "1.62.0"
FILES = {  # target: (package, file in it, licence)
    f"vendor/htmx-{HTMX}/htmx.min.js": (f"htmx.org@{HTMX}", "dist/htmx.min.js", "0BSD"),
    f"vendor/htmx-{HTMX}/hx-csp.min.js": (f"htmx.org@{HTMX}", "dist/ext/hx-csp.min.js", "0BSD"),
    f"vendor/htmx-{HTMX}/hx-sse.min.js": (f"htmx.org@{HTMX}", "dist/ext/hx-sse.min.js", "0BSD"),
}
ICONS = (
    "server flask-conical list activity settings plug play square rotate-cw trash-2 plus search check x circle-alert "
    "triangle-alert circle-question-mark clock wrench file-text gauge log-out sun moon languages chevron-right download "
    "shield-check package history circle-check circle-x circle-minus circle-dot ban terminal scroll-text "
    "key-round lock eye pencil link copy users upload git-compare keyboard minus store circle-stop arrow-down bookmark-plus "
    "image"
).split()


def main() -> int:
    if "--check" in sys.argv:
        return check()
    with tempfile.TemporaryDirectory() as folder:
        packages = {package: unpack(package, Path(folder)) for package in
                    sorted({package for package, _, _ in FILES.values()} | {f"lucide-static@{LUCIDE}"})}
        record = {}
        for target, (package, name, licence) in FILES.items():
            data = (packages[package] / name).read_bytes()
            write(target, data)
            record[target] = {"package": package, "licence": licence, "sha384": digest(data)}
        data = sprite(packages[f"lucide-static@{LUCIDE}"] / "icons")
        write("icons.svg", data)
        record["icons.svg"] = {"package": f"lucide-static@{LUCIDE}", "licence": "ISC", "sha384": digest(data)}
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return check()


def check() -> int:
    """Compare files and record; 1 and a sentence when they differ."""
    bad = [t for t, facts in json.loads(RECORD.read_text()).items() if digest((STATIC / t).read_bytes()) != facts["sha384"]]
    for target in bad:
        print(f"{target} does not match its recorded hash", file=sys.stderr)
    return 1 if bad else 0


def unpack(package: str, folder: Path) -> Path:
    where = folder / re.sub(r"\W", "-", package)
    where.mkdir()
    subprocess.run(["npm", "pack", "--silent", package], cwd=where, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(where.glob("*.tgz"))) as tar:
        tar.extractall(where, filter="data")
    return where / "package"


def sprite(icons: Path) -> bytes:
    """Return one file of symbols, named as the icons."""
    symbols = []
    for name in sorted(ICONS):
        text = (icons / f"{name}.svg").read_text()
        inner = re.sub(r"\s+", " ", re.search(r"<svg[^>]*>(.*)</svg>", text, re.S)[1]).strip().replace("> <", "><")
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    return ('<svg xmlns="http://www.w3.org/2000/svg">' + "".join(symbols) + "</svg>\n").encode()


def write(target: str, data: bytes) -> None:
    path = STATIC / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha384(data).digest()).decode()


if __name__ == "__main__":
    sys.exit(main())
