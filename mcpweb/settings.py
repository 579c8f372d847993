"""The knobs of this application: one table, read from ``MCPWEB_*`` and, where set, a TOML file.

A secret setting may be given as ``<NAME>_FILE`` instead. Unknown ``MCPWEB_*`` names are errors, because a typing
mistake in a security setting must not pass silently; names of a plugin that is not loaded are warnings.
"""
from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from mcpweb.contracts import Sensitive, Setting
from mcpweb.errors import SettingsInvalid
from mcpweb.keyinput import DESCRIPTOR, KeyInput
from mcpweb.logs import FORMATS, LEVELS

PREFIX = "MCPWEB_"
FROM_FILE = "_MCPWEB_FROM_FILE"  # children get all in their environment, and which of it a file said

SETTINGS: tuple[Setting, ...] = (
    Setting("DATA_DIR", "", "Folder of the database, logs and sockets. Default: the user's data folder."),
    Setting("CONFIG", "", "TOML file that may hold these settings in lower case."),
    Setting("BIND", "127.0.0.1:8080", "Address and port the web server listens on."),
    Setting("PUBLIC_URL", "", "URL people use; decides the cookie. Default: http://<BIND>."),
    Setting("TRUSTED_HOSTS", "", "Further host names that are answered, separated by commas."),
    Setting("TRUSTED_PROXIES", "0", "How many reverse proxies in front of us set X-Forwarded-*."),
    Setting("WEB_WORKERS", "2", "Number of web processes."),
    Setting("KEY_FILE", "", "The key ring. Default: <data dir>.keys/ring.json."),
    Setting("KEY_SOURCE", "file", "Key source of new keys: file, credential, environment, passphrase or a plugin's."),
    Setting("KEY_ENV", "", "Key for the key source `environment`.", secret=True),
    Setting("PASSPHRASE_FILE", "", "File with the passphrase for the key source `passphrase`."),
    Setting("BIND_ROOTS", "", "Folders that may be mounted into containers, separated by colons."),
    Setting("PLUGINS_DIR", "", "Folder with a team's own plugins."),
    Setting("PLUGINS_OFF", "", "Plugins that are not loaded, separated by commas."),
    Setting("PLUGINS_ALLOW", "", "If set, only these installed plugins are loaded, separated by commas."),
    Setting("ALLOW_OLD_SQLITE", "0", "1 uses WAL on a SQLite with the WAL-reset bug (before 3.51.3)."),
    Setting("LOG_FORMAT", "", "text or json for the program's own log on standard error. Default: text on a terminal."),
    Setting("LOG_LEVEL", "warning", "error, warning or info (adds requests and events) for the program's own log."),
    Setting("FAILPOINT", "", "For tests: a named place and what happens there."),
    Setting("REQUIRE_DOCKER", "0", "For tests: 1 makes a missing engine a failure."),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Settings:
    """The settings in force; folders are absolute, nothing is created by reading them."""

    data_dir: Path
    bind_host: str
    bind_port: int
    public_url: str
    trusted_hosts: tuple[str, ...] = ()
    trusted_proxies: int = 0
    web_workers: int = 2
    key_file: Path = Path()
    key_source: str = "file"
    bind_roots: tuple[Path, ...] = ()
    plugins_dir: Path | None = None
    plugins_off: frozenset[str] = frozenset()
    plugins_allow: frozenset[str] | None = None
    allow_old_sqlite: bool = False
    log_format: str = ""
    log_level: str = "warning"
    failpoint: str = ""
    docker_host: str = ""
    credentials_dir: Path | None = None
    key_input: KeyInput = field(default_factory=KeyInput, repr=False, compare=False)
    plugin_values: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    from_file: frozenset[str] = field(default_factory=frozenset, repr=False, compare=False)

    def to_environment(self) -> dict[str, str]:
        """Return the environment a child of ours finds these settings in; key material travels by ``key_input``."""
        system = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
        docker = {"DOCKER_HOST": self.docker_host} if self.docker_host else {}
        told = {FROM_FILE: ",".join(sorted(self.from_file))} if self.from_file else {}
        return system | {PREFIX + name: text for name, text in self.given.items()} | docker | told

    def clean(self) -> dict[str, str]:
        """Return the environment without anything of ours: for programs that have no business with it."""
        return {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}

    def source(self, name: str) -> str:
        """Return where a setting comes from: default, file or environment."""
        if name in self.from_file:
            return "file"
        material = name == "KEY_ENV" and self.key_input.get("environment") is not None
        return "environment" if name in self.given or material else "default"

    @property
    def bind(self) -> str:
        host = f"[{self.bind_host}]" if ":" in self.bind_host else self.bind_host
        return f"{host}:{self.bind_port}"

    @property
    def db_path(self) -> Path:
        return self.data_dir / "mcpweb.db"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def run_dir(self) -> Path:
        """Where sockets and locks live."""
        return self.data_dir / "run"

    @property
    def key_dir(self) -> Path:
        """Folder of the key ring, the instance record and the audit checkpoints; outside the data folder."""
        return self.key_file.parent

    @property
    def secure_cookie(self) -> bool:
        return self.public_url.startswith("https://")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises SettingsInvalid with the name and the next step."""
    environ = os.environ if environ is None else environ
    values, warnings, from_file = _collect(environ)

    def value(name: str) -> str:
        return values.get(name, _BY_NAME[name].default)

    data_dir = _folder(value("DATA_DIR")) if value("DATA_DIR") else Path(platformdirs.user_data_dir("mcpweb"))
    host, port = _bind(value("BIND"))
    key_file = _folder(value("KEY_FILE")) if value("KEY_FILE") else _sibling(data_dir)
    bind_url_host = f"[{host}]" if ":" in host else host
    public_url = (value("PUBLIC_URL") or f"http://{bind_url_host}:{port}").rstrip("/")
    _check_public_url(public_url)
    return Settings(
        data_dir=data_dir,
        bind_host=host,
        bind_port=port,
        public_url=public_url,
        trusted_hosts=_words(value("TRUSTED_HOSTS")),
        trusted_proxies=_number("TRUSTED_PROXIES", value("TRUSTED_PROXIES"), 0, 10),
        web_workers=_number("WEB_WORKERS", value("WEB_WORKERS"), 1, 64),
        key_file=key_file,
        key_source=value("KEY_SOURCE"),
        bind_roots=tuple(_folder(part) for part in value("BIND_ROOTS").split(":") if part),
        plugins_dir=_folder(value("PLUGINS_DIR")) if value("PLUGINS_DIR") else None,
        plugins_off=frozenset(_words(value("PLUGINS_OFF"))),
        plugins_allow=frozenset(_words(value("PLUGINS_ALLOW"))) if "PLUGINS_ALLOW" in values else None,
        allow_old_sqlite=_flag("ALLOW_OLD_SQLITE", value("ALLOW_OLD_SQLITE")),
        log_format=_choice("LOG_FORMAT", value("LOG_FORMAT"), ("", *FORMATS)),
        log_level=_choice("LOG_LEVEL", value("LOG_LEVEL"), LEVELS),
        failpoint=value("FAILPOINT"),
        docker_host=environ.get("DOCKER_HOST", ""),
        credentials_dir=Path(environ["CREDENTIALS_DIRECTORY"]) if environ.get("CREDENTIALS_DIRECTORY") else None,
        key_input=_key_input(value("KEY_ENV"), value("PASSPHRASE_FILE"), environ.get(DESCRIPTOR, "")),
        plugin_values={name: text for name, text in values.items() if name.startswith("PLUGIN_")},
        warnings=tuple(warnings),
        given={name: text for name, text in values.items() if name not in ("KEY_ENV", "CONFIG")},
        from_file=from_file,
    )


def _key_input(given: str, passphrase_file: str, descriptor: str) -> KeyInput:
    return KeyInput(
        {"environment": Sensitive(given)} if given else {}, _folder(passphrase_file) if passphrase_file else None,
        int(descriptor) if descriptor else None,
    )


def _collect(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str], frozenset[str]]:
    given = {name[len(PREFIX):]: text for name, text in environ.items() if name.startswith(PREFIX)}
    values: dict[str, str] = {}
    if given.get("CONFIG"):
        values.update(_from_toml(Path(given["CONFIG"])))
        from_file = frozenset(values) - set(given)
    else:
        from_file = frozenset(filter(None, environ.get(FROM_FILE, "").split(",")))
    values.update(given)
    for name in list(values):
        base = name.removesuffix("_FILE")
        if name != base and name not in _BY_NAME and (base in _BY_NAME or base.startswith("PLUGIN_")):
            if base in _BY_NAME and not _BY_NAME[base].secret:
                raise SettingsInvalid(f"{PREFIX}{name}: {base} is not a secret setting.", next_step=f"Set {PREFIX}{base}.")
            try:
                values[base] = Path(values.pop(name)).read_text().removesuffix("\n")
            except OSError as error:
                raise SettingsInvalid(f"{PREFIX}{name} cannot be read: {error.strerror}.") from None
    unknown = sorted(n for n in values if n not in _BY_NAME and not n.startswith("PLUGIN_"))
    if unknown:
        raise SettingsInvalid(
            f"Unknown setting {PREFIX}{unknown[0]}.", next_step="`mcpweb doctor --help` and the README list the names."
        )
    return values, [], from_file


def _from_toml(path: Path) -> dict[str, str]:
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsInvalid(f"MCPWEB_CONFIG names {path}, which cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{path} is not valid TOML: {error}.") from None
    values = {}
    for name, given in data.items():
        if isinstance(given, bool):
            values[name.upper()] = "1" if given else "0"
        elif isinstance(given, list) and all(isinstance(part, str) for part in given):
            values[name.upper()] = (":" if name == "bind_roots" else ",").join(given)
        elif isinstance(given, str | int):
            values[name.upper()] = str(given)
        else:
            raise SettingsInvalid(f"{path}: `{name}` must be a text, a number, true or false, or a list of texts.")
    return values


def _folder(text: str) -> Path:
    return Path(os.path.abspath(Path(text).expanduser()))


def _sibling(data_dir: Path) -> Path:
    return data_dir.with_name(data_dir.name + ".keys") / "ring.json"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def _flag(name: str, text: str) -> bool:
    if text not in ("", "0", "1"):
        raise SettingsInvalid(f"{PREFIX}{name} is 0 or 1, not {text!r}.")
    return text == "1"


def _choice(name: str, text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise SettingsInvalid(f"{PREFIX}{name} is {' or '.join(filter(None, words))}, not {text!r}.")
    return text


def _number(name: str, text: str, low: int, high: int) -> int:
    if not text.isdigit() or not low <= int(text) <= high:
        raise SettingsInvalid(f"{PREFIX}{name} is a number from {low} to {high}, not {text!r}.")
    return int(text)


def _bind(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsInvalid(f"MCPWEB_BIND is address:port, not {text!r}.", next_step="For example 127.0.0.1:8080.")
    return host, int(port)


def _check_public_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise SettingsInvalid(f"MCPWEB_PUBLIC_URL must be http(s)://host[:port], not {url!r}.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsInvalid(
            f"{url} would send the session cookie in the clear.",
            next_step="Put TLS in front and set MCPWEB_PUBLIC_URL=https://…, or bind to 127.0.0.1.",
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine only."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
