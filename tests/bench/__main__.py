"""`make bench`."""

import sys

from tests.bench import startup

sys.exit(startup.main())
