"""Use cases: authorise, open one transaction, write, audit, then announce. No HTTP, no Docker, no MCP SDK."""
