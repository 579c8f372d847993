"""Each event as one JSON log line: the smallest useful plugin, copy it first."""
import dataclasses
import json
import logging

from mcpweb.plugin import Event, hookimpl

mcpweb_api = 1


@hookimpl
def mcpweb_track_event(event: Event) -> None:
    log = logging.getLogger("mcpweb.events")
    if log.isEnabledFor(logging.INFO):
        log.info(json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)}))
