"""Accounts, roles, sessions and API tokens; single sign-on would stand in front of it."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import Actor, accounts_authenticate, hookimpl, role_allows

if TYPE_CHECKING:
    from mcpweb.core import Core

mcpweb_api = 1


@hookimpl(trylast=True)
def mcpweb_authenticate(request: Any, core: Core) -> Actor | None:
    return accounts_authenticate(core, request.headers.get("Authorization"), request.cookies)


@hookimpl
def mcpweb_authorize(actor: Actor, action: str, resource: Mapping[str, Any]) -> bool | None:
    return True if role_allows(actor, action) else None
