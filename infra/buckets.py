"""What every bucket of the stack has in common: nobody comes in but whom a policy names, and over TLS."""

from collections.abc import Sequence

from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.functions import removal
from infra.options import Options


def private_bucket(
    scope: Construct,
    construct_id: str,
    *,
    options: Options,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
    emptied: bool = False,
) -> s3.Bucket:
    """`emptied`: before it goes with the stack; else whoever fills it does that, or it can't go."""
    return s3.Bucket(
        scope,
        construct_id,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=lifecycle_rules or None,
        removal_policy=removal(options),
        auto_delete_objects=emptied,
    )
