"""What the functions are told, as `infra/` tells them in the cloud: environment variables and limits."""

import json
from collections.abc import Mapping
from pathlib import Path

from local.lambda_service.config import FunctionConfig
from local.options import REPOSITORY, Options
from local.supplies import Supplies

TABLE = "curtain"
STAGE = "prod"


def light_settings(options: Options, supplies: Supplies, shared: Mapping[str, str]) -> dict[str, str]:
    """The light function's environment variables."""
    return {
        **shared,
        "MODELS": json.dumps({model.name: model.function for model in options.models}),
        "WORLDS": ",".join(world.name for world in options.worlds),
        "FAQ_DIR": str(supplies.faq),
    }


def model_functions(
    options: Options, bundles: Mapping[str, Path], shared: Mapping[str, str]
) -> dict[str, FunctionConfig]:
    """A function for each model, by the function's name. `bundles`: where each looks for its model."""
    return {
        model.function: FunctionConfig(
            handler="lambda_image.handler.lambda_handler",
            task_root=REPOSITORY,
            env={
                **shared,
                "MODEL_NAME": model.name,
                "BUNDLE_DIR": str(bundles[model.name]),
                "COLD_START_S": str(options.cold_start_s),
            },
            environments=options.environments,
            idle_s=options.idle_s,
            maximum_event_age_s=60,
            maximum_retry_attempts=0,
        )
        for model in options.models
    }


def shared_settings(options: Options, supplies: Supplies, *, table: str, control: str) -> dict[str, str]:
    """What both are told. `table` and `control` are the URLs of DynamoDB, and of Lambda and @connections."""
    return {
        "TABLE_NAME": TABLE,
        "CALLBACK_URL": f"{control}/{STAGE}",
        "WORLDS_DIR": str(supplies.worlds),
        "CAPACITY": str(options.environments),
        "MODEL_SECONDS_PER_DAY": str(options.daily_seconds),
        "MODEL_SECONDS_PER_DAY_TICKET": "0",
        "MODEL_SECONDS_PER_DAY_ADDRESS": "0",  # here nobody pays by the second
        "AWS_ENDPOINT_URL_DYNAMODB": table,
        "AWS_ENDPOINT_URL_LAMBDA": control,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
