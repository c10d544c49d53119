"""AWS's quotas on requests, for an account in a region: token buckets by category of actions.

ECS refills a bucket every second, and refuses what finds it empty:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html

Of the others that the deployer asks, ECR tells no rate for DescribeImages, a rate for GetLogEvents is only of interest
where deployments fail, and the queue takes as many messages as there are:
https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html

DynamoDB counts units of a size and no requests. A new table on demand takes 12,000 units of reads and 4,000 of writes a
second: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
A consistent read of a state is one or two of them, and a transaction that writes a state and an entry less than 20.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.aws_error import AwsError


@dataclass(frozen=True)
class Quota:
    """What a category of actions may be asked at once (`burst`), and for every second after that (`rate`)."""

    burst: int
    rate: int

    def seconds_until(self, count: int) -> float:
        """When the bucket has given `count` tokens, at the earliest; it is full in the beginning."""
        return max(0, count - self.burst) / self.rate


DEFINITION_WRITES = Quota(20, 1)
DEFINITION_READS = Quota(50, 20)
SERVICE_WRITES = Quota(50, 5)
SERVICE_READS = Quota(100, 20)
CLUSTER_RESOURCE_READS = Quota(100, 20)
SERVICE_DEPLOYMENT_READS = Quota(50, 20)
SERVICE_REVISION_READS = Quota(50, 20)
# In the smaller regions: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STARTED_EXECUTIONS = Quota(800, 150)
EXECUTION_READS = Quota(250, 10)
TABLE_READS = Quota(6_000, 6_000)
TABLE_WRITES = Quota(200, 200)
UNLIMITED = Quota(10**9, 10**9)

# Actions with the same quota share its bucket.
CATEGORIES = {
    "RegisterTaskDefinition": ("definition writes", DEFINITION_WRITES),
    "DeregisterTaskDefinition": ("definition writes", DEFINITION_WRITES),
    "DescribeTaskDefinition": ("definition reads", DEFINITION_READS),
    "ListTaskDefinitions": ("definition reads", DEFINITION_READS),
    "UpdateService": ("service writes", SERVICE_WRITES),
    "DescribeServices": ("service reads", SERVICE_READS),
    "ListTasks": ("cluster resource reads", CLUSTER_RESOURCE_READS),
    "DescribeTasks": ("cluster resource reads", CLUSTER_RESOURCE_READS),
    "ListServiceDeployments": ("service deployment reads", SERVICE_DEPLOYMENT_READS),
    "DescribeServiceDeployments": ("service deployment reads", SERVICE_DEPLOYMENT_READS),
    "DescribeServiceRevisions": ("service revision reads", SERVICE_REVISION_READS),
    "GetItem": ("table reads", TABLE_READS),
    "Query": ("table reads", TABLE_READS),
    "TransactWriteItems": ("table writes", TABLE_WRITES),
    "UpdateItem": ("table writes", TABLE_WRITES),
    "PutItem": ("table writes", TABLE_WRITES),
    "DeleteItem": ("table writes", TABLE_WRITES),
    # https://docs.aws.amazon.com/general/latest/gr/arg.html
    "GetResources": ("resources by tags", Quota(15, 15)),
    "DescribeImages": ("images", UNLIMITED),
    "GetLifecyclePolicy": ("lifecycle policies", UNLIMITED),
    "PutImage": ("image writes", UNLIMITED),
    "StopServiceDeployment": ("service writes", SERVICE_WRITES),
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
    "BatchGetImage": ("image reads", Quota(2_000, 2_000)),
    "GetLogEvents": ("logs", UNLIMITED),
    "SendMessage": ("messages", UNLIMITED),
    "StartExecution": ("started executions", STARTED_EXECUTIONS),
    "DescribeExecution": ("execution reads", EXECUTION_READS),
}

# In the smallest regions; in the three largest ones both are more.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STATE_TRANSITIONS = Quota(800, 800)
# Invocations at the same time, of all functions: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
CONCURRENCY = 1_000

_SECOND = timedelta(seconds=1)


class Bucket:
    """The tokens of a category."""

    def __init__(self, quota: Quota, now: datetime) -> None:
        self._quota = quota
        self._tokens = quota.burst
        self._filled_at = now

    def take(self, now: datetime) -> bool:
        """Whether there is a token at `now`, which is then gone."""
        seconds = (now - self._filled_at) // _SECOND
        self._tokens = min(self._quota.burst, self._tokens + seconds * self._quota.rate)
        self._filled_at += seconds * _SECOND
        if not self._tokens:
            return False
        self._tokens -= 1
        return True


class Quotas:
    """The buckets of an account, all full at first."""

    def __init__(self, now: datetime) -> None:
        self._buckets = {category: Bucket(quota, now) for category, quota in CATEGORIES.values()}

    def admit(self, action: str, now: datetime) -> None:
        """Let a request through; raises what ECS answers to one too many."""
        category, _ = CATEGORIES[action]
        if not self._buckets[category].take(now):
            raise AwsError("ThrottlingException", "Rate exceeded")
