"""``python -m mcpweb`` is the command line."""
from mcpweb.cli import main

main()
