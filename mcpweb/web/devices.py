"""What a session's browser and place are called."""
from __future__ import annotations

import ipaddress

from flask import Flask

from mcpweb.web.language import _

# the first that is found wins: each later browser names the earlier ones, too
_BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("Vivaldi", "Vivaldi"), ("SamsungBrowser", "Samsung Internet"), ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("HeadlessChrome", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
    ("curl/", "curl"), ("Wget/", "Wget"), ("python", "Python"),
)
_SYSTEMS = (
    ("Windows", "Windows"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"), ("Macintosh", "macOS"), ("Linux", "Linux"), ("BSD", "BSD"),
)


def device(user_agent: str) -> str:
    """Return a browser's own description in a word or two; never more of it than we know by name."""
    browser = next((name for mark, name in _BROWSERS if mark.lower() in user_agent.lower()), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("an unknown device")


def place(ip: str) -> str:
    """Return where an address is: this machine, or the address itself."""
    try:
        here = ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return "–"
    return _("this machine") if here else ip


def install(app: Flask) -> None:
    """Give templates both as filters."""
    app.jinja_env.filters.update(device=device, place=place)
