"""Weights out of S3: the same model as from the file, whatever happens on the way; and what is told where it
can't be had."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from lambda_image import direct
from lambda_image.engine.bundle import verify
from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.manifest import WEIGHTS, read_manifest
from lambda_image.engine.bundle.s3 import S3Weights, Tuning, tuning, weights_key
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import BundleError
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.kernels import open_decoder
from lambda_image.service import make_model
from lambda_image.waking import LoadError
from tests.bad_line import CREDENTIALS, SESSION, BadLine, emulated, s3
from tests.checkpoints import write_checkpoint
from tests.doctor_house import application
from tests.fakes_engine import SCENE, finish

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[1]
BUCKET, MODEL = "weights", "oz"
URL = f"s3://{BUCKET}/{MODEL}"
PART = 16 << 10
SMALL = Tuning(
    connections=4,
    part_kib=PART >> 10,
    piece_kib=4,
    request_attempts=1,
    breaks=3,
    backoff_s=0.5,
    connect_timeout_s=5,
    read_timeout_s=20,
)
ONE_BY_ONE = Tuning(**{**vars(SMALL), "connections": 1})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    checkpoint = write_checkpoint(folder / "oz", context=400, vocabulary=400)
    write_bundle(checkpoint, folder / "bundle", finish=finish_bundle([]))
    return folder / "bundle"


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """As it lies in an image without weights."""
    shutil.copytree(whole, tmp_path / "bundle", ignore=shutil.ignore_patterns(WEIGHTS))
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulated(tmp_path_factory.mktemp("s3") / "log", "s3") as endpoint:
        yield endpoint


@pytest.fixture
def line(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadLine]:
    """To an S3 that is empty but for the weights' bucket; this process takes it for AWS."""
    client = s3(endpoint)
    for bucket in client.list_buckets()["Buckets"]:
        for found in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            client.delete_object(Bucket=bucket["Name"], Key=found["Key"])
        client.delete_bucket(Bucket=bucket["Name"])
    client.create_bucket(Bucket=BUCKET)
    with BadLine(endpoint) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        yield line


@pytest.fixture
def client(line: BadLine, endpoint: str) -> "S3Client":
    return s3(endpoint)


@pytest.fixture
def key(whole: Path, client: "S3Client") -> str:
    """Where the weights lie."""
    key = weights_key(MODEL, read_manifest(whole).files[WEIGHTS].sha256)
    client.put_object(Bucket=BUCKET, Key=key, Body=(whole / WEIGHTS).read_bytes())
    return key


def started(bundle: Path, tuned: Tuning = SMALL, url: str = URL) -> S3Weights:
    reading = S3Weights(bundle, url, tuned=tuned, sleep=lambda seconds: None)
    reading.start()
    return reading


def told(reading: S3Weights) -> str:
    with pytest.raises(BundleError) as refused:
        reading.wait()
    return str(refused.value)


def test_the_settings_are_ones_that_lambda_and_s3_can_bear() -> None:
    tuned = tuning()
    assert 5 <= tuned.connections <= 64  # S3 gives one of them 90 MB/s at most, Lambda all of them 375
    assert tuned.connections * tuned.piece_kib < 64 << 10
    assert tuned.part_kib >= tuned.piece_kib


@pytest.mark.usefixtures("key")
def test_the_same_model_as_from_the_file(bundle: Path, whole: Path) -> None:
    from_file, from_s3 = Engine.load(whole), Engine.load(bundle, started(bundle))
    assert not (bundle / WEIGHTS).exists()
    texts = [finish(e.reply(SCENE, seed=7, temperature=1.5, max_tokens=40))[0] for e in (from_file, from_s3)]
    assert texts[0] == texts[1] != ""
    assert from_s3.about()["golden"]


@pytest.mark.usefixtures("key")
def test_the_same_logits_bytes_and_sum(bundle: Path, whole: Path) -> None:
    reading = started(bundle)
    reading.wait()
    memory = reading.memory[WEIGHTS]
    assert memory.readonly
    assert hashlib.sha256(memory).hexdigest() == read_manifest(whole).files[WEIGHTS].sha256
    opened = [open_bundle(whole), open_bundle(bundle, memory=reading.memory)]
    ids = [5, 9, 200, 3]
    logits = []
    for one in opened:
        assert not one.tensor("layers.0.qkv").flags.writeable
        logits.append(open_decoder(one).forward(ids, KVCache(one.manifest.config, len(ids))))
    assert np.array_equal(logits[0], logits[1])


