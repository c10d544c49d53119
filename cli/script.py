"""The options of the bash script `ecs-deploy`, each with what takes its place here: docs/migration.md has this table.

https://github.com/sil-org/ecs-deploy
"""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """An option of the script by its names; it `works`, or is refused with what to use `instead`."""

    names: tuple[str, ...]
    instead: str
    works: bool = False
    takes_value: bool = True


_TASKS = (
    "Run a task, such as a migration, as a step of its own (`ecs:runTask.sync`) of a workflow that then starts this."
)
_KEYS = "Name a profile (`-p`, or AWS_PROFILE); keys on a command line end in logs."
_SERVICE = "It belongs to whoever made the service, and a deployment leaves it as it is."

OPTIONS = (
    Option(("-c", "--cluster"), "the cluster, by its name or its ARN", works=True),
    Option(("-n", "--service-name"), "the service, by its name or its ARN", works=True),
    Option(("-i", "--image"), "the image, in Docker's format; without a tag it is `latest`", works=True),
    Option(("-e", "--tag-env-var"), "the tag is the value of this variable, unless the image has one", works=True),
    Option(
        ("-t", "--timeout"), "seconds, 600 by default; the script's 90 are too few behind a load balancer", works=True
    ),
    Option(("-r", "--region"), "the region of the stack", works=True),
    Option(("-p", "--profile"), "the profile of the AWS CLI's configuration", works=True),
    Option(("-v", "--verbose"), "each state of the execution is a line", works=True, takes_value=False),
    Option(("--version",), "the version", works=True, takes_value=False),
    Option(
        ("--enable-rollback",), "as it is without it; `--no-rollback` is the other way", works=True, takes_value=False
    ),
    Option(
        ("--copy-task-definition-tags",), "as it is without it: they are always copied", works=True, takes_value=False
    ),
    Option(("--aws-instance-profile",), "nothing, as there", works=True, takes_value=False),
    Option(("-toc", "--tag-only-container"), "Use `--container` with `-i`: one container gets the image."),
    Option(("-to", "--tag-only"), "Name the image with `-i`: all its containers change, and no others."),
    Option(("--force-new-deployment",), "Request the same image again: it is deployed anew.", takes_value=False),
    Option(("-k", "--aws-access-key"), _KEYS),
    Option(("-s", "--aws-secret-key"), _KEYS),
    Option(("-a", "--aws-assume-role"), "Name a profile with `role_arn` (`-p`): the SDK assumes the role."),
    Option(("-d", "--task-definition"), "A deployment is of a service: name it with `-n`."),
    Option(("--task-definition-file",), "Register the definition, and deploy it with `--revision`."),
    Option(("--use-latest-task-def",), "Deploy that revision with `--revision`.", takes_value=False),
    Option(("-D", "--desired-count"), _SERVICE),
    Option(("-m", "--min"), _SERVICE),
    Option(("-M", "--max"), _SERVICE),
    Option(
        ("--max-definitions",),
        "Only a failed revision is deregistered. An old one costs nothing, and a return may need it.",
    ),
    Option(
        ("--skip-deployments-check",),
        "Use `--no-wait`, which waits for nothing; otherwise the deployment is followed to its end.",
        takes_value=False,
    ),
    Option(("--run-task",), _TASKS, takes_value=False),
    Option(("--wait-for-success",), _TASKS, takes_value=False),
    Option(("--launch-type",), _TASKS),
    Option(("--platform-version",), _TASKS),
    Option(("--network-configuration",), _TASKS),
)


def table() -> str:
    """The options as rows of a table in Markdown."""
    rows = []
    for each in OPTIONS:
        names = ", ".join(f"`{name}`" for name in each.names)
        said = each.instead[0].upper() + each.instead[1:].rstrip(".")
        rows.append(f"| {names} | {'works' if each.works else 'refused'} | {said} |")
    return "\n".join(["| option of the script | here | |", "|---|---|---|", *rows])


def tag_of(image: str, variable: str) -> str | None:
    """The tag that `-e` gives an image: the variable's value, unless the image has a tag; a digest gives way."""
    last = image.partition("@")[0].rpartition("/")[2]
    return None if ":" in last else variable
