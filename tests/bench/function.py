"""A function as Lambda runs it: started cold by its first event, then kept: `python -m tests.bench.function MODULE`.

Events come as lines of JSON, and answers go back as lines of JSON. What the handler logs goes to standard error.
"""

import importlib
import json
import os
import sys

from tests.support.execution import Context


def main(module: str) -> None:
    """Answer events until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    handler = importlib.import_module(f"ecs_deploy.{module}").handler
    for line in sys.stdin:
        answers.write(json.dumps(handler(json.loads(line), Context())) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
