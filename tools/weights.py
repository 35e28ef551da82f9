"""`python -m tools.weights`: puts a deployed stack's weights into its bucket (option `weights: s3`).

`make deploy` does it too. What is there already isn't sent again.
"""

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from infra.context import OptionsError
from infra.doctor.account import code
from infra.doctor.wanted import Model, Wanted, parse_context, read_wanted
from lambda_image.engine.bundle.manifest import WEIGHTS, check_sums, read_manifest
from lambda_image.engine.bundle.s3 import weights_key
from lambda_image.engine.errors import EngineError
from tools.stack import Context, Deployed, NotDeployed, deployed_as, told

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AWAY = TransferConfig(multipart_chunksize=64 << 20, max_concurrency=8)
ERRORS = (BotoCoreError, ClientError, Boto3Error, EngineError, OSError)


def bucket_of(deployed: Deployed) -> str | None:
    """The stack's bucket for weights, if there are both. Raises botocore's errors."""
    try:
        return deployed.outputs.get("WeightsBucket")  # not imported: the CDK would come along
    except NotDeployed:
        return None


def upload(client: "S3Client", bucket: str, models: Iterable[Model]) -> None:
    """Raises ERRORS."""
    for model in models:
        manifest = read_manifest(model.bundle)
        entry, key = manifest.files[WEIGHTS], weights_key(model.name, manifest.files[WEIGHTS].sha256)
        if _size(client, bucket, key) == entry.size:
            print(f"{model.name}: its weights are in s3://{bucket} already")
            continue
        check_sums(model.bundle, manifest, [WEIGHTS])  # or nobody could tell later what was sent
        _send(client, model.bundle / WEIGHTS, bucket, key, label=f"{model.name}: {entry.size / 1e9:.3f} GB")


def _send(client: "S3Client", file: Path, bucket: str, key: str, *, label: str) -> None:
    lock = threading.Lock()
    with typer.progressbar(length=file.stat().st_size, label=f"{label} to s3://{bucket}") as bar:

        def sent(count: int) -> None:  # by boto3's threads
            with lock:
                bar.update(count)

        client.upload_file(str(file), bucket, key, Config=AWAY, Callback=sent)


def prune(client: "S3Client", bucket: str, models: Iterable[Model]) -> int:
    """Deletes what none of these models reads; returns how many. Raises ERRORS."""
    kept = {weights_key(model.name, read_manifest(model.bundle).files[WEIGHTS].sha256) for model in models}
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    old = [found["Key"] for page in pages for found in page.get("Contents", ()) if found["Key"] not in kept]
    for key in old:
        client.delete_object(Bucket=bucket, Key=key)
    return len(old)


def _size(client: "S3Client", bucket: str, key: str) -> int | None:
    try:
        return client.head_object(Bucket=bucket, Key=key)["ContentLength"]
    except ClientError as error:
        if code(error) != "404":
            raise
        return None


def bring(wanted: Wanted, *, prunes: bool = False) -> bool:
    """Uploads what the stack's bucket lacks; False if there is none. `prunes`: the stack is deployed just as
    wanted, and what it doesn't read may go. Raises ERRORS."""
    stack = deployed_as(wanted)
    bucket = bucket_of(stack)
    if bucket is None:
        return False
    client = stack.session.client("s3")
    upload(client, bucket, wanted.models)
    if prunes and (count := prune(client, bucket, wanted.models)):
        print(f"older weights in s3://{bucket} are deleted: {count}")
    return True


def main(
    model: Annotated[str | None, typer.Option(help="A model of the catalog, instead of cdk.json's.")] = None,
    context: Context = None,
) -> None:
    """Uploads the weights that the deployed stack's models read."""
    try:
        wanted = read_wanted(parse_context(context or [], model))
        found = bring(wanted)
    except (OptionsError, *ERRORS) as error:
        sys.exit(f"curtain: {told(error)}")
    if not found:
        sys.exit(f"curtain: no stack {wanted.options.stack} has a bucket for them: deploy it with weights s3")


if __name__ == "__main__":
    typer.run(main)
