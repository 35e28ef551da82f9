"""Weights on their way into a stack's bucket: whole, once, and for as long as they are read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.doctor.wanted import Wanted, read_wanted
from infra.weights import BUCKET
from lambda_image.engine.bundle.manifest import WEIGHTS, read_manifest
from lambda_image.engine.bundle.s3 import S3Weights, weights_key
from lambda_image.engine.convert.write import write_bundle
from tests.bad_line import CREDENTIALS, SESSION, emulated, s3
from tests.checkpoints import write_checkpoint
from tests.doctor_house import application
from tools import deploy, weights

STACK = {
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "weights"}}},
    "Outputs": {BUCKET: {"Value": {"Ref": "Bucket"}}},
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulated(tmp_path_factory.mktemp("aws") / "log", "s3,cloudformation") as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(account: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An account with nothing in it, which this process takes for AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", account)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield account
    for key in keys(account):
        s3(account).delete_object(Bucket="weights", Key=key)
    client = SESSION.client("cloudformation", endpoint_url=account)
    client.delete_stack(StackName="Curtain")
    client.get_waiter("stack_delete_complete").wait(StackName="Curtain", WaiterConfig={"Delay": 1})


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """The demo's name, and a bundle that is quickly built."""
    write_bundle(write_checkpoint(tmp_path / "checkpoint"), tmp_path / "bundles" / "demo")
    (tmp_path / "cdk.json").write_text(json.dumps({"context": context(tmp_path)}))
    return read_wanted({}, tmp_path / "cdk.json")


def context(folder: Path) -> dict[str, str]:
    return {
        "curtain:models": "demo",
        "curtain:weights": "s3",
        "curtain:bundles": str(folder / "bundles"),
    }


def make_stack(endpoint: str) -> None:
    client = SESSION.client("cloudformation", endpoint_url=endpoint)
    client.create_stack(StackName="Curtain", TemplateBody=json.dumps(STACK))
    client.get_waiter("stack_create_complete").wait(StackName="Curtain", WaiterConfig={"Delay": 1})


def key_of(wanted: Wanted) -> str:
    return weights_key("demo", read_manifest(wanted.models[0].bundle).files[WEIGHTS].sha256)


def keys(endpoint: str) -> list[str]:
    found = s3(endpoint).list_objects_v2(Bucket="weights").get("Contents", ())
    return [one["Key"] for one in found]


def test_a_first_deploy_fills_the_bucket_and_a_later_one_does_so_before_its_functions(
    endpoint: str, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[list[str] | None] = []

    def cdk(command: str, *arguments: str, **more: str) -> int:
        """What CDK would do to the account: the first time there is no bucket, later there is."""
        if command == "deploy":
            held.append(keys(endpoint) if held else None)
            if held == [None]:
                make_stack(endpoint)
        return 0

    monkeypatch.setattr(deploy, "run", cdk)
    monkeypatch.setattr(deploy, "_module", lambda *arguments: 0)
    assert deploy.deploy(wanted, [], doctor=False, yes=True) == 0
    first = key_of(wanted)
    assert keys(endpoint) == [first]

    bundle = wanted.models[0].bundle
    folder = bundle.parent.parent
    bundle.rename(folder / "old")
    write_bundle(write_checkpoint(folder / "other", vocabulary=500), bundle)
    assert deploy.deploy(wanted, [], doctor=False, yes=True) == 0
    assert key_of(wanted) != first
    assert held == [None, sorted([first, key_of(wanted)])]  # both are there while functions change
    assert keys(endpoint) == [key_of(wanted)]  # and then only what is read


def test_what_was_uploaded_is_what_a_function_reads_and_is_not_sent_again(
    endpoint: str, wanted: Wanted, capsys: pytest.CaptureFixture[str]
) -> None:
    make_stack(endpoint)
    assert weights.bring(wanted)
    client = s3(endpoint)
    before = client.head_object(Bucket="weights", Key=key_of(wanted))["LastModified"]
    assert weights.bring(wanted)
    assert client.head_object(Bucket="weights", Key=key_of(wanted))["LastModified"] == before
    assert "demo: its weights are in s3://weights already" in capsys.readouterr().out
    bundle = wanted.models[0].bundle
    reading = S3Weights(bundle, "s3://weights/demo")
    reading.start()
    reading.wait()
    assert reading.memory[WEIGHTS] == (bundle / WEIGHTS).read_bytes()


def test_half_an_upload_is_sent_again(endpoint: str, wanted: Wanted) -> None:
    make_stack(endpoint)
    s3(endpoint).put_object(Bucket="weights", Key=key_of(wanted), Body=b"half")
    assert weights.bring(wanted)
    size = s3(endpoint).head_object(Bucket="weights", Key=key_of(wanted))["ContentLength"]
    assert size == (wanted.models[0].bundle / WEIGHTS).stat().st_size


def test_the_command_says_what_is_wrong(endpoint: str, wanted: Wanted, tmp_path: Path) -> None:
    given = [part for key, value in context(tmp_path).items() for part in ("-c", f"{key}={value}")]
    run = CliRunner()
    nowhere = run.invoke(application(weights.main), given)
    assert "no stack Curtain has a bucket for them: deploy it with weights s3" in str(nowhere.exception)
    make_stack(endpoint)
    file = wanted.models[0].bundle / WEIGHTS
    file.write_bytes(bytes(file.stat().st_size))
    damaged = run.invoke(application(weights.main), given)
    assert "weights.bin is not the file that was built" in str(damaged.exception)
    assert keys(endpoint) == []
