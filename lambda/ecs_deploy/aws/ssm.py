"""The call to the parameters of Systems Manager."""

import boto3

from ecs_deploy.aws.client import ONE_TRY, translating


def put_parameter(name: str, value: str) -> None:
    """Write a parameter, whether it is there already or not. Raises `DeployError`, `AwsUnavailable`.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    with translating():
        boto3.client("ssm", config=ONE_TRY).put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
