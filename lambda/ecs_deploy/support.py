"""Which services can be served; the others are refused before anything is written."""

from ecs_deploy.errors import UnsupportedService
from ecs_deploy.service import Service


def require_supported(service: Service) -> None:
    """Raise `UnsupportedService` unless ECS itself rolls the service's deployments and the service is active.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentController.html
    """
    what = f"The service {service.name} of the cluster {service.cluster}"
    if not service.is_active:
        raise UnsupportedService(f"{what} is {service.status}. Create it again, then deploy to it.")
    if service.controller != "ECS":
        raise UnsupportedService(
            f"{what} has the deployment controller {service.controller}; only services with the controller ECS can be "
            "served. Deploy it with the controller's own tool."
        )
