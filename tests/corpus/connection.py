"""Servers for what every test type needs: a sound one, small, with a bit of everything."""

from framework import Server, ToolFailed, corpus


@corpus("sound")
def sound():
    """Nothing is wrong with it in any family."""
    server = Server("sound", instructions="Adds and greets.")
    number = {"type": "number", "minimum": -1e9, "maximum": 1e9}
    total = {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]}
    hints = {"annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}}

    @server.tool("add", "Add two numbers.", {"a": number, "b": number}, output=total, extra=False, **hints)
    def add(arguments, call):
        value = arguments["a"] + arguments["b"]
        return {"content": [{"type": "text", "text": f'{{"sum": {value}}}'}], "structuredContent": {"sum": value}}

    @server.tool("greet", "Return a greeting for a name.", {"name": {"type": "string", "minLength": 1, "maxLength": 100}},
                 extra=False, **hints)
    def greet(arguments, call):
        if not arguments["name"].strip():
            raise ToolFailed("A name has letters.")
        return f"Good day, {arguments['name']}."

    server.resource("corpus://notes/one", "The first note.", description="A note.")

    @server.prompt("welcome", "Welcome somebody.", [{"name": "who", "description": "Whom to welcome.", "required": True}])
    def welcome(arguments):
        return f"Write a welcome for {arguments['who']}."

    return server
