"""What `make deploy` replaces, where it goes, and what it says to do next."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from infra.doctor.wanted import Wanted, read_wanted
from tests.account import no_stack, removed, running, stack
from tests.doctor_house import StubbedSession
from tools import deploy
from tools.stack import Deployed, deployed_as

pytest_plugins = ["tests.account_fixtures"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: StubbedSession) -> Wanted:
    """The demo, packed; whatever stack is asked for is in this session's account."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "manifest.json").write_text("{}")
    (tmp_path / "cdk.json").write_text("{}")
    monkeypatch.setattr(deploy, "deployed_as", lambda wanted: Deployed("Curtain", session))
    monkeypatch.setattr(deploy, "_module", lambda *arguments: 0)
    return read_wanted({"curtain:models": "demo", "curtain:bundles": str(tmp_path)}, tmp_path / "cdk.json")


def test_a_deploy_removes_the_images_that_it_replaced(
    house: Wanted, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    stack(account, "light", "old")
    stack(account, "light", "new")
    running(account, light="light", model="new")
    removed(account, "old")
    assert deploy.deploy(house, [], doctor=False, yes=True) == 0
    assert [call[0] for call in cdk] == ["synth", "deploy"]


@pytest.mark.parametrize("update", [False, True])
def test_a_deploy_that_fails_removes_nothing_and_says_how_to_go_on(
    house: Wanted,
    account: dict[str, Stubber],
    monkeypatch: pytest.MonkeyPatch,
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
    assert deploy.deploy(house, given, doctor=False, yes=True) == 1
    told = capsys.readouterr().out
    assert ('make destroy ARGS="-c curtain:stack=Tales"     # takes away what was made' in told) != update
    assert ("The house is as it was before" in told) == update


def test_the_region_is_the_one_that_the_cdk_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """boto3 would look for another one."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    (tmp_path / "cdk.json").write_text("{}")
    assert deployed_as(read_wanted({}, tmp_path / "cdk.json")).region == "eu-central-1"
    named = read_wanted({"curtain:region": "eu-north-1"}, tmp_path / "cdk.json")
    assert deployed_as(named).region == "eu-north-1"


def test_whoever_may_not_look_for_old_images_deploys_all_the_same(
    house: Wanted, account: dict[str, Stubber], cdk: list[Any]
) -> None:
    account["stacks"].add_client_error("describe_stacks", "AccessDenied", "no")
    assert deploy.deploy(house, [], doctor=False, yes=True) == 0


def test_what_to_type_next_finds_the_stack_again(
    house: Wanted, account: dict[str, Stubber], cdk: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        stack(account, "light", "model")
    given = ["-c", "curtain:models=demo", "-c", "curtain:region=eu-west-1", "-c", "curtain:stack=Tales"]
    assert deploy.deploy(house, given, doctor=False, yes=True) == 0
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
    house: Wanted,
    account: dict[str, Stubber],
    cdk: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(deploy, "_module", lambda name, *arguments: int(name == "infra.doctor"))
    assert deploy.deploy(house, [], doctor=True, yes=True) == 1
    assert cdk == []
    assert "--no-doctor" in capsys.readouterr().out
