"""The throwaway stack: a network, a cluster, a repository and a service's roles for each scenario, and the deployer.

Run by `cdk --app`. The services are made by the suite, since each scenario wants its own.
"""

from __future__ import annotations

from aws_cdk import App, CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets_of_rules
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs

from infra.deployer import EcsDeploy
from infra.targets import parse
from tests.acceptance import DEPLOYMENT, HOOK, NAME, SCENARIOS, TASK

DETAIL_TYPES = (DEPLOYMENT, HOOK, TASK)


class AcceptanceStack(Stack):
    """All that the suite needs but the services; nothing of it stays but the deployer's table."""

    def __init__(self, app: App) -> None:
        super().__init__(app, NAME, description="The acceptance suite of ecs-deploy: throw it away")
        # Public subnets only: a NAT gateway costs more than all the rest.
        public = ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)
        network = ec2.Vpc(
            self,
            "Network",
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[public],
            restrict_default_security_group=False,
        )
        group = ec2.SecurityGroup(self, "Tasks", vpc=network, description="Nothing in, pulls out")
        cluster = ecs.CfnCluster(self, "Cluster", cluster_name=NAME)
        execution_role = self._role("Execution")
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_DAY, removal_policy=RemovalPolicy.DESTROY
        )
        log_group.grant_write(execution_role)
        for scenario in SCENARIOS:
            repository = ecr.Repository(
                self,
                f"Repository-{scenario}",
                repository_name=repository_of(scenario),
                removal_policy=RemovalPolicy.DESTROY,
                empty_on_delete=True,
            )
            repository.grant_pull(execution_role)
            CfnOutput(self, f"Role{scenario.title().replace('-', '')}", value=self._role(f"Task-{scenario}").role_arn)
        queue = sqs.Queue(self, "Events")
        events.Rule(
            self,
            "Rule",
            event_pattern=events.EventPattern(source=["aws.ecs"], detail_type=list(DETAIL_TYPES)),
            targets=[targets_of_rules.SqsQueue(queue)],
        )
        targets = [
            {"repository": repository_of(each), "tags": ["v*"], "cluster": NAME, "service": each} for each in SCENARIOS
        ]
        deployer = EcsDeploy(self, "Deployer", targets=parse(targets))
        deployer.node.add_dependency(cluster)
        outputs = {
            "Subnets": ",".join(each.subnet_id for each in network.public_subnets),
            "SecurityGroup": group.security_group_id,
            "ExecutionRole": execution_role.role_arn,
            "LogGroup": log_group.log_group_name,
            "EventsUrl": queue.queue_url,
            **deployer.outputs,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)

    def _role(self, name: str) -> iam.Role:
        return iam.Role(self, name, assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))


def repository_of(scenario: str) -> str:
    """Give the name of a scenario's repository."""
    return f"{NAME}/{scenario}"


if __name__ == "__main__":
    app = App()
    AcceptanceStack(app)
    app.synth()
