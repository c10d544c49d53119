"""The CDK app: the targets of `cdk.json`, the stack that serves them, the checks it has to pass.

With the context key `forwardTo` it is the forwarder alone, for the account of a registry.
"""

from __future__ import annotations

import sys

from aws_cdk import App

from infra import checks, targets
from infra.context import InvalidContext, discovery, log_level, notify, registries
from infra.forwarder import ForwarderStack, bus
from infra.stack import EcsDeployStack


def main() -> None:
    """Synthesize, or say what is wrong with `cdk.json`."""
    app = App()
    context = app.node.try_get_context
    try:
        if forward_to := context("forwardTo"):
            ForwarderStack(app, to=bus(forward_to))
        else:
            listed, discovered = registries(context("registries")), discovery(context("discovery"))
            EcsDeployStack(
                app,
                targets=targets.parse(context("targets"), listed, may_be_empty=discovered is not None),
                log_level=log_level(context("logLevel")),
                notify=notify(context("notify")),
                discovery=discovered,
                registries=listed,
            )
    except InvalidContext as error:
        sys.exit(str(error))
    checks.enforce(app)
    app.synth()


if __name__ == "__main__":
    main()