def test_it_reads_parts_in_order_of_first_use_and_each_byte_once(
    bundle: Path, key: str, line: BadLine
) -> None:
    reading = started(bundle, ONE_BY_ONE)
    reading.wait()
    assert reading.loaded_bytes == reading.total_bytes > 3 * PART
    firsts = [first for first, _ in line.ranges]
    assert firsts == list(range(0, reading.total_bytes, PART))
    assert sum(last - first + 1 for first, last in line.ranges) == reading.total_bytes
    assert reading.seconds > 0


@pytest.mark.usefixtures("key")
def test_several_connections_read_at_once(bundle: Path, line: BadLine) -> None:
    together = threading.Barrier(SMALL.connections, timeout=30)

    def fault(first: int, last: int) -> None:
        if first < SMALL.connections * PART:
            together.wait()  # broken, if fewer come

    line.fault = fault
    started(bundle).wait()


@pytest.mark.usefixtures("key")
def test_progress_is_what_has_come(bundle: Path, line: BadLine) -> None:
    reached, goes_on = threading.Event(), threading.Event()

    def fault(first: int, last: int) -> None:
        if first == 2 * PART:
            reached.set()
            assert goes_on.wait(30)

    line.fault = fault
    reading = started(bundle, ONE_BY_ONE)
    model = make_model(bundle, reading, started=0.0)
    assert reached.wait(30)
    progress = model.wake(0.01)
    loaded, total, left = next(progress)
    assert (loaded, total) == (2 * PART, reading.total_bytes)
    assert left is not None
    assert left > 0
    assert reading.seconds == 0
    goes_on.set()
    list(progress)
    assert model.narrator is not None
    assert model.stages()["LoadMBps"] > 0


@pytest.mark.usefixtures("key")
def test_what_breaks_off_goes_on_where_it_broke(bundle: Path, line: BadLine) -> None:
    cuts = {PART: 5000, 3 * PART: 0}
    line.fault = lambda first, last: cuts.pop(first, None)
    slept: list[float] = []
    reading = S3Weights(bundle, URL, tuned=ONE_BY_ONE, sleep=slept.append)
    reading.start()
    reading.wait()
    assert (PART + 5000, 2 * PART - 1) in line.ranges
    assert line.ranges.count((3 * PART, 4 * PART - 1)) == 2
    assert slept == [0.5, 0.5]
    assert Engine.load(bundle, reading).about()["golden"]


@pytest.mark.usefixtures("key")
def test_a_line_that_stays_broken_is_told_and_the_next_attempt_reads_the_rest(
    bundle: Path, line: BadLine
) -> None:
    line.fault = lambda first, last: 0 if first >= 2 * PART else None
    slept: list[float] = []
    reading = S3Weights(bundle, URL, tuned=ONE_BY_ONE, sleep=slept.append)
    reading.start()
    model = make_model(bundle, reading, started=0.0)
    with pytest.raises(LoadError, match=rf"s3://{BUCKET}/{MODEL}/\w+\.bin can't be read beyond .* try again"):
        direct.about(model)
    assert reading.loaded_bytes == 2 * PART
    assert slept[:2] == [0.5, 1.0]
    line.ranges.clear()
    line.fault = lambda first, last: None
    assert direct.about(model)["golden"]
    assert min(first for first, _ in line.ranges) == 2 * PART


def test_weights_that_are_not_there_yet_are_told_and_read_once_they_are(
    bundle: Path, whole: Path, client: "S3Client"
) -> None:
    reading = started(bundle)
    said = told(reading)
    assert f"s3://{BUCKET}/{MODEL}/" in said
    assert "is not there: upload the weights again" in said
    key = weights_key(MODEL, read_manifest(whole).files[WEIGHTS].sha256)
    client.put_object(Bucket=BUCKET, Key=key, Body=(whole / WEIGHTS).read_bytes())
    reading.retry()
    reading.wait()


@pytest.mark.usefixtures("line")
def test_a_bucket_that_is_not_there_is_told(bundle: Path) -> None:
    assert "s3://nowhere/oz/" in told(started(bundle, url="s3://nowhere/oz"))


def test_weights_of_another_size_are_refused_before_any_is_read(
    bundle: Path, key: str, client: "S3Client", line: BadLine
) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=b"half of it")
    assert "has 10 bytes instead of" in told(started(bundle))
    assert line.ranges == []


