"""A function as Lambda runs it: started cold by its first event, then kept: `python -m tests.bench.function MODULE`.

Events come as lines of JSON, and answers go back as lines of JSON. What the handler logs goes to standard error. CPU
seconds are counted, so next to nothing is imported here that a function does not import.
"""

import importlib
import json
import os
import sys
from types import SimpleNamespace

from tests.support.ecs_model import ACCOUNT, REGION


def main(module: str) -> None:
    """Answer events until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    handler = importlib.import_module(module).handler
    for number, line in enumerate(sys.stdin):
        context = SimpleNamespace(
            aws_request_id=str(number),
            function_name=module,
            memory_limit_in_mb=1769,
            invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{module}",
            get_remaining_time_in_millis=lambda: 60_000,
        )
        answers.write(json.dumps(handler(json.loads(line), context)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
