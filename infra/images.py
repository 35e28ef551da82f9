"""Both functions' images, from one Dockerfile: synth hashes what is in them, `cdk deploy` builds them."""

from pathlib import Path
from typing import Final

from aws_cdk import Stage
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.context import OptionsError
from infra.options import Options
from infra.weights import check_memory, digest, without_weights
from lambda_image.engine.bundle.manifest import MANIFEST
from lambda_image.engine.convert.catalog import REPOSITORY

# Function and image must both be told, and alike, or a function of the wrong kind is made without a word and
# fails when it starts.
PLATFORM: Final = ecr_assets.Platform.LINUX_ARM64
ARCHITECTURE: Final = lambda_.Architecture.ARM_64
DOCKERFILE: Final = "lambda_image/Dockerfile"


def prologue_image(options: Options) -> lambda_.DockerImageCode:
    return _image("prologue", options)


def model_image(scope: Construct, options: Options, model: str) -> lambda_.DockerImageCode:
    """The engine with the model's bundle, which lies outside of the image's context: synth doesn't copy it.
    Weights that are read out of S3 are not in it.

    Docker's named contexts don't count in CDK's hash; the manifest, which has every file's sha256, does.
    Raises OptionsError where there is no bundle.
    """
    bundle = (options.bundles / model).resolve()
    try:
        manifest = (bundle / MANIFEST).read_bytes()
    except OSError:
        raise OptionsError(
            f"curtain:models: {model} has not been packed yet: run make model MODEL={model} TARGET=arm64 "
            f"(there is no {options.bundles / model / MANIFEST})"
        ) from None
    streamed = options.weights == "s3"
    if streamed:
        stage = Stage.of(scope)
        assert stage is not None
        check_memory(model, options.memory_of(model), manifest)
        bundle = without_weights(bundle, Path(stage.outdir).resolve() / f"bundle.{model}")
    target = "model-aten" if options.kernels == "aten" else "model"
    return _image(target, options, bundle=bundle, digest=digest(manifest, streamed=streamed))


def _image(
    target: str, options: Options, *, bundle: Path | None = None, digest: str | None = None
) -> lambda_.DockerImageCode:
    return lambda_.DockerImageCode.from_image_asset(
        str(REPOSITORY),
        file=DOCKERFILE,
        target=target,
        platform=PLATFORM,
        build_args=options.build_args or None,
        build_contexts={"bundle": str(bundle)} if bundle else None,
        extra_hash=digest,
        invalidation=ecr_assets.DockerImageAssetInvalidationOptions(build_contexts=False),  # mere paths
        exclude=["cdk.out", ".cache", ".git", ".venv", "node_modules"],  # beside .dockerignore's
    )
