"""Buckets in the database, so that all processes together allow what one may."""
from __future__ import annotations

from mcpweb.core import Core
from mcpweb.dao import accounts
from mcpweb.errors import TooManyRequests

# per minute and at once; a password that was right gives back what it took
BY_ADDRESS, BY_NAME = (20, 20), (6, 8)


def throttle(core: Core, bucket: str, *, per_minute: float, burst: float) -> None:
    """Take one token from a bucket that all processes share. Raises TooManyRequests with the time to wait."""
    with core.db.writing() as conn:
        wait = accounts.take(conn, bucket, per_minute=per_minute, burst=burst)
    if wait > 0:
        raise TooManyRequests("That was too often.", next_step=f"Wait {int(wait) + 1} s.", retry_after=int(wait) + 1)


def of_name(name: str) -> str:
    """Return the bucket of everything that takes the password of this user name."""
    return f"sign-in:user:{name.casefold()[:64]}"


def passwords_of(core: Core, name: str) -> str:
    """Take one try at the password of a user, before it is hashed; return the bucket. Raises TooManyRequests."""
    bucket = of_name(name)
    throttle(core, bucket, per_minute=BY_NAME[0], burst=BY_NAME[1])
    return bucket
