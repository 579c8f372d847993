"""Settings are read strictly."""
from __future__ import annotations

from pathlib import Path

import pytest

from mcpweb.errors import SettingsInvalid
from mcpweb.settings import load


def test_defaults_stand_without_any_setting(tmp_path: Path) -> None:
    settings = load({"MCPWEB_DATA_DIR": str(tmp_path / "d")})
    assert settings.bind == "127.0.0.1:8080" and settings.public_url == "http://127.0.0.1:8080"
    assert settings.key_file == tmp_path / "d.keys" / "ring.json" and not settings.secure_cookie


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MCPWEB_DATA_DIRR", "x", "Unknown setting MCPWEB_DATA_DIRR"),
        ("MCPWEB_BIND", "8080", "address:port"),
        ("MCPWEB_BIND", "127.0.0.1:65536", "address:port"),
        ("MCPWEB_WEB_WORKERS", "0", "from 1 to 64"),
        ("MCPWEB_WEB_WORKERS", "65", "from 1 to 64"),
        ("MCPWEB_PUBLIC_URL", "http://example.org", "in the clear"),
        ("MCPWEB_PUBLIC_URL", "https://example.org/path", "http(s)://host"),
        ("MCPWEB_ALLOW_OLD_SQLITE", "yes", "0 or 1"),
        ("MCPWEB_LOG_FORMAT", "xml", "text or json"),
        ("MCPWEB_LOG_LEVEL", "debug", "error or warning or info"),
        ("MCPWEB_BIND_FILE", "x", "not a secret setting"),
        ("MCPWEB_KEY_ENV_FILE", "/nowhere", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load({name: value})
    assert said in caught.value.detail


@pytest.mark.parametrize("url", ["http://localhost:9", "http://127.0.0.1", "http://[::1]:80", "https://example.org"])
def test_urls_that_keep_the_cookie_safe_are_taken(url: str) -> None:
    assert load({"MCPWEB_PUBLIC_URL": url}).public_url == url


def test_a_toml_file_says_the_same_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('web_workers = 3\nbind_roots = ["/a", "/b"]\ntrusted_hosts = ["x.example"]\n')
    settings = load({"MCPWEB_CONFIG": str(file), "MCPWEB_TRUSTED_HOSTS": "y.example"})
    assert settings.web_workers == 3 and [str(p) for p in settings.bind_roots] == ["/a", "/b"]
    assert settings.trusted_hosts == ("y.example",)


def test_a_secret_setting_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("s3cret\n")
    assert load({"MCPWEB_KEY_ENV_FILE": str(tmp_path / "k")})
