"""The CDK app: the targets of `cdk.json`, the stack that serves them, the checks it has to pass."""

from __future__ import annotations

import sys

from aws_cdk import App

from infra import checks, targets
from infra.context import InvalidContext, log_level, notify
from infra.stack import EcsDeployStack


def main() -> None:
    """Synthesize, or say what is wrong with `cdk.json`."""
    app = App()
    try:
        EcsDeployStack(
            app,
            targets=targets.parse(app.node.try_get_context("targets")),
            log_level=log_level(app.node.try_get_context("logLevel")),
            notify=notify(app.node.try_get_context("notify")),
        )
    except InvalidContext as error:
        sys.exit(str(error))
    checks.enforce(app)
    app.synth()


if __name__ == "__main__":
    main()
