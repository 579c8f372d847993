"""Start one server of the corpus: ``python3 -u main.py NAME [--http PORT]``. All modules beside this one are loaded."""

import importlib
import pathlib

framework = importlib.import_module("framework")
for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
    if path.stem not in ("main", "framework", "__init__"):
        importlib.import_module(path.stem)

if __name__ == "__main__":
    framework.main()
