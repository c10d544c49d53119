"""The call to the parameters of Systems Manager."""

import boto3
from botocore.exceptions import ClientError, HTTPClientError

from ecs_deploy.aws import ONE_TRY, translated


def put(name: str, value: str) -> None:
    """Write a parameter, whether it is there already or not.

    Raises `AccessDenied`, `AwsUnavailable`, `DeploymentFailed`.
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    try:
        boto3.client("ssm", config=ONE_TRY).put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    except (ClientError, HTTPClientError) as error:
        raise translated(error) from error
