"""The README and the docs say what is so: their picture, commands, links, tables, examples; and they stay short."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App, assertions

from ecs_deploy.core.decision import Outcome
from ecs_deploy.core.environment import Environment
from ecs_deploy.core.errors import Error
from ecs_deploy.core.request import NewImage, _Reader, parse
from ecs_deploy.core.task_definition import own_tags
from infra.context import notify
from infra.picture import BEGIN, END, NoPlaceForPicture, drawn_into, main, mermaid
from infra.targets import Target
from infra.targets import parse as parse_targets
from infra.workflow import definition
from tests.infra.eventbridge import matches, render
from tests.infra.synthesis import CDK_JSON, ROOT, of_type
from tests.support.events import OUTCOME, STARTED, hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def page(name: str) -> str:
    return (ROOT / name).read_text()


README, REFERENCE, HOW_IT_WORKS = page("README.md"), page("docs/reference.md"), page("docs/how-it-works.md")
TRIGGERS, ARCHITECTURE = page("docs/triggers.md"), page("docs/architecture.md")
HERE = Environment("123456789012", "us-east-1")

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
    assert len(README.splitlines()) <= 250
    long = {path.name: lines for path in ROOT.glob("docs/*.md") if (lines := len(path.read_text().splitlines())) > 150}
    assert long.keys() <= {"reference.md"}


def test_the_architecture_names_files_that_are_there() -> None:
    _, _, table = ARCHITECTURE.partition("## Where a change goes")
    named = re.findall(r"`((?:core|infra|local|tests|docs)/[\w./*]+)`", table)
    roots = {"core": ROOT / "lambda" / "ecs_deploy"}
    missing = [name for name in named if not list(roots.get(name.partition("/")[0], ROOT).glob(name))]
    assert (missing, len(named) > 20) == ([], True)


def test_the_ends_of_the_contract_are_those_of_the_code_and_of_the_readme() -> None:
    assert set(Outcome) >= OUTCOMES
    assert set(Error) >= ERRORS


def test_every_outcome_and_every_error_is_listed() -> None:
    assert table("outcome", README) == table("outcome", REFERENCE) == set(Outcome)
    assert table("error", REFERENCE) == set(Error)


def test_every_key_is_listed() -> None:
    request, target = re.findall(r"^\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)", REFERENCE, re.MULTILINE)
    assert set(re.findall(r"^\| `(\w+)`", request, re.MULTILINE)) == _Reader.KEYS
    assert set(re.findall(r"^\| `(\w+)`", target, re.MULTILINE)) == {field.name for field in fields(Target)}


def test_every_tag_on_a_revision_is_listed() -> None:
    assert table("tag", HOW_IT_WORKS) == set(own_tags("production1/doorman", "request", "execution", "image"))


def test_the_requests_of_the_examples_are_valid() -> None:
    pages = (README, REFERENCE, TRIGGERS, page("docs/local.md"))
    inputs = [found for text in pages for found in re.findall(r"--input '(\{.*?\})'", text)]
    documents = [json.loads(text) for text in (*blocks("json", *pages), *inputs)]
    requests = [each for each in documents if "cluster" in each and "outcome" not in each]
    assert len(requests) >= 5
    for request in requests:
        parse(request, HERE)
    listed = [each for each in documents if isinstance(each, list)]
    assert len(listed) == 2
    for targets in listed:
        assert len(parse_targets(targets)) == len(targets)


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
    (code,) = blocks("python", page("docs/integration.md"))
    file = tmp_path / "app.py"
    file.write_text(code)
    made = runpy.run_path(str(file))
    assert "StateMachineArn" in made["deployer"].outputs
    assert made["deployer"].node.path == "Platform/Deployer"


def test_what_is_in_the_layout_is_there() -> None:
    assert [path.relative_to(ROOT) for path in mapped() if not path.exists()] == []
    assert ROOT / "infra/workflow.py" in set(mapped())


def test_the_examples_of_events_are_as_their_schemas_say() -> None:
    text = (ROOT / "docs/events.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    events = [example for example in examples if isinstance(example, dict)]
    assert {event["detail-type"] for event in events} == {OUTCOME, STARTED}
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


def test_the_rule_for_another_registry_starts_what_can_be_deployed() -> None:
    text = page("docs/integration.md")
    (rule,) = [json.loads(block) for block in re.findall(r"^ *```json\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)]
    event = json.loads((ROOT / "tests/infra/events/push.json").read_text())
    assert not matches(rule["EventPattern"], event)
    foreign = {**event, "account": "999999999999"}
    assert matches(rule["EventPattern"], foreign)
    request = parse(json.loads(render(rule["InputTransformer"], foreign)), HERE)
    assert request.push
    assert isinstance(request.wanted, NewImage)
    assert str(request.wanted.image).startswith("999999999999.dkr.ecr.us-east-1.amazonaws.com/doorman:v")
