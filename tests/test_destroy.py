"""What `make destroy` takes away, whatever state the stack is in."""

import json
from typing import Any

import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from tests.account import (
    ID,
    REGION,
    WHEN,
    deleted,
    described,
    digest,
    function,
    looked_at,
    no_stack,
    removed,
    running,
    stack,
    template,
)
from tests.doctor_house import StubbedSession, application
from tools import destroy
from tools.images import NotRemoved
from tools.stack import Deployed, NotDeployed

pytest_plugins = ["tests.account_fixtures"]


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "DELETE_FAILED"])
def test_images_are_known_though_no_function_may_be_left(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any], status: str
) -> None:
    """After a first deploy that failed, as in a 3,008 MB account, nothing but the template has them."""
    stack(account, "light", "model", status=status)
    deleted(account)
    running(account)
    removed(account, "light")
    removed(account, "model")
    assert destroy.destroy(Deployed("Curtain", session)) == 0
    assert cdk == [("destroy", "Curtain", REGION)]


def test_an_image_that_another_function_runs_stays(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stack(account, "light", "model")
    deleted(account)
    running(account, theirs="model", vanishing=None)
    removed(account, "light")
    assert destroy.destroy(Deployed("Curtain", session)) == 0
    assert "Curtain is gone, and with it the images that only it used: 1." in capsys.readouterr().out


def test_what_an_alias_or_a_digest_holds_on_to_stays(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    """An older version of a function counts; and who deploys by digest names no tag."""
    stack(account, "light", "model")
    deleted(account)
    running(account, version="3", awake="light", copy=digest("model"))
    looked_at(account, "model")
    assert destroy.destroy(Deployed("Curtain", session)) == 0


def test_what_failed_deploys_had_pushed_goes_too(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    """CDK deletes a stack whose first deploy failed, before it makes another of that name."""
    stack(account, "model")
    deleted(account, "first")
    template(account, f"{ID}first", "larger")
    running(account)
    removed(account, "larger")
    account["images"].add_client_error("describe_images", "ImageNotFoundException")
    assert destroy.destroy(Deployed("Curtain", session)) == 0


def test_a_second_try_takes_the_images_that_the_first_one_left(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    no_stack(account)
    deleted(account, "now")
    template(account, f"{ID}now", "model")
    running(account)
    removed(account, "model")
    assert destroy.destroy(Deployed("Curtain", session)) == 0
    assert cdk == []


def test_images_of_anothers_stack_of_the_same_name_are_not_ours(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    no_stack(account)
    deleted(account, "theirs")
    body = {"Description": "something else", "Resources": {"F": function("theirs")}}
    account["stacks"].add_response("get_template", {"TemplateBody": json.dumps(body)})
    with pytest.raises(NotDeployed):
        destroy.destroy(Deployed("Curtain", session))


def test_no_stack_is_not_one_that_is_gone(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    no_stack(account)
    deleted(account, "other", name="Other")
    with pytest.raises(NotDeployed, match=r"no stack Curtain in eu-west-1.*-c curtain:region=…") as told:
        destroy.destroy(Deployed("Curtain", session))
    assert "nothing was taken away" in str(told.value)
    assert cdk == []


def test_an_image_that_ecr_keeps_is_told(
    session: StubbedSession, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    stack(account, "model")
    deleted(account)
    running(account)
    removed(account, "model", failure="KmsError")
    with pytest.raises(NotRemoved, match=r":model \(KmsError\)"):
        destroy.destroy(Deployed("Curtain", session))


def test_a_failed_destroy_removes_no_image(
    session: StubbedSession, account: dict[str, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destroy, "run", lambda *arguments, **more: 3)
    stack(account, "model", status="DELETE_FAILED")
    deleted(account)
    assert destroy.destroy(Deployed("Curtain", session)) == 3


def test_what_stays_is_told_with_what_it_costs_before_anybody_is_asked(
    session: StubbedSession,
    account: dict[str, Stubber],
    cdk: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(destroy, "find", lambda context: Deployed("Curtain", session))
    kept = {"DeletionPolicy": "Retain"}
    parts = {
        "Secret": {"Type": "AWS::SecretsManager::Secret", **kept},
        "Bucket": {"Type": "AWS::S3::Bucket", **kept},
        "Role": {"Type": "AWS::IAM::Role", **kept},
        "NeverMade": {"Type": "AWS::S3::Bucket", **kept},
        "Queue": {"Type": "AWS::SQS::Queue"},
    }
    account["stacks"].add_response("describe_stacks", {"Stacks": [described("CREATE_COMPLETE")]})
    rows = [row(name, f"the-{name}") for name in parts if name != "NeverMade"]
    rows += [row("Gone", None), row("Old", "the-Old", "DELETE_COMPLETE")]
    account["stacks"].add_response("list_stack_resources", {"StackResourceSummaries": rows})
    template(account, "Curtain", **parts)
    said = CliRunner().invoke(application(destroy.main), input="n\n")
    assert said.exit_code == 1
    assert cdk == []
    told = said.output.split("Remove Curtain in eu-west-1, and all but these, for good?")[0]
    assert [line.strip() for line in told.splitlines()[1:]] == [
        "AWS::S3::Bucket the-Bucket: $0.023 a GB and month",
        "AWS::SecretsManager::Secret the-Secret: $0.40 a month",
    ]


def row(name: str, physical: str | None, status: str = "CREATE_COMPLETE") -> dict[str, Any]:
    made = {"PhysicalResourceId": physical} if physical else {}
    return {
        "LogicalResourceId": name,
        "ResourceType": "AWS::Lambda::Function",
        "LastUpdatedTimestamp": WHEN,
        "ResourceStatus": status,
        **made,
    }


def test_a_deploy_that_never_came_to_an_end_has_no_outputs(
    session: StubbedSession, account: dict[str, Stubber]
) -> None:
    account["stacks"].add_response("describe_stacks", {"Stacks": [described("ROLLBACK_COMPLETE")]})
    with pytest.raises(NotDeployed, match="is ROLLBACK_COMPLETE: its deploy never came to an end"):
        _ = Deployed("Curtain", session).outputs
