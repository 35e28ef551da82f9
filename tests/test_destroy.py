"""What `make destroy` takes away, whatever state the stack is in, and what `make deploy` replaces."""

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from infra.doctor.wanted import Wanted, read_wanted
from tests.doctor_house import StubbedSession, application
from tools import deploy, destroy
from tools.images import NotRemoved
from tools.stack import Deployed, NotDeployed, deployed_as

ACCOUNT, REGION = "123456789012", "eu-west-1"
REPOSITORY = f"cdk-hnb659fds-container-assets-{ACCOUNT}-{REGION}"
SUB = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/cdk-hnb659fds-container-assets-" + (
    "${AWS::AccountId}-${AWS::Region}:"
)
ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Curtain/"
WHEN = datetime(2026, 11, 21, tzinfo=UTC)
Cdk = Callable[..., int]


@pytest.fixture
def session() -> StubbedSession:
    return StubbedSession(REGION)


@pytest.fixture
def account(session: StubbedSession) -> Iterator[dict[str, Stubber]]:
    """What the account answers, in this order; and it must be asked for all of it."""
    with (
        session.answering("cloudformation") as stacks,
        session.answering("lambda") as functions,
        session.answering("ecr") as images,
    ):
        yield {"stacks": stacks, "functions": functions, "images": images}


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the CDK is asked for, by either command; it succeeds."""
    calls: list[tuple[Any, ...]] = []

    def run(*arguments: str, **more: str) -> int:
        calls.append((*arguments[:2], more.get("AWS_REGION")))
        return 0

    for module in (deploy, destroy):
        monkeypatch.setattr(module, "run", run)
    return calls


def function(tag: str, **resource: Any) -> dict[str, Any]:
    code = {"ImageUri": {"Fn::Sub": SUB + tag}}
    return {"Type": "AWS::Lambda::Function", "Properties": {"Code": code}} | resource


def stack(account: dict[str, Stubber], *tags: str, status: str = "CREATE_COMPLETE", **more: Any) -> None:
    """There is one, whose functions run these images."""
    account["stacks"].add_response("describe_stacks", {"Stacks": [described(status)]})
    template(account, "Curtain", *tags, **more)


def described(status: str) -> dict[str, Any]:
    return {"StackName": "Curtain", "StackId": f"{ID}now", "StackStatus": status, "CreationTime": WHEN}


def template(account: dict[str, Stubber], asked: str, *tags: str, **more: Any) -> None:
    resources = {f"F{tag}": function(tag) for tag in tags} | more
    body = json.dumps({"Description": "Curtain: stories", "Resources": resources})
    expected = {"StackName": asked, "TemplateStage": "Original"}
    account["stacks"].add_response("get_template", {"TemplateBody": body}, expected)


def no_stack(account: dict[str, Stubber]) -> None:
    account["stacks"].add_client_error("describe_stacks", "ValidationError", "Stack does not exist")


def deleted(account: dict[str, Stubber], *ids: str, name: str = "Curtain") -> None:
    """Such stacks were."""
    found = [
        {"StackName": name, "StackId": ID + one, "StackStatus": "DELETE_COMPLETE", "CreationTime": WHEN}
        for one in ids
    ]
    account["stacks"].add_response(
        "list_stacks", {"StackSummaries": found}, {"StackStatusFilter": ["DELETE_COMPLETE"]}
    )


def running(account: dict[str, Stubber], *, version: str = "$LATEST", **tags: str | None) -> None:
    """The account's functions, by name, and the images of those that are images and still there: by tag or,
    as `sha256:…`, by digest."""
    found = [{"FunctionName": name, "Version": version, "PackageType": "Image"} for name in tags]
    zipped = {"FunctionName": "zipped", "Version": "$LATEST", "PackageType": "Zip"}
    account["functions"].add_response(
        "list_functions", {"Functions": [*found, zipped]}, {"FunctionVersion": "ALL"}
    )
    for name, tag in tags.items():
        asked = {"FunctionName": name, "Qualifier": version}
        if tag is None:
            account["functions"].add_client_error(
                "get_function", "ResourceNotFoundException", "gone", expected_params=asked
            )
        else:
            home = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"
            by_digest = tag.startswith("sha256:")
            code = {"ImageUri": f"{home}@{tag}" if by_digest else f"{home}:{tag}"}
            code["ResolvedImageUri"] = f"{home}@{tag if by_digest else digest(tag)}"
            account["functions"].add_response("get_function", {"Code": code}, asked)


def digest(tag: str) -> str:
    return "sha256:" + sha256(tag.encode()).hexdigest()


def looked_at(account: dict[str, Stubber], tag: str) -> None:
    """ECR is asked for the image, and has it."""
    expected = {"repositoryName": REPOSITORY, "imageIds": [{"imageTag": tag}]}
    answer = {"imageDetails": [{"imageDigest": digest(tag)}]}
    account["images"].add_response("describe_images", answer, expected)


def removed(account: dict[str, Stubber], tag: str, failure: str = "") -> None:
    """The image is asked for, and goes, unless ECR has a reason."""
    looked_at(account, tag)
    asked = {"imageTag": tag}
    answer: dict[str, Any] = {"imageIds": [asked], "failures": []}
    if failure:
        answer = {"failures": [{"imageId": asked, "failureCode": failure}]}
    expected = {"repositoryName": REPOSITORY, "imageIds": [asked]}
    account["images"].add_response("batch_delete_image", answer, expected)


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


def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: StubbedSession) -> Wanted:
    """The demo, packed; whatever stack is asked for is in this session's account."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "manifest.json").write_text("{}")
    (tmp_path / "cdk.json").write_text("{}")
    monkeypatch.setattr(deploy, "deployed_as", lambda wanted: Deployed("Curtain", session))
    monkeypatch.setattr(deploy, "_module", lambda *arguments: 0)
    return read_wanted({"curtain:models": "demo", "curtain:bundles": str(tmp_path)}, tmp_path / "cdk.json")


