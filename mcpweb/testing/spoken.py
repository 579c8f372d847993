"""Holds every answer of ``/api/v1`` against the OpenAPI document: a status, a type or a member it does not tell of is a fault."""
from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

import jsonschema_rs
from flask import Flask, Response, request

from mcpweb.rest import PREFIX
from mcpweb.rest.document import document

_ALWAYS = (404, 405, 500)  # of paths and methods there are none of; 500 is found by whoever looks for it


class Spoken:
    """Listen to an application; ``faults`` are the answers its document does not tell of."""

    def __init__(self, app: Flask) -> None:
        self.faults: list[str] = []
        self.heard = 0
        self._app = app
        self._validators: dict[str, Any] = {}
        app.after_request(self._listen)

    @cached_property
    def _document(self) -> dict[str, Any]:
        """After its first answer an application takes no new routes."""
        return document(self._app)

    def _listen(self, response: Response) -> Response:
        view = self._app.view_functions.get(request.endpoint or "")
        if request.path.startswith(PREFIX + "/") and (view is None or hasattr(view, "told")):
            self.heard += 1
            if fault := self._fault(response):
                self.faults.append(f"{request.method} {request.full_path}: {fault}")
        return response

    def _fault(self, response: Response) -> str:
        rule = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", request.url_rule.rule) if request.url_rule else ""
        told = self._document["paths"].get(rule, {}).get(request.method.lower())
        if request.method in ("HEAD", "OPTIONS") or (told is None and response.status_code in _ALWAYS):
            return ""
        if told is None:
            return "no such operation is told of"
        status = str(response.status_code)
        if status not in told["responses"]:
            return f"{status} is not told of: {response.get_data(as_text=True)[:200]}"
        answer = told["responses"][status]
        if "$ref" in answer:
            answer = self._document["components"]["responses"][status]
        content = answer.get("content")
        if content is None:
            return "a body where none is told of" if response.get_data() else ""
        if response.mimetype not in content:
            return f"{response.mimetype} is not told of"
        media = response.mimetype or ""
        if response.is_streamed or "json" not in media or "ndjson" in media:
            return ""
        return self._unlike(content[response.mimetype]["schema"], response.get_json())

    def _unlike(self, schema: dict[str, Any], value: Any) -> str:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[key] = jsonschema_rs.validator_for(whole)
        for error in self._validators[key].iter_errors(value):
            return f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
        return ""
