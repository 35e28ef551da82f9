"""Options: what is taken, and what is said of the others."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.context import OptionsError, read_options
from infra.hours import Hours
from infra.options import BUILD_ARGS, Options
from infra.warnings import warnings_of
from lambda_image.engine.convert.catalog import load_catalog
from tests.infra.combinations import CERTIFICATE, HOURS, ISSUER

REPOSITORY = Path(__file__).parents[2]
DEPLOY, DOCKERFILE = REPOSITORY / "docs" / "deploy.md", REPOSITORY / "lambda_image" / "Dockerfile"

WORDS = [
    "",
    "none",
    "always",
    "true",
    "new",
    "19:30-23:00",
    "{",
    "[1]",
    '{"id": 1}',
    "9" * 5000,
    "-1",
    "1,,2",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
KEYS = st.text(max_size=5) | st.sampled_from(["int", "Vpc", "[key]", "id", "demo", "start"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
WHOLE: dict[str, Any] = {
    "memory_mb": {"llama3.1-8b": 8192},
    "auth": "jwt",
    "jwt": ISSUER,
    "allowed_origins": ["https://a.example.org"],
    "domain": {
        "name": "a.example.org",
        "certificate_arn": CERTIFICATE,
        "hosted_zone": {"id": "Z1", "name": "example.org"},
    },
    "vpc": {"id": "vpc-1", "subnets": ["subnet-1"], "security_groups": ["sg-1"]},
    "provisioned_concurrency": 1,
    "account_concurrency": 1000,
    "provisioned_hours": HOURS,
    "build_args": {"BASE": "x"},
}
PARTS: list[tuple[str | int, ...]] = [
    ("memory_mb", "llama3.1-8b"),
    ("jwt", "issuer"),
    ("jwt", "audience"),
    ("allowed_origins", 0),
    ("domain", "name"),
    ("domain", "certificate_arn"),
    ("domain", "hosted_zone"),
    ("domain", "hosted_zone", "name"),
    ("vpc", "subnets"),
    ("vpc", "subnets", 0),
    ("vpc", "security_groups"),
    ("provisioned_hours", 0),
    ("provisioned_hours", 0, "days"),
    ("provisioned_hours", 0, "days", 0),
    ("provisioned_hours", 0, "start"),
    ("provisioned_hours", 0, "timezone"),
    ("build_args", "BASE"),
]


def read(**options: Any) -> Options:
    return read_options({f"curtain:{name}": value for name, value in options.items()})


def refusal(**options: Any) -> str:
    with pytest.raises(OptionsError) as refused:
        read(**options)
    return str(refused.value)


def refused(**options: Any) -> str | None:
    """What is said of them, or nothing where they are taken."""
    try:
        read(**options)
    except OptionsError as error:
        return str(error)
    return None


def test_the_default_is_the_catalogs_model_with_its_memory() -> None:
    options = read_options({"aws:cdk:bundling-stacks": ["**"]})
    default = load_catalog().cloud_default
    assert options.models == (default,)
    assert options.memory_of(default) == load_catalog().find(default).memory_mb
    assert (options.auth, options.removal, options.vpc, options.slots) == ("access-code", "destroy", None, 2)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("models", "demo, llama3.2-1b", ["demo", "llama3.2-1b"]),
        ("models", '["demo"]', ["demo"]),
        ("allowed_origins", "", []),
        ("allowed_origins", "none", []),
        ("provisioned_hours", "none", []),
        ("build_args", "none", {}),
        ("memory_mb", "none", {}),
        ("capacity", "3", 3),
        ("memory_mb", "8192", 8192),
        ("memory_mb", '{"llama3.1-8b": 8192}', {"llama3.1-8b": 8192}),
        ("retention_days", "365", 365),
        ("budget_usd", "none", None),
        ("vpc", "none", None),
        ("vpc", '{"id": "vpc-1", "subnets": ["subnet-2"]}', {"id": "vpc-1", "subnets": ["subnet-2"]}),
        ("dashboard", "true", True),
        ("tracing", "false", False),
        ("bundles", "/somewhere/else", Path("/somewhere/else")),
    ],
)
def test_the_command_lines_text_means_what_cdk_json_would(name: str, text: str, value: Any) -> None:
    assert read(**{name: text}) == read(**{name: value})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"modles": "demo"}, "curtain:modles: no such option; did you mean curtain:models?"),
        ({"vpc": {"id": "vpc-1", "subnets": ["subnet-1"], "az": 1}}, "curtain:vpc.az: no such option"),
        ({"models": "lama3.1-8b"}, "no model 'lama3.1-8b' in the catalog; did you mean llama3.1-8b"),
        ({"models": "demo,DEMO"}, "curtain:models: a model is named twice"),
        ({"models": "a b"}, "'a b' is no name of a model"),
        ({"models": ""}, "curtain:models: list should have at least 1 item"),
        ({"worlds": "hollow-skerry,hollow-skerry"}, "curtain:worlds: a world is named twice"),
        ({"worlds": "oz"}, "no world 'oz' under prologue/worlds; there are: emerald-city, hollow-skerry"),
        ({"memory_mb": 3008}, "curtain:memory_mb: llama3.1-8b needs 6400 to 10240 MB; given: 3008"),
        ({"memory_mb": 10241}, "needs 6400 to 10240 MB; given: 10241"),
        (
            {"memory_mb": {"llama3.1-8b": "much"}},
            "curtain:memory_mb.llama3.1-8b: input should be a valid integer",
        ),
        (
            {"memory_mb": {"lama3.1-8b": 8192}},
            "curtain:memory_mb: 'lama3.1-8b' is not in models, and no model 'lama3.1-8b' in the catalog; "
            "did you mean llama3.1-8b",
        ),
        ({"memory_mb": {"llama3.1": 8192, "llama3.1-8b": 8192}}, "memory_mb: a model is named twice"),
        ({"memory_mb": {"llama3.1-8b": 0}}, "curtain:memory_mb.llama3.1-8b: input should be greater than 0"),
        (
            {"build_args": {"BAES": "x"}},
            "curtain:build_args: the Dockerfile asks for BASE, BUILD_BASE, TORCH",
        ),
        ({"build_args": "BASE=x"}, 'curtain:build_args: input should be an object: {"BASE": "…"}'),
        ({"capacity": 0}, "curtain:capacity: input should be greater than 0; given: 0"),
        ({"account_concurrency": 5}, "input should be greater than or equal to 10; given: 5"),
        ({"weights": "efs"}, "curtain:weights: input should be 'image' or 's3'; given: 'efs'"),
        ({"auth": "password"}, "input should be 'access-code', 'jwt', 'iam' or 'open'; given: 'password'"),
        ({"auth": "jwt"}, 'curtain:jwt: {"issuer": …, "audience": …} belongs to auth "jwt"'),
        ({"jwt": ISSUER}, 'curtain:jwt: {"issuer": …, "audience": …} belongs to auth "jwt"'),
        ({"auth": "jwt", "jwt": ISSUER | {"issuer": "http://me"}}, "curtain:jwt.issuer: string should match"),
        ({"allowed_origins": "https://a.org/"}, "curtain:allowed_origins.0: string should match"),
        ({"allowed_origins": "*"}, "curtain:allowed_origins.0: string should match"),
        ({"vpc": "mine"}, 'input should be \'new\', "none" or {"id": "vpc-…", "subnets": ["subnet-…"]}'),
        ({"vpc": {"id": "vpc-1"}}, "curtain:vpc.subnets: field required"),
        ({"vpc": "{id}"}, "curtain:vpc: this is no JSON"),
        ({"retention_days": 31}, "input should be 1, 3, 5, 7, 14, 30,"),
        ({"region": "eu-north-9"}, "curtain:region: no region where Lambda is; known: af-south-1,"),
        ({"alarms_email": "me"}, "curtain:alarms_email: string should match"),
        ({"budget_usd": 20}, "curtain:budget_usd: somebody must be told; give alarms_email too"),
        ({"stack": "my stack"}, "curtain:stack: string should match"),
        (
            {
                "domain": {
                    "name": "a.org",
                    "certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/1",
                }
            },
            "curtain:domain.certificate_arn: string should match pattern '^arn:aws:acm:us-east-1:",
        ),
        (
            {
                "domain": {
                    "name": "notexample.org",
                    "certificate_arn": CERTIFICATE,
                    "hosted_zone": {"id": "Z1", "name": "example.org"},
                }
            },
            "curtain:domain: notexample.org is not in the hosted_zone example.org; given: {",
        ),
        ({"domain": "a.org"}, 'curtain:domain: input should be an object: {"name": "…", "certificate_arn"'),
        (
            {"provisioned_hours": "19:30-23:00"},
            'curtain:provisioned_hours.0: input should be an object: [{"start"',
        ),
        ({"provisioned_hours": "always"}, "or leave it out, which is always; given: 'always'"),
        (
            {"provisioned_concurrency": 3},
            "curtain:provisioned_concurrency: at most 2, as many listeners as each",
        ),
        (
            {"provisioned_concurrency": 5, "capacity": 1, "account_concurrency": 1000},
            "curtain:provisioned_concurrency: at most 1, as many listeners as each",
        ),
        (
            {"provisioned_concurrency": 1},
            "curtain:provisioned_concurrency: Lambda keeps 100 of an account's concurrency for everything "
            "else, and of account_concurrency 10 9 would be left. Leave it out (the first words wait",
        ),
        (
            {"provisioned_hours": [{"start": "19", "end": "20:00"}]},
            "curtain:provisioned_hours.0.start: string",
        ),
        (
            {
                "provisioned_concurrency": 1,
                "account_concurrency": 1000,
                "provisioned_hours": [{"start": "19:00", "end": "20:00", "timezone": "Oz"}],
            },
            "no time zone 'Oz'; such as Europe/Berlin or UTC",
        ),
        (
            {"provisioned_hours": [{"start": "19:00", "end": "20:00"}]},
            "curtain:provisioned_hours: say how many, with provisioned_concurrency; given: 0",
        ),
        (
            {"reserved_concurrency": 2},
            "of account_concurrency 10 8 would be left. Leave it out (capacity is kept all the same)",
        ),
        (
            {"reserved_concurrency": 2, "capacity": 4, "account_concurrency": 1000},
            "curtain:reserved_concurrency: at least 4, which capacity promises; given: 2",
        ),
        (
            {"light_concurrency": 20, "account_concurrency": 110},
            "curtain:light_concurrency: Lambda keeps 100 of an account's concurrency for everything else",
        ),
        (
            {"models": "demo,smollm2-135m,smollm2-360m,smollm2-1.7b,qwen3-1.7b,qwen2.5-1.5b"},
            "curtain:models: 6 don't fit account_concurrency 10",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_bad_option_is_named_with_what_was_given_and_what_would_do(
    options: dict[str, Any], told: str
) -> None:
    assert told in refusal(**options)


def test_every_mistake_is_told_at_once() -> None:
    assert refusal(capacity=0, auth="?", worlds="oz").count("\n") == 2


def test_one_mistake_is_told_once() -> None:
    """Not also that nothing is left of a list whose only member is wrong, nor what else would do."""
    for options in (
        {"provisioned_hours": [{"days": ["XXX"], "start": "19:30", "end": "23:00"}]},
        {"vpc": [1]},
        {"memory_mb": [1]},
    ):
        assert "\n" not in refusal(**options)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(Options.model_fields)), value=VALUES)
def test_whatever_is_given_is_taken_or_refused_in_lines_that_name_it(name: str, value: Any) -> None:
    told = refused(**{name: value})
    if told is not None:
        assert all(line.startswith("curtain:") and len(line) > len("curtain:: ") for line in told.split("\n"))
        assert name in told


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(PARTS), value=VALUES)
def test_a_part_of_an_option_that_is_wrong_is_named(path: tuple[str | int, ...], value: Any) -> None:
    """In the full set of options one part becomes something else."""
    options = json.loads(json.dumps(WHOLE))
    where: Any = options
    for step in path[:-1]:
        where = where[step]
    where[path[-1]] = value
    told = refused(**options)
    if told is not None:
        assert all(line.startswith("curtain:") for line in told.split("\n"))
        assert str(path[0]) in told


def test_a_model_of_ones_own_says_its_memory() -> None:
    assert "or give its memory_mb" in refusal(models="my-tale-3b")
    assert read(models="my-tale-3b", memory_mb={"my-tale-3b": 4096}).memory_of("my-tale-3b") == 4096


def test_torchchats_names_are_understood() -> None:
    assert read(models="Llama3.1").models == ("llama3.1-8b",)
    assert read(models="Llama3.1", memory_mb={"Llama3.1": 8192}).memory_of("llama3.1-8b") == 8192


@pytest.mark.parametrize("name", ["example.org", "tales.example.org"])
def test_the_pages_name_is_in_its_zone(name: str) -> None:
    zone = {"id": "Z1", "name": "example.org"}
    domain = read(domain={"name": name, "certificate_arn": CERTIFICATE, "hosted_zone": zone}).domain
    assert domain is not None
    assert domain.name == name


def test_a_reservation_has_room_for_what_is_kept_awake() -> None:
    options = {"provisioned_concurrency": 2, "account_concurrency": 102}
    assert read(**options).provisioned_concurrency == 2
    assert read(**options, reserved_concurrency=2).reserved_concurrency == 2
    assert "102 98 would be left" in refusal(**options, models="demo,smollm2-135m")


def test_the_dockerfile_asks_for_what_may_be_given() -> None:
    asked = re.findall(r"^ARG (\w+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name in asked if not name.startswith("TARGET")} == set(BUILD_ARGS)


def test_the_accounts_limit_leaves_the_light_function_its_room() -> None:
    assert read(capacity=50).slots == 5
    assert read(capacity=50, account_concurrency=1000).slots == 50
    assert read(capacity=50, account_concurrency=160, light_concurrency=60).slots == 50
    assert (
        read(capacity=50, account_concurrency=165, light_concurrency=65, models="demo,smollm2-135m").slots
        == 50
    )
    assert read(capacity=50, models="demo,smollm2-135m").slots == 2
    told = dict(warnings_of(read(capacity=50)))
    assert "each model serves 5 at a time" in told["capacity"]


def test_what_is_allowed_but_dear_or_dangerous_is_warned_of() -> None:
    assert dict(warnings_of(read())) == {}
    awake = {"provisioned_concurrency": 1, "account_concurrency": 1000}
    told = dict(warnings_of(read(auth="open", vpc="new", memory_mb=10_240, **awake)))
    assert told.keys() == {"open", "provisioned", "vpc"}
    assert "$0.48 per address, $0.96 in all" in told["open"]
    assert "about $88 a month" in told["provisioned"]
    assert "about $36 a month, and its traffic" in told["vpc"]
    assert "weights" not in told["vpc"]
    assert "take about a minute for 4.5 GB." in dict(warnings_of(read(weights="s3", vpc="new")))["vpc"]


@pytest.mark.parametrize(
    ("hours", "opens", "closes"),
    [
        (
            Hours(start="09:05", end="17:00"),
            "5 9 ? * MON,TUE,WED,THU,FRI,SAT,SUN",
            "0 17 ? * MON,TUE,WED,THU,FRI,SAT,SUN",
        ),
        (Hours(days=("SUN", "FRI"), start="20:00", end="00:00"), "0 20 ? * FRI,SUN", "0 0 ? * MON,SAT"),
    ],
)
def test_announced_hours_may_end_after_midnight(hours: Hours, opens: str, closes: str) -> None:
    assert (hours.opens, hours.closes) == (f"cron({opens} *)", f"cron({closes} *)")


def test_every_option_is_documented_and_nothing_else() -> None:
    section = DEPLOY.read_text(encoding="utf-8").split("\n## Options\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted(Options.model_fields)