def test_a_deploy_removes_the_images_that_it_replaced(
    session: StubbedSession,
    account: dict[str, Stubber],
    cdk: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stack(account, "light", "old")
    stack(account, "light", "new")
    running(account, light="light", model="new")
    removed(account, "old")
    assert deploy.deploy(wanted(tmp_path, monkeypatch, session), [], doctor=False, yes=True) == 0
    assert [call[0] for call in cdk] == ["synth", "deploy"]


@pytest.mark.parametrize("update", [False, True])
def test_a_deploy_that_fails_removes_nothing_and_says_how_to_go_on(
    session: StubbedSession,
    account: dict[str, Stubber],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    update: bool,
) -> None:
    """To destroy a house that is as it was would be bad advice."""
    monkeypatch.setattr(deploy, "run", lambda command, *arguments, **more: int(command == "deploy"))
    if update:
        stack(account, "light", "old")
    else:
        no_stack(account)
    given = ["-c", "curtain:stack=Tales", "-c", "curtain:models=demo"]
    assert deploy.deploy(wanted(tmp_path, monkeypatch, session), given, doctor=False, yes=True) == 1
    told = capsys.readouterr().out
    assert ('make destroy ARGS="-c curtain:stack=Tales"     # takes away what was made' in told) != update
    assert ("The house is as it was before" in told) == update


def test_the_region_is_the_one_that_the_cdk_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session: StubbedSession
) -> None:
    """boto3 would look for another one."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    (tmp_path / "cdk.json").write_text("{}")
    assert deployed_as(read_wanted({}, tmp_path / "cdk.json")).region == "eu-central-1"
    named = read_wanted({"curtain:region": "eu-north-1"}, tmp_path / "cdk.json")
    assert deployed_as(named).region == "eu-north-1"


def test_whoever_may_not_look_for_old_images_deploys_all_the_same(
    session: StubbedSession,
    account: dict[str, Stubber],
    cdk: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    account["stacks"].add_client_error("describe_stacks", "AccessDenied", "no")
    assert deploy.deploy(wanted(tmp_path, monkeypatch, session), [], doctor=False, yes=True) == 0


def test_what_to_type_next_finds_the_stack_again(
    session: StubbedSession,
    account: dict[str, Stubber],
    cdk: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        stack(account, "light", "model")
    given = ["-c", "curtain:models=demo", "-c", "curtain:region=eu-west-1", "-c", "curtain:stack=Tales"]
    assert deploy.deploy(wanted(tmp_path, monkeypatch, session), given, doctor=False, yes=True) == 0
    told = capsys.readouterr().out
    where = 'ARGS="-c curtain:region=eu-west-1 -c curtain:stack=Tales"'
    for command in ("make code", "make logs", "make destroy"):
        assert f"    {command} {where}     " in told
    assert f"CODE=$(make -s code {where}) make smoke URL=PageUrl" in told
    shell = "make() { printf '%s|' \"$@\"; }; " + f"make destroy {where}"
    parsed = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert parsed == "destroy|ARGS=-c curtain:region=eu-west-1 -c curtain:stack=Tales|"


def test_without_an_account_no_model_is_fetched(
    cdk: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    called: list[str] = []
    monkeypatch.setattr(deploy, "_module", lambda name, *arguments: called.append(name))
    (tmp_path / "cdk.json").write_text("{}")
    house = read_wanted({"curtain:models": "demo", "curtain:bundles": str(tmp_path)}, tmp_path / "cdk.json")
    assert deploy.deploy(house, [], doctor=True, yes=True) == 1
    assert (called, cdk) == ([], [])
    assert "AWS credentials" in capsys.readouterr().out


def test_the_doctor_stops_a_deploy_and_says_how_to_go_on(
    session: StubbedSession,
    account: dict[str, Stubber],
    cdk: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    house = wanted(tmp_path, monkeypatch, session)
    monkeypatch.setattr(deploy, "_module", lambda name, *arguments: int(name == "infra.doctor"))
    assert deploy.deploy(house, [], doctor=True, yes=True) == 1
    assert cdk == []
    assert "--no-doctor" in capsys.readouterr().out
