"""Option combinations in which every two values that go together meet at least once."""

from typing import Any

from allpairspy import AllPairs  # type: ignore[import-untyped]

ISSUER = {"issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc", "audience": "client"}
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
HOURS = [{"days": ["FRI", "SUN"], "start": "19:30", "end": "01:00", "timezone": "Europe/Berlin"}]
VALUES: dict[str, list[dict[str, Any]]] = {
    "auth": [
        {"auth": "access-code"},
        {"auth": "jwt", "jwt": ISSUER},
        {"auth": "iam"},
        {"auth": "open", "allowed_origins": ["https://stories.example.org"]},
    ],
    "vpc": [
        {},
        {"vpc": "new"},
        {"vpc": {"id": "vpc-0a", "subnets": ["subnet-0a", "subnet-0b"], "security_groups": ["sg-0a"]}},
    ],
    "awake": [
        {},
        {"provisioned_concurrency": 1},
        {"provisioned_concurrency": 2, "provisioned_hours": HOURS},
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
    "seen": [{}, {"dashboard": True, "alarms_email": "house@example.org", "budget_usd": 20}],
    "removal": [{}, {"removal": "retain", "retention_days": 365}],
    "weights": [{}, {"weights": "s3"}],
    "kernels": [{}, {"kernels": "aten"}],
    "tracing": [{}, {"tracing": False}],
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
