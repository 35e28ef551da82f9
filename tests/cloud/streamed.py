"""The same house with its weights in S3 (option `weights: s3`): sent there by `make deploy`, read from there
by an image that has none, missed when they are not there, and gone with the stack."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from lambda_image.engine.bundle.manifest import MANIFEST, WEIGHTS, read_manifest
from lambda_image.engine.bundle.s3 import weights_key
from local.story import OPENING
from session.events import ModelStatus
from tests.cloud import leftovers, roles
from tests.cloud.commands import smoke
from tests.cloud.deployment import Deployment
from tests.cloud.scenes import has_failed
from tests.cloud.stage import Stage
from tests.image.build import demo_bundle
from tests.image.function import once
from tools.witness import Witness, need

MODEL = "demo"
EMPTIED = {"Key": "aws-cdk:auto-delete-objects", "Value": "true"}
LIST = "import os; print(*os.listdir(os.environ['BUNDLE_DIR']))"


def streamed(
    deployment: Deployment, staged: Callable[..., AbstractContextManager[Stage]]
) -> Iterator[tuple[str, Any]]:
    """What was seen, each with its name. Raises Unproven."""
    bucket, s3 = deployment.outputs["WeightsBucket"], deployment.aws.client("s3")
    entry = read_manifest(demo_bundle()).files[WEIGHTS]
    key = weights_key(MODEL, entry.sha256)
    found = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    need(found == {key: entry.size}, f"in the bucket are {found}")
    yield "make deploy sends the weights", found
    kept = sorted(leftovers.resources(deployment.aws)["images"])
    need(kept == sorted(str([tag]) for tag in deployment.assembly.images), f"of images there are {kept}")
    yield "make deploy takes replaced images away", kept
    (tags,) = deployment.assembly.bucket_tags.values()
    need(EMPTIED in tags, f"CDK's function will not empty the bucket: its tags are {tags}")
    yield "tags by which the bucket is emptied; MiniStack drops them, and gets them before destroy", tags
    deployment.aws.enforce(True)
    yield "roles", _roles(deployment, f"arn:aws:s3:::{bucket}", key)
    with staged() as stage:
        files = once(stage.model.docker, stage.model.image, "-c", LIST).split()
        need(WEIGHTS not in files and MANIFEST in files, f"in the image are {files}")
        yield "the image has no weights", sorted(files)
        yield "smoke", smoke(stage)
        yield "the weights are missing", asyncio.run(_missing(stage, bucket, key))
        stage.need_quiet()


def _roles(deployment: Deployment, bucket: str, key: str) -> dict[str, int]:
    model, light = deployment.outputs["ModelFunctions"], deployment.outputs["PrologueFunction"]
    return roles.decided(
        deployment,
        {
            model: [
                ("s3:GetObject", f"{bucket}/{key}", True),
                ("s3:GetObject", f"{bucket}/another/{key}", False),
                ("s3:PutObject", f"{bucket}/{key}", False),
                ("s3:DeleteObject", f"{bucket}/{key}", False),
                ("s3:ListBucket", bucket, False),
            ],
            light: [("s3:GetObject", f"{bucket}/{key}", False)],
        },
    )


async def _missing(stage: Stage, bucket: str, key: str) -> dict[str, Any]:
    """Without them the model fails and says so; once the command that its log names has sent them, the
    listener's own "once more" wakes it in the same environment."""
    stage.deployment.aws.client("s3", endpoint=stage.secure).delete_object(Bucket=bucket, Key=key)
    stage.model.renew(memory_mb=stage.model.memory_mb)
    witness = Witness(stage.door, name="early", fails=True)
    async with witness.line() as client:
        await witness.question(client)
        await client.send({"action": "skip"})
        status = await witness.until(client, has_failed)
        assert isinstance(status, ModelStatus)
        log = stage.model.log
        for told in (f"s3://{bucket}/{key} is not there", "python -m tools.weights"):
            need(told in log, f"the log doesn't say {told!r}:\n{log[-3000:]}")
        said = await asyncio.to_thread(stage.deployment.send_weights, stage.secure)
        before = stage.model.started
        await client.send({"action": "wake"})
        opening = await witness.ended(client, OPENING)
        need(opening.status == "completed", f"the opening ended as {opening.status}")
        need(stage.model.started == before, "another environment was started")
        await client.send({"action": "delete"})
    return {"listener was told": status.message, "then": said.splitlines()[-1], "opening": opening.status}
