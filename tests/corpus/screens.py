"""A server whose every text wants to be more than text: markup, htmx, colours, directions, widths, lengths."""

import json

from framework import Server, ToolFailed, corpus

MARKUP = (
    "\"'><img src=/beacon onerror=\"window.pwned=1\"><script>window.pwned=1</script>"
    '<button hx-get="/beacon" hx-trigger="load" hx-on:click="window.pwned=1">x</button>'
    "<dialog open>pwned</dialog><iframe src=/beacon></iframe></pre></textarea></select></details>{{ 7919*7907 }}"
)
HIDDEN = "a\u202egnp.exe\u2066b\u200b\u200dc\u00add\ufeff \x1b[31mred\x1b[0m \x1b]8;;http://beacon.example\x07link\x1b]8;;\x07 \x9b2J"
LONG = "W" * 10_000
RIGHT = "اختبار \u05d1\u05d3\u05d9\u05e7\u05d4 " * 40
ALL = MARKUP + HIDDEN + RIGHT


@corpus("screens-hostile")
def hostile():
    server = Server(MARKUP, validate=False)
    for name in (MARKUP[:120], HIDDEN, LONG, RIGHT):
        @server.tool(name, ALL + LONG, {
            ALL: {"type": "string", "description": ALL, "default": ALL, "pattern": MARKUP, "format": MARKUP},
            LONG: {"enum": [ALL, LONG, MARKUP], "description": LONG},
            "hx-get": {"type": "array", "items": {"type": "string"}, "default": [ALL, "/beacon"], "description": HIDDEN},
            "shape": {"oneOf": [{"title": ALL, "type": "object", "properties": {ALL: {"type": "integer"}}}, {"title": RIGHT, "type": "string"}]},
        }, read_only=True)
        def tell(arguments, call):
            return {
                "content": [
                    {"type": "text", "text": ALL + "\x00"}, {"type": "text", "text": json.dumps({"k" * 70: ["<b>bold</b>"]})},
                    {"type": "image", "mimeType": "image/svg+xml", "data": "PHN2ZyBvbmxvYWQ9J3dpbmRvdy5wd25lZD0xJy8+"},
                    {"type": MARKUP, "hx-get": "/beacon"}, {"type": "resource_link", "uri": "javascript:window.pwned=1", "name": ALL},
                ],
                "structuredContent": {ALL: {"hx-trigger": "load", "deep": [MARKUP, HIDDEN, LONG]}}, "isError": False,
            }

    @server.tool("fails", MARKUP, {}, read_only=True)
    def fails(arguments, call):
        raise ToolFailed(ALL)

    return server
