"""Every option of a deployment. docs/deploy.md says what each is for and costs; `context.py` reads them."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)

from infra.hours import Hours
from infra.parts import Domain, Email, Issuer, Origin, Part, Vpc
from infra.regions import check_region
from lambda_image.engine.convert.catalog import (
    MEMORY_LIMIT_MB,
    NAME,
    REPOSITORY,
    CatalogError,
    Entry,
    load_catalog,
)
from prologue.world import WORLD_FILE, WORLDS

LIGHT_ROOM = 5  # of the account's concurrency, kept for the light function
NEVER_RESERVED = 100  # of it, that Lambda keeps for what is neither reserved nor provisioned (its docs)
BUILD_ARGS = ("BASE", "BUILD_BASE", "TORCH_INDEX")  # that the Dockerfile asks for

Retention = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731
]  # days CloudWatch Logs knows


class Options(Part):
    """The defaults are what a fresh account can deploy: safe, and cheap while nobody talks."""

    stack: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")] = "Curtain"
    region: str | None = None  # else the CLI's
    models: Annotated[tuple[str, ...], Field(min_length=1)] = (load_catalog().cloud_default,)
    worlds: Annotated[tuple[str, ...], Field(min_length=1)] = ("emerald-city", "hollow-skerry")
    memory_mb: PositiveInt | dict[str, PositiveInt] = Field(default={})  # else the catalog's
    weights: Literal["image", "s3"] = "image"  # where they lie while nobody talks
    kernels: Literal["native", "aten"] = "native"  # that compute: the engine's own, or torch's
    capacity: PositiveInt = 2  # listeners whom one model serves at a time
    account_concurrency: Annotated[int, Field(ge=10)] = 10  # a new account's Lambda limit
    reserved_concurrency: PositiveInt | None = None  # of each model function
    light_concurrency: Annotated[int, Field(ge=LIGHT_ROOM)] | None = None  # reserved for the light function
    provisioned_concurrency: NonNegativeInt = 0  # environments of each model kept awake
    provisioned_hours: tuple[Hours, ...] = ()  # when; always, if none is named
    auth: Literal["access-code", "jwt", "iam", "open"] = "access-code"
    jwt: Issuer | None = None
    allowed_origins: tuple[Origin, ...] = ()  # of pages elsewhere; the stack's own is always allowed
    domain: Domain | None = None  # of the page
    vpc: Literal["new"] | Vpc | None = None
    retention_days: Retention = 30
    access_logs: Literal["off", "on", "with-account-role"] = "off"
    alarms_email: Email | None = None
    budget_usd: PositiveFloat | None = None  # a month
    dashboard: bool = False
    tracing: bool = True
    removal: Literal["destroy", "retain"] = "destroy"
    model_seconds_per_day: PositiveInt = 7200  # of all listeners together, about a dollar
    model_seconds_per_day_ticket: PositiveInt = 1800
    model_seconds_per_day_address: PositiveInt = 3600
    bundles: Path = REPOSITORY / ".cache" / "models"  # where `make model` leaves them
    build_args: dict[str, str] = Field(default={})  # of the Dockerfile

    @property
    def slots(self) -> int:
        """Listeners whom one model really serves at a time, so that the account's limit leaves the light
        function its room."""
        return min(self.capacity, (self.account_concurrency - self.light_room) // len(self.models))

    @property
    def light_room(self) -> int:
        """What the light function always has of the account's concurrency."""
        return self.light_concurrency or LIGHT_ROOM

    @property
    def set_apart(self) -> int:
        """Environments that are reserved, or kept awake where a model reserves none."""
        models = (self.reserved_concurrency or self.provisioned_concurrency) * len(self.models)
        return models + (self.light_concurrency or 0)

    def memory_of(self, model: str) -> int:
        """MB of the model's function."""
        given = self.memory_mb if isinstance(self.memory_mb, int) else self.memory_mb.get(model)
        if given is None:
            given = load_catalog().find(model).memory_mb
        return given

    @field_validator("region")
    @classmethod
    def _has_all_services(cls, region: str | None) -> str | None:
        return check_region(region) if region else None

    @field_validator("models")
    @classmethod
    def _in_one_spelling(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(entry.name if (entry := _entry(name)) else name for name in models)
        for name in names:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a model: docs/models.md lists them")
        if len(set(names)) < len(names):
            raise ValueError("a model is named twice")
        return names

    @field_validator("worlds")
    @classmethod
    def _are_in_the_image(cls, worlds: tuple[str, ...]) -> tuple[str, ...]:
        known = sorted(file.parent.name for file in WORLDS.glob(f"*/{WORLD_FILE}"))
        for name in worlds:
            if name not in known:
                raise ValueError(f"no world {name!r} under prologue/worlds; there are: {', '.join(known)}")
        if len(set(worlds)) < len(worlds):
            raise ValueError("a world is named twice")
        return worlds

    @field_validator("memory_mb")
    @classmethod
    def _by_the_models_names(cls, memory: int | dict[str, int]) -> int | dict[str, int]:
        if isinstance(memory, int):
            return memory
        named = {entry.name if (entry := _entry(name)) else name: size for name, size in memory.items()}
        if len(named) < len(memory):
            raise ValueError("a model is named twice")
        return named

    @field_validator("build_args")
    @classmethod
    def _are_asked_for(cls, arguments: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(arguments.keys() - set(BUILD_ARGS)):
            raise ValueError(f"the Dockerfile asks for {', '.join(BUILD_ARGS)}, and not for {unknown[0]!r}")
        return arguments

    @model_validator(mode="after")
    def _memory_suffices(self) -> Self:
        for name in () if isinstance(self.memory_mb, int) else self.memory_mb:
            if name not in self.models and _entry(name) is None:
                raise ValueError(f"memory_mb: {name!r} is not in models, and {_unknown(name)}")
        for model in self.models:
            entry = _entry(model)
            given = self.memory_mb if isinstance(self.memory_mb, int) else self.memory_mb.get(model)
            if given is None and entry is None:
                raise ValueError(f"models: {_unknown(model)}; or give its memory_mb")
            least, most = entry.memory_mb if entry else 512, MEMORY_LIMIT_MB
            if given is not None and not least <= given <= most:
                raise ValueError(f"memory_mb: {model} needs {least} to {most} MB; given: {given}")
        return self

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.slots < 1:
            raise ValueError(
                f"models: {len(self.models)} don't fit account_concurrency {self.account_concurrency}, "
                f"{self.light_room} of it the light function's; name fewer, or have the account's limit "
                "raised"
            )
        self._check_concurrency()
        if (self.auth == "jwt") != (self.jwt is not None):
            raise ValueError('jwt: {"issuer": …, "audience": …} belongs to auth "jwt", and only to it')
        if self.budget_usd is not None and self.alarms_email is None:
            raise ValueError("budget_usd: somebody must be told; give alarms_email too")
        if self.auth == "iam" and self.domain:
            raise ValueError('domain: with auth "iam" there is no page: none can sign its requests')
        return self

    def _check_concurrency(self) -> None:
        """What is reserved or kept awake is taken from what the account has. Raises ValueError."""
        awake, reserved = self.provisioned_concurrency, self.reserved_concurrency
        if awake > self.slots:
            raise ValueError(
                f"provisioned_concurrency: at most {self.slots}, as many listeners as each model serves at a "
                f"time (capacity, within account_concurrency): more would be paid for nobody; given: {awake}"
            )
        if reserved is not None and reserved < self.slots:
            raise ValueError(
                f"reserved_concurrency: at least {self.slots}, which capacity promises; given: {reserved}"
            )
        free = self.account_concurrency - self.set_apart
        if self.set_apart and free < NEVER_RESERVED:
            name, instead = self.concurrency_option()
            raise ValueError(
                f"{name}: Lambda keeps {NEVER_RESERVED} of an account's concurrency for everything else, and "
                f"of account_concurrency {self.account_concurrency} {free} would be left. Leave it out "
                f"({instead}), or have the account's limit raised and say so with account_concurrency"
            )
        if self.provisioned_hours and not awake:
            raise ValueError("provisioned_hours: say how many, with provisioned_concurrency; given: 0")

    def concurrency_option(self) -> tuple[str, str]:
        """Which one sets environments apart, and what there is without it."""
        if self.reserved_concurrency:
            return "reserved_concurrency", "capacity is kept all the same"
        if self.provisioned_concurrency:
            return "provisioned_concurrency", "the first words wait for a start then"
        return "light_concurrency", "what a flood at the door costs is bounded by the account's limit then"


def _entry(name: str) -> Entry | None:
    try:
        return load_catalog().find(name)
    except CatalogError:
        return None


def _unknown(name: str) -> CatalogError:
    """What the catalog says of a name that it doesn't know."""
    try:
        load_catalog().find(name)
    except CatalogError as error:
        return error
    raise AssertionError(name)
