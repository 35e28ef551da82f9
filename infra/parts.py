"""Options that have parts of their own."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
# A browser sends no path and no slash at the end, and the comparison is letter by letter.
Origin = Annotated[
    str, StringConstraints(pattern=r"^(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:\d{1,5})?$")
]
DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Https = Annotated[str, StringConstraints(pattern=r"^https://\S+$")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Issuer(Part):
    """Whose tokens are taken: any OIDC issuer, such as a Cognito user pool."""

    issuer: Https  # as `iss` in its tokens
    audience: Annotated[str, StringConstraints(min_length=1)]  # as `aud`; several with commas between
    jwks_url: Https | None = None  # where its keys are; else its own configuration says it
    sign_in: Https | None = None  # where the page sends whoever has no token


class Zone(Part):
    """The Route 53 zone in which the page's name is to be written."""

    id: Annotated[str, StringConstraints(pattern=r"^Z[A-Z0-9]+$")]
    name: DomainName


class Domain(Part):
    """The page's own name. CloudFront reads certificates in us-east-1 only."""

    name: DomainName
    certificate_arn: Annotated[
        str, StringConstraints(pattern=r"^arn:aws:acm:us-east-1:\d{12}:certificate/.+$")
    ]
    hosted_zone: Zone | None = None  # without it, its record is yours to write

    @model_validator(mode="after")
    def _in_the_zone(self) -> Self:
        if self.hosted_zone and not f".{self.name}".endswith(f".{self.hosted_zone.name}"):
            raise ValueError(f"{self.name} is not in the hosted_zone {self.hosted_zone.name}")
        return self


class Vpc(Part):
    """A VPC that is there already. Its subnets need a way to API Gateway, which is NAT."""

    id: Annotated[str, StringConstraints(pattern=r"^vpc-[0-9a-f]+$")]
    subnets: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")], ...], Field(min_length=1)
    ]
    security_groups: tuple[Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")], ...] = ()
