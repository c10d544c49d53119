"""The README and the docs say what is so: picture, commands, links, tables, examples, words; and they stay short."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App, assertions

from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.discovery import _GATES, _READERS, target_of
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import Error
from ecs_deploy.core.request import _Reader, parse
from ecs_deploy.core.tag_policy import _WORDS
from ecs_deploy.core.task_definition import own_tags
from infra import checks
from infra.context import discovery, notify, registries
from infra.picture import BEGIN, END, NoPlaceForPicture, drawn_into, main, mermaid
from infra.targets import Target
from infra.targets import parse as parse_targets
from infra.workflow import STEPS, definition
from tests.infra.synthesis import CDK_JSON, ROOT, of_type, synthesize
from tests.support.events import OUTCOME, SCHEMAS, STARTED, hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = sorted(ROOT.glob("docs/*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]
PROSE = [
    # `make bench` writes the benchmarks.
    *(path for path in DOCUMENTS if path.name != "benchmarks.md"),
    *ROOT.glob("docs/*.json"),
    *(path for path in ROOT.glob(".github/**/*") if path.is_file()),
]
LONGEST_README, LONGEST_PAGE = 250, 150
# Words of an earlier draft. Plain English has others for each, which say more exactly what is meant.
RETIRED = re.compile(
    r"\b(?:courses?|answer(?:s|ed)?|marks?|proofs?|proven|rhythm|luck|pace|notation|stands? (?:down|by)|insists?"
    r"|giv(?:es?|ing) back|starts? anew|in_use|returns_to|tells?|told|telling|look(?:s|ed|ing)?|seen|heard|ask(?:s|ed)?"
    r"|figures?|notices?|noticed|claim(?:s|ed)?|evidence|throng|storm|the house|origins?|the map)\b",
    re.IGNORECASE,
)


def page(name: str) -> str:
    return (ROOT / name).read_text()


README, REFERENCE, HOW_IT_WORKS = page("README.md"), page("docs/reference.md"), page("docs/how-it-works.md")
TRIGGERS, ARCHITECTURE, INTEGRATION = (
    page("docs/triggers.md"),
    page("docs/architecture.md"),
    page("docs/integration.md"),
)
HERE = Environment("123456789012", "us-east-1")

# Others build on these: none may go, or change its name.
OUTCOMES = {"DEPLOYED", "SUPERSEDED", "UNCHANGED"}
ERRORS = {
    "AccessDenied",
    "DeploymentFailed",
    "DeploymentTimedOut",
    "ImageNotFound",
    "InvalidRequest",
    "NoMatchingContainer",
    "RollbackFailed",
    "ServiceNotFound",
    "UnsupportedService",
}


def table(header: str, text: str) -> set[str]:
    """The first column of the table that starts with `header`."""
    (rows,) = re.findall(rf"^\| {re.escape(header)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return set(re.findall(r"^\| `([\w:-]+)` \|", rows, re.MULTILINE))


def blocks(language: str, *texts: str) -> list[str]:
    """The fenced blocks of a language, also those in lists."""
    found = [re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL) for text in texts]
    return [block for each in found for block in each]


def mapped() -> Iterator[Path]:
    """The files and folders in the repository layout."""
    (tree,) = [block for block in blocks("text", ARCHITECTURE) if block.startswith("app.py ")]
    folder = ROOT
    for line in tree.splitlines():
        names, _, _ = line.strip().partition("  ")
        if not line.startswith(" "):
            folder = ROOT / names if names.endswith("/") else ROOT
            yield ROOT / names
        else:
            yield from (folder / name for name in names.split(", "))


def test_the_picture_is_that_of_the_definition() -> None:
    assert drawn_into(HOW_IT_WORKS, mermaid(definition())) == HOW_IT_WORKS, "run `make picture`"


def test_a_picture_is_drawn_in_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "document.md"
    file.write_text(f"before\n{BEGIN}\nanother picture\n{END}\nafter\n")
    main([str(file)])
    once = file.read_text()
    assert once == f"before\n{BEGIN}\n```mermaid\n{mermaid(definition())}```\n{END}\nafter\n"
    main([str(file)])
    assert file.read_text() == once


@pytest.mark.parametrize("text", ["", BEGIN, END + BEGIN, BEGIN + END + END, BEGIN + BEGIN + END])
def test_a_document_without_a_place_for_the_picture_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "document.md"
    file.write_text(text)
    with pytest.raises(NoPlaceForPicture):
        drawn_into(text, "picture")
    with pytest.raises(SystemExit, match=re.escape(str(file))):
        main([str(file)])
    assert file.read_text() == text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_make_is_asked_for_is_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ *\$ )make (?:[A-Z]+=\S+ )?([a-z0-9]+)", document.read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_points_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_a_document_points_to_a_headline(document: Path) -> None:
    headlines = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", headline.lower()).replace(" ", "-") for headline in headlines}
    assert set(re.findall(r"\]\(#([^)]+)\)", document.read_text())) <= anchors


def test_the_pages_are_short() -> None:
    assert len(README.splitlines()) <= LONGEST_README
    assert [path.name for path in PAGES if len(path.read_text().splitlines()) > LONGEST_PAGE] in ([], ["reference.md"])


@pytest.mark.parametrize("document", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_retired_words_are_gone(document: Path) -> None:
    assert RETIRED.findall(document.read_text()) == []


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", page("docs/README.md")))
    assert listed == {path.name for path in PAGES} - {"README.md"}


def test_the_architecture_names_files_that_are_there() -> None:
    _, _, changes = ARCHITECTURE.partition("## Where a change goes")
    named = re.findall(r"`((?:core|aws|handlers|infra|local|tests|docs)/[\w./*-]+)`", changes)
    inside = {"core", "aws", "handlers"}
    roots = [ROOT / "lambda/ecs_deploy" if name.partition("/")[0] in inside else ROOT for name in named]
    assert [name for name, root in zip(named, roots, strict=True) if not list(root.glob(name))] == []
    assert len(named) > 50


def test_every_outcome_and_every_error_is_listed() -> None:
    assert (set(Outcome) >= OUTCOMES, set(Error) >= ERRORS) == (True, True)
    assert table("outcome", README) == table("outcome", REFERENCE) == set(Outcome)
    assert table("error", REFERENCE) == set(Error)


def test_every_key_is_listed() -> None:
    request, target = re.findall(r"^\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)", REFERENCE, re.MULTILINE)
    assert set(re.findall(r"^\| `(\w+)`", request, re.MULTILINE)) == _Reader.KEYS
    assert set(re.findall(r"^\| `(\w+)`", target, re.MULTILINE)) == {field.name for field in fields(Target)} - {
        "registry"
    }


def test_every_tag_on_a_revision_is_listed() -> None:
    assert table("tag", HOW_IT_WORKS) == set(own_tags("production1/doorman", "request", "execution", "image"))


def test_the_requests_of_the_examples_are_valid() -> None:
    pages = (README, REFERENCE, TRIGGERS, *map(page, ("docs/local.md", "docs/operating.md", "docs/terraform.md")))
    # A shell variable stands in quotes of its own.
    shell = "".join(pages).replace("'\"$CI_TIMESTAMP\"'", "17")
    inputs = re.findall(r"--input '(\{.*?\})'", shell)
    documents = [json.loads(text) for text in (*blocks("json", *pages), *inputs)]
    requests = [each for each in documents if "cluster" in each and "outcome" not in each]
    assert len(requests) >= 8
    for request in requests:
        parse(request, HERE)
    listed = [each for each in documents if isinstance(each, list)]
    assert len(listed) == 2
    for targets in listed:
        assert len(parse_targets(targets)) == len(targets)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_are_shell(document: Path) -> None:
    commands = "".join(blocks("console", document.read_text()))
    script = re.sub(r"^ *\$ ", "", commands, flags=re.MULTILINE)
    done = subprocess.run(["/bin/bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_options_of_the_local_commands_are_theirs() -> None:
    named = set(re.findall(r"(?:python3 -m local \w+.* |`)(--[a-z]+)", page("docs/local.md")))
    there = set(re.findall(r'"(--[a-z-]+)"', page("local/commands.py"))) | {"--help"}
    assert {"--targets", "--broken"} <= named <= there


def test_the_resources_and_the_outputs_that_are_named_are_those_of_the_stack() -> None:
    targets = [{"cluster": "production1", "service": "doorman", "repository": "doorman", "parameter": "/doorman"}]
    channel = "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/deployments"
    outputs = set(synthesize(targets, notify=notify([channel]))["Outputs"])
    text = "".join(document.read_text() for document in DOCUMENTS)
    named = re.findall(r"outputs?\s+`(\w+)`|\(output (\w+)\)|OutputKey=='(\w+)'|\(arn (\w+)\)", text)
    assert {name for names in named for name in names if name} <= outputs
    assert len(named) > 10
    template = synthesize([{key: value for key, value in targets[0].items() if key != "parameter"}])
    kinds = ("Lambda::Function", "CloudWatch::Alarm", "IAM::Role", "Events::Rule")
    assert [len(of_type(template, f"AWS::{kind}")) for kind in kinds] == [5, 17, 7, 6]
    for said in ("five: three steps, the dispatcher and what ends waits", "seventeen and one", "| roles | seven |"):
        assert said in page("docs/deploying.md")


def test_the_example_of_the_other_triggers(tmp_path: Path) -> None:
    (code,) = blocks("python", TRIGGERS)
    file = tmp_path / "triggers.py"
    file.write_text(code)
    stack = runpy.run_path(str(file))["Triggers"](App(context=CDK_JSON["context"]))
    template: dict[str, Any] = dict(assertions.Template.from_stack(stack).to_json())
    assert of_type(template, "AWS::Scheduler::Schedule")
    (release,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    assert "states:startExecution.sync:2" in json.dumps(release)


def test_the_example_of_another_app(tmp_path: Path) -> None:
    (code,) = blocks("python", INTEGRATION)
    file = tmp_path / "platform_app.py"
    file.write_text(code)
    made = runpy.run_path(str(file))
    checks.enforce(made["app"])
    template: dict[str, Any] = dict(assertions.Template.from_stack(made["stack"]).to_json())
    assert list(template["Outputs"]) == ["Machine"]
    assert made["deployer"].node.path == "Platform/Deployer"


def test_what_is_in_the_layout_is_there() -> None:
    assert [path.relative_to(ROOT) for path in mapped() if not path.exists()] == []
    assert ROOT / "infra/workflow.py" in set(mapped())


def test_the_examples_of_events_are_as_their_schemas_say() -> None:
    text = page("docs/events.md")
    events = [json.loads(block) for block in blocks("json", text)]
    assert {event["detail-type"] for event in events} == {OUTCOME, STARTED}
    assert dict(re.findall(r"^\| `([\w ]+)` \|.*\]\(([\w.-]+)\)", text, re.MULTILINE)) == SCHEMAS
    for event in events:
        hold(event)
    (people,) = [json.loads(block) for block in blocks("json", page("docs/notifications.md"))]
    listed = notify(people)
    assert listed
    assert (len(listed.emails), len(listed.urls), len(listed.channels)) == (1, 1, 1)


def test_every_link_between_documents_points_to_a_headline() -> None:
    for document in DOCUMENTS:
        for path, anchor in re.findall(r"\]\((?!https?://)([^)#]+\.md)#([^)]+)\)", document.read_text()):
            headlines = re.findall(r"^#+ (.+)$", (document.parent / path).read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", headline.lower()).replace(" ", "-") for headline in headlines}
            assert anchor in anchors, f"{document.name}: {path}#{anchor}"


def test_every_role_is_in_the_table_of_permissions() -> None:
    rows = re.findall(r"^\| of (.+?) \|", page("docs/permissions.md"), re.MULTILINE)
    assert [row.strip("`") for row in rows if row.startswith("`")] == [step.state for step in STEPS]


def test_every_module_of_the_emulator_that_is_listed_is_there() -> None:
    listed = re.findall(r"^\| `(\w+\.py)` \|", page("docs/emulator.md"), re.MULTILINE)
    assert [name for name in listed if not (ROOT / "local/emulator" / name).exists()] == []
    assert listed


def test_the_readme_shows_what_the_demo_prints() -> None:
    (printed,) = [block for block in blocks("text", README) if "RegisterTaskDefinition" in block]
    headlines = re.findall(r"^A .+$", printed, re.MULTILINE)
    source = page("local/demo.py").replace("{REPOSITORY}", "doorman")
    assert [headline for headline in headlines if headline not in source] == []
    ends = re.findall(r"^(\w+): ", printed, re.MULTILINE)
    assert ends == re.findall(r"self\.expect\(.*\"(\w+)\"\)", source)


def test_what_is_run_on_github_is_what_ci_runs() -> None:
    workflow = page(".github/workflows/ci.yml")
    assert re.findall(r"^ *- run: (.+)$", workflow, re.MULTILINE) == [".ci/run"]
    actions = re.findall(r"uses: (\S+)@(\S+) # v\d+\.\d+\.\d+$", workflow, re.MULTILINE)
    assert len(actions) == workflow.count("uses:")
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for _, commit in actions)


def test_the_release_that_is_being_made_heads_the_changelog() -> None:
    version = tomllib.loads(page("pyproject.toml"))["project"]["version"]
    newest, *_ = re.findall(r"^## (\S+)", page("CHANGELOG.md"), re.MULTILINE)
    assert newest == version
    assert page(".python-version").strip() in tomllib.loads(page("pyproject.toml"))["project"]["requires-python"]


def test_the_registry_of_the_guide_is_listed_and_read() -> None:
    (listed,) = [json.loads(block) for block in blocks("json", INTEGRATION)]
    (target,) = parse_targets(listed["targets"], registries(listed["registries"]))
    assert target.registry_place == ("999999999999", "eu-west-1")


def test_the_guide_to_opting_in() -> None:
    guide = page("docs/discovery.md")
    (example,) = [json.loads(block) for block in blocks("json", guide)]
    assert discovery(example["discovery"])
    keys = {key for row in re.findall(r"^\|.*$", guide, re.MULTILINE) for key in re.findall(r"`ecs-deploy:(\w+)`", row)}
    assert keys == {*_READERS, *_GATES}
    words = set(re.findall(r"`@(\w+)`", guide[guide.index("| word |") :]))
    assert words == set(_WORDS)
    tags = dict(re.findall(r'"(ecs-deploy:\w+)" += "(.*)"', guide))
    found = target_of("production1", "doorman-service", tags)
    assert found
    assert found.policy_of("v1.4.0") == "semver:"
