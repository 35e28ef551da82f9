"""Weights outside of the image (option `weights: s3`): a private bucket, out of which a starting model
function reads them.

Nothing here puts them there: gigabytes are no asset of CDK's, which would copy them at every synth, and no
function's work, which would need them on its disk. `tools/weights.py` does, from where they were built.
"""

import hashlib
import math
import os
import shutil
from pathlib import Path
from typing import Final

from aws_cdk import CfnResource, CustomResourceProviderBase, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from pydantic import ValidationError

from infra.buckets import private_bucket
from infra.context import OptionsError
from infra.functions import removal, retention
from infra.options import Options
from lambda_image.engine.bundle.manifest import WEIGHTS, Manifest
from lambda_image.engine.convert.catalog import HEADROOM_MB, MEMORY_LIMIT_MB

BUCKET: Final = "WeightsBucket"  # the output that names it


class Weights(Construct):
    """The bucket; each model's weights have their own prefix in it."""

    def __init__(self, scope: Construct, construct_id: str, *, options: Options) -> None:
        super().__init__(scope, construct_id)
        gone = options.removal == "destroy"
        self.bucket: Final = private_bucket(
            self,
            "Bucket",
            options=options,
            lifecycle_rules=[
                # What an upload that broke off leaves is paid for, and seen by nobody.
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1))
            ],
            emptied=gone,
        )
        if gone:
            self._log_deletions(options)

    def url(self, model: str) -> str:
        """What the model's function is told."""
        return f"s3://{self.bucket.bucket_name}/{model}"

    def let_read(self, role: iam.Role, model: str) -> None:
        objects = self.bucket.arn_for_objects(f"{model}/*")
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[objects]))

    def _log_deletions(self, options: Options) -> None:
        """CDK's function, which empties the bucket before it goes, would leave its log behind for good:
        by AWS's managed policy it may even make that anew when the stack's is gone."""
        provider = Stack.of(self).node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
        handler, role = (provider.node.find_child(child) for child in ("Handler", "Role"))
        assert isinstance(provider, CustomResourceProviderBase)
        assert isinstance(handler, CfnResource)
        assert isinstance(role, CfnResource)
        log = logs.LogGroup(
            self, "DeletionLog", retention=retention(options), removal_policy=removal(options)
        )
        handler.add_property_override("LoggingConfig.LogGroup", log.log_group_name)
        role.add_property_deletion_override("ManagedPolicyArns")
        provider.add_to_role_policy(
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": log.log_group_arn,
            }
        )


def without_weights(bundle: Path, folder: Path) -> Path:
    """A bundle's other files in a folder of their own, for an image without weights. Hard links, where the
    file system has them: prefixes and embeddings are large, too."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in bundle.iterdir():
        if file.name == WEIGHTS:
            continue
        try:
            os.link(file, folder / file.name)
        except OSError:
            shutil.copyfile(file, folder / file.name)
    return folder


def check_memory(model: str, memory_mb: int, manifest: bytes) -> None:
    """Raises OptionsError where weights from S3 would not fit, as with a model that the catalog doesn't know.

    Of an image's weights Linux drops pages that don't fit, and reads them again. Of these it can't, and
    Lambda would kill the function.
    """
    try:
        known = Manifest.model_validate_json(manifest)
    except ValidationError:
        return  # the doctor says so, and the function
    config = known.config
    kv = 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * known.context_length
    needed = math.ceil((known.files[WEIGHTS].size + kv) / 2**20) + HEADROOM_MB
    if memory_mb < needed:
        raise OptionsError(
            f"curtain:memory_mb: {model} needs {needed} to {MEMORY_LIMIT_MB} MB where its weights come out "
            f"of S3; given: {memory_mb}"
        )


def digest(manifest: bytes, *, streamed: bool) -> str:
    """What tells an image from others of the same code: its bundle, and whether the weights are in it."""
    return hashlib.sha256(manifest + (b"without weights" if streamed else b"")).hexdigest()
