"""Subscriptions of the modern era: a server tells of changed lists to those only who listen."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcpweb.errors import Failure, RpcError

if TYPE_CHECKING:
    from mcpweb.mcp.session import Session

AGAIN_S, SELDOM_S = 1.0, 60.0  # after a subscription that ended, and after many
METHOD_NOT_FOUND = -32601


def lists_that_change(capabilities: Mapping[str, Any]) -> dict[str, bool]:
    """Return what to subscribe to of a server: the lists it announces changes of."""
    offered = {what: capabilities.get(what) for what in ("tools", "resources", "prompts")}
    return {f"{what}ListChanged": True for what, one in offered.items() if isinstance(one, Mapping) and one.get("listChanged")}


async def subscribed(session: Session, wanted: Mapping[str, bool]) -> None:
    """Listen as long as the session lasts; notices reach ``on_lists_changed`` as all others do.

    So does the end of a subscription, because nobody knows what was missed; it is asked for again, ever more seldom. A
    server that does not know the method is not asked twice.
    """
    pause = AGAIN_S
    while session.ended is None:
        began = time.monotonic()
        try:
            await session.ask("subscriptions/listen", {"notifications": dict(wanted)}, None)
        except RpcError as failure:
            if failure.rpc.get("code") == METHOD_NOT_FOUND:
                return
        except Failure:
            return  # the session is over
        if time.monotonic() - began > SELDOM_S:
            pause = AGAIN_S
        await asyncio.sleep(pause)
        pause = min(2 * pause, SELDOM_S)
        session.on_lists_changed()
