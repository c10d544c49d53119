"""Property tests draw new examples on a contributor's machine and the same ones in CI, where a run judges a change.

How long an example takes says nothing: the machine may be busy.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("patient"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "patient")
