"""Property tests draw new examples on a contributor's machine and the same ones in CI, where a run judges a change."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
