"""``python -m mcpweb`` is the command line."""
from mcpweb.cli import main

if __name__ == "__main__":  # a run child imports this module without running it
    main()