def test_weights_that_are_replaced_while_they_are_read_are_refused(
    bundle: Path, key: str, client: "S3Client", line: BadLine, whole: Path
) -> None:
    size = client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]

    def fault(first: int, last: int) -> None:
        if first == PART:
            client.put_object(Bucket=BUCKET, Key=key, Body=bytes(size))

    line.fault = fault
    reading = started(bundle, ONE_BY_ONE)
    assert "was replaced while it was read" in told(reading)
    line.fault = lambda first, last: None
    line.ranges.clear()
    client.put_object(Bucket=BUCKET, Key=key, Body=(whole / WEIGHTS).read_bytes(), ContentType="again")
    reading.retry()
    reading.wait()
    assert reading.memory[WEIGHTS] == (whole / WEIGHTS).read_bytes()


def test_a_role_reads_its_own_models_weights_and_no_others(
    bundle: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulated(tmp_path / "log", "s3,iam,sts", enforcing=True) as endpoint:
        root, iam = s3(endpoint), SESSION.client("iam", endpoint_url=endpoint)
        root.create_bucket(Bucket=BUCKET)
        for model in (MODEL, "other"):
            key = weights_key(model, read_manifest(whole).files[WEIGHTS].sha256)
            root.put_object(Bucket=BUCKET, Key=key, Body=(whole / WEIGHTS).read_bytes())
        iam.create_user(UserName="function")
        resource = f"arn:aws:s3:::{BUCKET}/{MODEL}/*"  # as infra/weights.py allows
        allowed = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="function", PolicyName="reads", PolicyDocument=policy)
        access = iam.create_access_key(UserName="function")["AccessKey"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access["SecretAccessKey"])
        assert Engine.load(bundle, started(bundle)).name == "oz"
        said = told(started(bundle, url=f"s3://{BUCKET}/other"))
        assert f"s3://{BUCKET}/other/" in said
        assert "is not there, or may not be read here" in said


def test_nobody_answers(bundle: Path, line: BadLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "see that its subnets reach S3" in told(started(bundle))


def test_other_bytes_of_the_same_size_are_never_served(
    bundle: Path, key: str, client: "S3Client", whole: Path
) -> None:
    damaged = bytearray((whole / WEIGHTS).read_bytes())
    entry = read_manifest(whole).tensors["layers.0.qkv"]
    damaged[entry.offset : entry.offset + 64] = bytes(64)
    client.put_object(Bucket=BUCKET, Key=key, Body=bytes(damaged))
    with pytest.raises(BundleError, match="is damaged"):
        Engine.load(bundle, started(bundle))
    checked = CliRunner().invoke(application(verify.main), [str(bundle), "--weights", URL])
    assert checked.exit_code == 1
    assert "sha256 differs" in checked.output


@pytest.mark.usefixtures("key")
def test_every_byte_can_be_verified(bundle: Path) -> None:
    checked = CliRunner().invoke(application(verify.main), [str(bundle), "--weights", URL])
    assert checked.exit_code == 0, checked.output
    assert "files as built" in checked.output


@pytest.mark.usefixtures("line")
def test_a_damaged_manifest_is_told_as_such(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match=r"manifest\.json is of format None"):
        Engine.load(bundle, started(bundle))


def test_a_function_too_small_for_its_weights_says_so(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][WEIGHTS]["size"] = 1 << 62
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"no memory for .* MB of weights .*: give it more"):
        Engine.load(bundle, started(bundle))


INIT = """
import sys
from lambda_image import handler
print("reading", flush=True)
handler.READAHEAD.wait()
print(handler.READAHEAD.loaded_bytes, sorted({"pydantic", "numpy", "torch"} & set(sys.modules)))
"""


def function(bundle: Path, scratch: Path) -> subprocess.Popen[str]:
    """Imports the handler, as Lambda would."""
    own = {"BUNDLE_DIR": str(bundle), "WEIGHTS_URL": URL, "TMPDIR": str(scratch), "HOME": str(scratch)}
    return subprocess.Popen(
        [sys.executable, "-c", INIT], env=os.environ | own, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.usefixtures("key")
def test_a_function_that_is_killed_while_it_reads_leaves_nothing_and_the_next_one_starts(
    bundle: Path, whole: Path, line: BadLine, tmp_path: Path
) -> None:
    (scratch := tmp_path / "tmp").mkdir()
    reached, goes_on = threading.Event(), threading.Event()

    def fault(first: int, last: int) -> None:
        reached.set()
        assert goes_on.wait(30)

    line.fault = fault
    with function(bundle, scratch) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "reading\n"  # init is over before the weights are there
        assert reached.wait(30)
        killed.send_signal(signal.SIGKILL)
    goes_on.set()
    assert list(scratch.iterdir()) == []
    line.fault = lambda first, last: None
    with function(bundle, scratch) as second:
        said, _ = second.communicate(timeout=60)
    assert said == f"reading\n{(whole / WEIGHTS).stat().st_size} []\n"
    assert list(scratch.iterdir()) == []
