"""What is to be deployed, as far as account and machine must have room for it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.context import PREFIX, OptionsError, read_options
from infra.options import Options
from lambda_image.engine.bundle.manifest import WEIGHTS
from lambda_image.engine.convert.catalog import REPOSITORY, CatalogError, Entry, load_catalog

SETTINGS = REPOSITORY / "cdk.json"


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str
    entry: Entry | None  # where the catalog knows it
    memory_mb: int  # of its function
    bundle: Path
    streamed: bool = False  # whether its weights lie in S3

    @property
    def weights_bytes(self) -> int:
        """Of the bundle that is there; else what the catalog says it will have."""
        if self.bundle.exists():
            return sum(file.stat().st_size for file in self.bundle.iterdir())
        return self.entry.bundle_bytes if self.entry else 0

    @property
    def streamed_bytes(self) -> int:
        """Of them, what lies in S3 and not in the image."""
        if not self.streamed:
            return 0
        weights = self.bundle / WEIGHTS
        return weights.stat().st_size if weights.exists() else self.weights_bytes


@dataclass(frozen=True, kw_only=True)
class Wanted:
    context: Mapping[str, Any]  # what the options were read from
    options: Options
    models: tuple[Model, ...]

    @property
    def region(self) -> str | None:
        """The option's, or AWS_REGION, which boto3 doesn't read and the CDK does; None: boto3 knows best."""
        return self.options.region or os.environ.get("AWS_REGION")

    @property
    def memory_mb(self) -> int:
        """Of the largest function."""
        return max(model.memory_mb for model in self.models)


def read_wanted(given: Mapping[str, str], settings: Path = SETTINGS) -> Wanted:
    """What `cdk.json` asks for, and `given` instead of what it says under the same keys, as with `cdk -c`.

    Raises OptionsError.
    """
    try:
        context: dict[str, Any] = json.loads(settings.read_text(encoding="utf-8")).get("context", {})
    except (OSError, ValueError) as error:
        raise OptionsError(f"{settings} can't be read: {error}") from None
    context |= given
    options = read_options(context)
    return Wanted(
        context=context, options=options, models=tuple(_model(name, options) for name in options.models)
    )


def parse_context(pairs: list[str], model: str | None) -> dict[str, str]:
    """`KEY=VALUE`, as `cdk -c` takes them, and the model of `make deploy MODEL=`. Raises OptionsError."""
    context = {PREFIX + "models": model} if model else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise OptionsError(f"-c {pair}: write it as KEY=VALUE")
        context[key] = value
    return context


def _model(name: str, options: Options) -> Model:
    try:
        entry = load_catalog().find(name)
    except CatalogError:
        entry = None  # a checkpoint of the user's own
    return Model(
        name=name,
        entry=entry,
        memory_mb=options.memory_of(name),
        bundle=options.bundles / name,
        streamed=options.weights == "s3",
    )
