"""``python -m tests.docker.images [--remove]``"""
from __future__ import annotations

import sys
import time

from tests.docker.engine import api
from tests.docker.images import LABEL, RECIPES, build_image

if "--remove" in sys.argv:
    client = api()
    for image in client.images(filters={"label": f"{LABEL}=1"}):
        for tag in image["RepoTags"] or [image["Id"]]:
            client.remove_image(tag)
            print(f"removed {tag}")
else:
    for name in RECIPES:
        started = time.monotonic()
        print(f"{build_image(name)}  {time.monotonic() - started:.1f} s", flush=True)
