"""Why an execution fails: the contract's errors, each with a message that a person can act on."""


class DeployError(Exception):
    """An end that the contract names; the class name is the execution's ``error``."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def error(self) -> str:
        return type(self).__name__


class InvalidRequest(DeployError):
    """The request has unknown keys, wrong types or impossible values; all of them are named."""


class ServiceNotFound(DeployError):
    """There is no such cluster, or no such service in it."""


class UnsupportedService(DeployError):
    """The service is there, but its deployment controller or its state cannot be served."""


class ImageNotFound(DeployError):
    """The registry is ECR and has no such image."""


class NoMatchingContainer(DeployError):
    """No container of the task definition uses the image; the images that are there are listed."""


class NothingToRevertTo(DeployError):
    """No earlier revision of the service is known to have been stable."""


class AccessDenied(DeployError):
    """AWS refused a call; the message names the action and the role to fix."""


class DeploymentFailed(DeployError):
    """ECS could not bring the new revision to a steady state."""


class DeploymentTimedOut(DeployError):
    """The rollout was not complete at its deadline."""


class RollbackFailed(DeployError):
    """The deployment failed, and the return to the revision before failed too."""


class AwsUnavailable(Exception):
    """AWS throttled, failed or could not be reached; the workflow retries the step by this name."""
