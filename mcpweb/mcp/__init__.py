"""MCP sessions over the official SDK's dispatcher. Imported by the worker and by run children, never by the web."""
