"""The stack under app.py: the construct, and its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Stack

from infra.deployer import EcsDeploy
from infra.dispatch import Registries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.context import Discovery, LogLevel, Notify
    from infra.targets import Target


class EcsDeployStack(Stack):
    """The stack of cdk.json; account and region are those of whoever deploys it."""

    def __init__(
        self,
        scope: Construct,
        *,
        targets: Sequence[Target],
        log_level: LogLevel,
        notify: Notify | None,
        discovery: Discovery | None = None,
        registries: Sequence[str] = (),
    ) -> None:
        super().__init__(
            scope, "EcsDeploy", description="ecs-deploy: push an image to ECR, and the ECS services that use it run it"
        )
        # An id of `Default` is not part of the names of resources.
        made = EcsDeploy(
            self,
            "Default",
            targets=targets,
            log_level=log_level,
            notify=notify,
            discovery=discovery,
            registries=Registries.listed(registries),
        )
        for name, value in made.outputs.items():
            CfnOutput(self, name, value=value)
