"""Why an execution fails: the contract's errors, each with a message that a person can act on."""

from enum import StrEnum


class Error(StrEnum):
    """The errors that an execution ends with."""

    INVALID_REQUEST = "InvalidRequest"
    SERVICE_NOT_FOUND = "ServiceNotFound"
    UNSUPPORTED_SERVICE = "UnsupportedService"
    IMAGE_NOT_FOUND = "ImageNotFound"
    NO_MATCHING_CONTAINER = "NoMatchingContainer"
    NOT_APPROVED = "NotApproved"
    NOTHING_TO_REVERT_TO = "NothingToRevertTo"
    ACCESS_DENIED = "AccessDenied"
    STATE_UNREADABLE = "StateUnreadable"
    DEPLOYMENT_FAILED = "DeploymentFailed"
    DEPLOYMENT_TIMED_OUT = "DeploymentTimedOut"
    ROLLBACK_FAILED = "RollbackFailed"


class DeployError(Exception):
    """An end that the contract names."""

    def __init__(self, error: Error, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


class RevisionNotFound(DeployError):
    """ECS does not know a revision, or not yet: it may have been registered a moment before."""


class AwsUnavailable(Exception):
    """AWS throttled, failed or could not be reached; the workflow retries the step by this name."""
