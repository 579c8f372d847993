"""I02: what packages an image is made of, as a CycloneDX document, and whether its system still gets repairs."""
# ruff: noqa: E501 - one rule a line
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mcpweb.plugin import CheckResult, ImageFile, TestContext, clock

PART = 180  # components in one document: evidence is kept small
# the last day with security updates for everybody, by os-release
_ENDS = {
    ("debian", "9"): "2022-06-30", ("debian", "10"): "2024-06-30", ("debian", "11"): "2026-08-31", ("debian", "12"): "2028-06-30", ("debian", "13"): "2030-06-30",
    ("ubuntu", "16.04"): "2021-04-30", ("ubuntu", "18.04"): "2023-05-31", ("ubuntu", "20.04"): "2025-05-31", ("ubuntu", "22.04"): "2027-06-01",
    ("ubuntu", "24.04"): "2029-05-31", ("alpine", "3.15"): "2023-11-01", ("alpine", "3.16"): "2024-05-23", ("alpine", "3.17"): "2024-11-22",
    ("alpine", "3.18"): "2025-05-09", ("alpine", "3.19"): "2025-11-01", ("alpine", "3.20"): "2026-04-01", ("alpine", "3.21"): "2026-11-01",
    ("alpine", "3.22"): "2027-05-01", ("centos", "7"): "2024-06-30", ("centos", "8"): "2021-12-31", ("fedora", "39"): "2024-11-26",
    ("fedora", "40"): "2025-05-13", ("fedora", "41"): "2025-12-15",
}


@dataclass
class Inventory:
    """Packages by the file that tells of them; a later layer may take the file away or replace it."""

    by_file: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)  # path -> purl -> name, version
    system: dict[str, str] = field(default_factory=dict)

    roots: set[str] = field(default_factory=set)  # folders in which an installer put packages

    def add(self, file: ImageFile) -> bool:
        """Take in a file; tell whether it is one that tells of packages."""
        text = file.data.decode("utf-8", "replace")
        if file.path in ("etc/os-release", "usr/lib/os-release"):
            self.system = dict(re.findall(r'(?m)^([A-Z_]+)="?([^"\n]*)"?$', text)) or self.system
        elif file.path == "var/lib/dpkg/status" or file.path.startswith("var/lib/dpkg/status.d/"):
            self.by_file[file.path] = dict(_dpkg(text, self.system.get("ID", "debian")))
        elif file.path == "lib/apk/db/installed":
            self.by_file[file.path] = dict(_apk(text))
        elif match := re.search(r"[^/]+\.(?:dist-info/(?:METADATA|RECORD)|egg-info(?:/PKG-INFO)?)$", file.path):
            self.roots.add(file.path[:match.start()])
            if not file.path.endswith("RECORD"):
                self.by_file[file.path] = dict(_python(text))
        elif re.search(r"(?:^|/)node_modules/(?:@[^/]+/)?[^/]+/package\.json$", file.path):
            self.by_file[file.path] = dict(_node(text))
        else:
            return False
        return True

    def remove(self, path: str) -> None:
        for one in [one for one in self.by_file if one == path or one.startswith(f"{path}/")]:
            del self.by_file[one]

    @property
    def packages(self) -> dict[str, tuple[str, str, str]]:
        """Name, version and the file that tells, by purl."""
        return {purl: (*pair, path) for path, found in sorted(self.by_file.items()) for purl, pair in sorted(found.items())}


def _dpkg(text: str, system: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for block in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"(?m)^(Package|Version|Architecture|Status):\s*(.+)$", block))
        if fields.get("Package") and fields.get("Version") and "deinstall" not in fields.get("Status", ""):
            name, version = fields["Package"], fields["Version"]
            yield f"pkg:deb/{quote(system)}/{quote(name)}@{quote(version)}?arch={quote(fields.get('Architecture', 'all'))}", (name, version)


def _apk(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for block in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"(?m)^([PVA]):(.+)$", block))
        if "P" in fields and "V" in fields:
            yield f"pkg:apk/alpine/{quote(fields['P'])}@{quote(fields['V'])}?arch={quote(fields.get('A', ''))}", (fields["P"], fields["V"])


def _python(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    fields = dict(re.findall(r"(?m)^(Name|Version):\s*(\S+)", text.partition("\n\n")[0]))
    if "Name" in fields and "Version" in fields:
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        yield f"pkg:pypi/{quote(name)}@{quote(fields['Version'])}", (fields["Name"], fields["Version"])


def _node(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return
    name, version = (told.get("name"), told.get("version")) if isinstance(told, dict) else (None, None)
    if isinstance(name, str) and isinstance(version, str):
        yield f"pkg:npm/{quote(name, safe='/')}@{quote(version)}".replace("@", "%40", 1) if name.startswith("@") else \
            f"pkg:npm/{quote(name)}@{quote(version)}", (name, version)


def check(context: TestContext, inventory: Inventory, fault: str) -> Iterator[CheckResult]:
    """Yield I02: the documents, and what the system's age means. Which packages have known holes is not looked up."""
    packages = list(inventory.packages.items())
    system = (inventory.system.get("ID", ""), inventory.system.get("VERSION_ID", ""))
    release = next((key for key in _ENDS if key[0] == system[0] and (system[1] == key[1] or system[1].startswith(f"{key[1]}."))), None)
    if not packages and not system[0]:
        why = f"Not all of the image could be read: {fault}" if fault else "The image has no list of packages: nobody can tell what it is made of."
        yield CheckResult("I02", "undecided" if fault else "not_applicable", why, evidence={"image": context.image.id})
        return
    if release and clock.now()[:10] > _ENDS[release]:
        yield CheckResult(
            "I02", "fail", f"The system of the image, {inventory.system.get('PRETTY_NAME') or ' '.join(system)}, has had no security updates since {_ENDS[release]}.",
            severity="medium", key="system", evidence={"system": dict(list(inventory.system.items())[:12]), "ends": _ENDS[release]},
            reproduce="Read etc/os-release in the image.", next_step="Ask the author to build on a release that is maintained.",
        )
    kinds: dict[str, int] = {}
    for purl, _ in packages:
        kind = purl.partition(":")[2].partition("/")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    parts = [packages[at:at + PART] for at in range(0, len(packages), PART)] or [[]]
    for number, part in enumerate(parts, 1):
        yield CheckResult(
            "I02", "pass", f"The image holds {len(packages)} packages: {said}." + (f" Part {number} of {len(parts)}." if len(parts) > 1 else "")
            + " Known holes are not looked up.", key=f"sbom/{number}", evidence={"cyclonedx": document(context, part, number), "packages": kinds},
            confidence="firm" if not fault else "tentative",
        )


def document(context: TestContext, part: list[tuple[str, tuple[str, str, str]]], number: int) -> dict[str, Any]:
    """Return a CycloneDX 1.5 document of some packages."""
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": number,
        "metadata": {"component": {"type": "container", "name": context.image.reference, "version": context.image.id[:71]}},
        "components": [{"type": "library", "name": name, "version": version, "purl": purl} for purl, (name, version, _) in part],
    }
