"""Option combinations in which every two values that go together meet at least once."""

from typing import Any

from allpairspy import AllPairs  # type: ignore[import-untyped]

ISSUER = {"issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc", "audience": "client"}
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
HOURS = [{"days": ["FRI", "SUN"], "start": "19:30", "end": "01:00", "timezone": "Europe/Berlin"}]
VALUES: dict[str, list[dict[str, Any]]] = {
    "auth": [
        {"auth": "access-code"},
        {"auth": "jwt", "jwt": ISSUER | {"jwks_url": "https://keys.example.org/jwks.json"}},
        {"auth": "iam"},
        {"auth": "open", "allowed_origins": ["https://stories.example.org"]},
    ],
    "vpc": [
        {},
        {"vpc": "new"},
        {
            "vpc": {
                "id": "vpc-0a1b2c3d",
                "subnets": ["subnet-0a1b2c3d", "subnet-0b1c2d3e"],
                "security_groups": ["sg-0a1b2c3d"],
            }
        },
        {"vpc": {"id": "vpc-0b1c2d3e", "subnets": ["subnet-0c1d2e3f"]}},
    ],
    "awake": [
        {},
        {"provisioned_concurrency": 1, "account_concurrency": 1000},
        {"provisioned_concurrency": 2, "account_concurrency": 1000, "provisioned_hours": HOURS},
    ],
    "domain": [
        {},
        {"domain": {"name": "curtain.example.org", "certificate_arn": CERTIFICATE}},
        {
            "domain": {
                "name": "curtain.example.org",
                "certificate_arn": CERTIFICATE,
                "hosted_zone": {"id": "Z0123", "name": "example.org"},
            }
        },
    ],
    "access_logs": [{}, {"access_logs": "on"}, {"access_logs": "with-account-role"}],
    "models": [{}, {"models": ["demo", "smollm2-135m"], "memory_mb": {"demo": 2048}}],
    "reserved": [{}, {"reserved_concurrency": 5, "account_concurrency": 1000, "capacity": 4}],
    "light": [{}, {"light_concurrency": 20, "account_concurrency": 1000}],
    "seen": [{}, {"dashboard": True, "alarms_email": "house@example.org", "budget_usd": 20}],
    "removal": [{}, {"removal": "retain", "retention_days": 365}],
    "weights": [{}, {"weights": "s3"}],
    "kernels": [{}, {"kernels": "aten"}],
    "tracing": [{}, {"tracing": False}],
    "caps": [
        {},
        {
            "model_seconds_per_day": 111,
            "model_seconds_per_day_ticket": 22,
            "model_seconds_per_day_address": 33,
        },
    ],
}
FULL: dict[str, Any] = {
    "access_logs": "with-account-role",
    "account_concurrency": 1000,
    "alarms_email": "house@example.org",
    "budget_usd": 20,
    "dashboard": True,
    "light_concurrency": 20,
    "models": ["demo", "smollm2-135m"],
    "provisioned_concurrency": 1,
    "provisioned_hours": HOURS,
    "reserved_concurrency": 5,
    "vpc": "new",
    "weights": "s3",
}
OTHERWISE: dict[str, Any] = {  # what may be otherwise than in FULL
    **VALUES["auth"][1],
    **VALUES["vpc"][2],
    **VALUES["awake"][1],
    **VALUES["domain"][2],
    **VALUES["caps"][1],
    "access_logs": "on",
    "alarms_email": "house@example.org",
    "budget_usd": 20,
    "kernels": "aten",
    "removal": "retain",
    "retention_days": 365,
    "tracing": False,
    "weights": "s3",
}


def combinations() -> list[dict[str, Any]]:
    """The first is the default."""
    names = list(VALUES)

    def goes_together(row: list[dict[str, Any]]) -> bool:
        chosen = {name: value for part in row for name, value in part.items()}
        return not (chosen.get("auth") == "iam" and "domain" in chosen)

    return [
        {name: value for part in row for name, value in part.items()}
        for row in AllPairs([VALUES[name] for name in names], filter_func=goes_together)
    ]
