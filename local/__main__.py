"""The command line of the local cloud: `python -m local up` and `python -m local push`.

Any Python starts it: what it needs is in the project's environments, which are made first if they are missing.
"""

from __future__ import annotations

import os
import subprocess
import sys

from local.project import INSTALLED, PYTHON, ROOT


def main() -> int:
    """Run in the project's environment, whatever Python this is."""
    if not all(file.exists() for file in INSTALLED):
        made = subprocess.call(["make", "--silent", "setup"], cwd=str(ROOT), stdout=sys.stderr)  # noqa: S607
        if made:
            return made
    if os.path.realpath(sys.prefix) != os.path.realpath(PYTHON.parent.parent):
        os.execv(str(PYTHON), [str(PYTHON), "-m", "local", *sys.argv[1:]])  # noqa: S606
    from local import commands  # noqa: PLC0415 - only the project's environment can import it

    return commands.main()


if __name__ == "__main__":
    sys.exit(main())
