"""The authorizer: what SQL that is not ours may do."""
from __future__ import annotations

from collections.abc import Callable

from mcpweb.db.driver import SQLITE_DENY, SQLITE_OK

# action codes of sqlite3_set_authorizer (sqlite.org/c3ref/c_alter_table.html)
_CREATE_INDEX, _CREATE_TABLE, _CREATE_TRIGGER, _CREATE_VIEW = 1, 2, 7, 8
_TEMPORARY = frozenset({3, 4, 5, 6, 12, 13, 14, 15})
_DELETE, _DROP_INDEX, _DROP_TABLE, _DROP_TRIGGER, _DROP_VIEW = 9, 10, 11, 16, 17
_INSERT, _PRAGMA, _READ, _TRANSACTION, _UPDATE, _ATTACH, _DETACH, _ALTER = 18, 19, 20, 22, 23, 24, 25, 26
_CREATE_VTABLE, _DROP_VTABLE, _SAVEPOINT = 29, 30, 32

_NOBODYS = frozenset({_TRANSACTION, _ATTACH, _DETACH, _SAVEPOINT})  # the runner brings the transaction
_NAMES_FIRST = frozenset({_CREATE_TABLE, _CREATE_VIEW, _DROP_TABLE, _DROP_VIEW, _DELETE, _INSERT, _UPDATE})
_NAMES_BOTH = frozenset({_CREATE_INDEX, _CREATE_TRIGGER, _DROP_INDEX, _DROP_TRIGGER})  # the thing, and its table
_SECRET = frozenset({
    "secrets", "encryption_keys", "encryption_key_versions", "configuration_secrets", "users", "sessions", "tokens",
    "setup_tokens", "audit_log", "migrations",
})
Authorizer = Callable[..., int]


def guard(plugin: str = "") -> Authorizer:
    """Return an authorizer that denies transactions and attached files.

    With a plugin's name it also keeps writes and schema changes to tables named ``p_<plugin>_…``, reads to these and to
    tables that hold nothing secret, and denies pragmas, temporary and virtual tables.
    """
    prefix = f"p_{plugin}_"

    def own(name: str | None) -> bool:
        return (name or "").lower().startswith((prefix, f"sqlite_autoindex_{prefix}"))

    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in _NOBODYS:
            return SQLITE_DENY
        if not plugin:
            return SQLITE_OK
        if action in _TEMPORARY or action in (_PRAGMA, _CREATE_VTABLE, _DROP_VTABLE):
            return SQLITE_DENY
        if action in _NAMES_FIRST and not own(first) and (first or "") not in ("sqlite_master", "sqlite_sequence"):
            return SQLITE_DENY
        if action in _NAMES_BOTH and not (own(first) and own(second)):
            return SQLITE_DENY
        if action == _ALTER and not own(second):
            return SQLITE_DENY
        if action == _READ and (first or "").lower() in _SECRET:
            return SQLITE_DENY
        return SQLITE_OK

    return authorize
