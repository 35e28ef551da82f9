"""What the stack costs while nobody talks, against sums done by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.hours import Hours
from infra.idle_cost import announced_hours, idle_items, main, report
from infra.idle_prices import break_even_hours, idle_prices
from infra.options import Options
from tests.doctor_house import application

SIZE = {"llama3.1-8b": 4.53}


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": resources}


PLAIN = template(
    Secret=resource("AWS::SecretsManager::Secret"),
    Failures=resource("AWS::SQS::Queue"),
    Polling=resource("AWS::Lambda::EventSourceMapping", EventSourceArn={"Fn::GetAtt": ["Failures", "Arn"]}),
    Table=resource("AWS::DynamoDB::GlobalTable"),
    Budget=resource("AWS::Budgets::Budget"),
)


def cost(found: dict[str, Any], options: Options | None = None) -> float:
    return sum(item.usd for item in idle_items(found, options or Options(), SIZE))


def test_the_plain_stack_with_an_8b_model() -> None:
    # Images (4.53 + 0.16 + 0.16) x 0.10; a secret; 900 x 730 looks into the queue at 0.40 a million.
    assert cost(PLAIN) == pytest.approx(0.485 + 0.40 + 0.2628)


def test_weights_in_s3_cost_a_quarter() -> None:
    items = idle_items(PLAIN, Options(weights="s3"), {"llama3.1-8b": 0.29}, {"llama3.1-8b": 4.24})
    # Images (0.29 + 0.16 + 0.16) x 0.10; 4.24 GB x 0.023; secret and queue as above.
    assert sum(item.usd for item in items) == pytest.approx(0.061 + 0.09752 + 0.40 + 0.2628)
    assert "weights of llama3.1-8b in S3, 4.24 GB" in [item.what for item in items]


def test_it_stays_under_two_dollars() -> None:
    assert cost(PLAIN) < 2


def test_the_weights_alone_are_half_a_dollar() -> None:
    (light, model) = sorted(
        idle_items(template(), Options(), {"llama3.1-8b": 4.7}), key=lambda item: item.usd
    )
    assert light.usd == pytest.approx(0.016)
    assert model.usd - light.usd == pytest.approx(0.47)


@pytest.mark.parametrize(
    ("added", "usd"),
    [
        ({"D": resource("AWS::CloudWatch::Dashboard")}, 3.00),
        ({"A": resource("AWS::CloudWatch::Alarm", MetricName="Errors")}, 0.10),
        (
            {
                "A": resource(
                    "AWS::CloudWatch::Alarm",
                    Metrics=[{"Expression": "a + b"}, {"MetricStat": {}}, {"MetricStat": {}}],
                )
            },
            0.20,
        ),
        ({"N": resource("AWS::EC2::NatGateway")}, 32.85),  # 730 h x 0.045
        ({"I": resource("AWS::EC2::EIP")}, 3.65),  # 730 h x 0.005
        (
            {"E": resource("AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["a", "b"])},
            14.60,
        ),
        ({"E": resource("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway")}, 0.0),
        ({"K": resource("AWS::KMS::Key")}, 1.00),
    ],
)
def test_what_is_added_is_paid(added: dict[str, Any], usd: float) -> None:
    more = {"Resources": PLAIN["Resources"] | added}
    assert cost(more) - cost(PLAIN) == pytest.approx(usd)


def test_only_queues_are_asked_all_the_time() -> None:
    stream = resource(
        "AWS::Lambda::EventSourceMapping", EventSourceArn={"Fn::GetAtt": ["Table", "StreamArn"]}
    )
    assert cost({"Resources": PLAIN["Resources"] | {"Stream": stream}}) == pytest.approx(cost(PLAIN))


def test_environments_kept_awake() -> None:
    always = Options(provisioned_concurrency=2, memory_mb=10_240, account_concurrency=1000)
    # 2 x 10 GB x 730 h x 3600 s x 0.0000033334
    assert cost(PLAIN, always) - cost(PLAIN) == pytest.approx(175.203504)


def test_environments_kept_awake_in_announced_hours() -> None:
    evening = Hours(days=("FRI", "SAT"), start="19:30", end="22:00")
    announced = Options(
        provisioned_concurrency=1, memory_mb=10_240, account_concurrency=1000, provisioned_hours=(evening,)
    )
    # 5 hours a week are 5 / 7 x 365 / 12 = 21.7262 a month; 10 GB at 0.0000033334 a second.
    assert cost(PLAIN, announced) - cost(PLAIN) == pytest.approx(21.7261905 * 3600 * 10 * 0.0000033334)


def test_hours_past_midnight() -> None:
    assert announced_hours((Hours(start="22:00", end="02:00"),)) == pytest.approx(4 * 365 / 12)
    assert announced_hours((Hours(start="08:00", end="08:00"),)) == pytest.approx(24 * 365 / 12)


def test_from_where_on_a_machine_is_cheaper() -> None:
    assert idle_prices().machine_month == pytest.approx(730 * 0.319 + 2.40)
    # 10 GB cost 0.4800024 an hour: 235.27 / 0.4800024
    assert break_even_hours(10_240) == pytest.approx(490.1434, abs=1e-3)
    assert break_even_hours(5_120) == pytest.approx(2 * break_even_hours(10_240))


def test_the_report_adds_up() -> None:
    told = report(PLAIN, Options(memory_mb=10_240), SIZE).splitlines()
    assert told[0] == "$   0.47  image of llama3.1-8b, 4.69 GB"
    assert "$   1.15  a month while nobody talks, before any free tier" in told
    assert "$   0.48  for each hour in which llama3.1-8b talks, or waits awake for the next words" in told
    assert told[-1].endswith(
        "490 such hours cost as much as a c8g.2xlarge that is always on ($235.27 a month)"
    )


def test_the_command_reads_what_cdk_has_left(tmp_path: Path) -> None:
    (tmp_path / "Curtain.template.json").write_text(json.dumps(PLAIN), encoding="utf-8")
    done = CliRunner().invoke(application(main), ["--model", "demo", "--assembly", str(tmp_path)])
    assert done.exit_code == 0
    assert "image of demo" in done.output
    assert "a month while nobody talks" in done.output


def test_the_command_says_which_option_is_wrong() -> None:
    done = CliRunner().invoke(application(main), ["-c", "curtain:capacity=none"])
    assert done.exit_code == 1
    assert "curtain:capacity" in done.output


def test_the_stack_as_it_is_by_default(tmp_path: Path) -> None:
    """The real template, with the model that it has by default."""
    bundle = tmp_path / "llama3.1-8b"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")  # all that synth reads of it
    with (bundle / "weights.bin").open("wb") as file:
        file.truncate(4_530_999_296)  # a file of holes
    done = CliRunner().invoke(application(main), ["-c", f"curtain:bundles={tmp_path}"])
    assert done.exit_code == 0, done.output
    *paid, total = done.output.split("  a month while nobody talks")[0].splitlines()
    assert [line.split("  ")[-1] for line in paid] == [
        "image of llama3.1-8b, 4.69 GB",
        "1 secret",
        "657,000 looks into the queue of failures",
        "image of the light function, 0.16 GB",
    ]
    assert float(total.removeprefix("$")) < 2


def test_the_command_tells_what_lies_in_s3(tmp_path: Path) -> None:
    (tmp_path / "Curtain.template.json").write_text(json.dumps(PLAIN), encoding="utf-8")
    bundle = tmp_path / "demo"
    bundle.mkdir()
    for name, size in (("weights.bin", 2_000_000_000), ("embedding.bin", 300_000_000)):
        with (bundle / name).open("wb") as file:
            file.truncate(size)
    given = ["--model", "demo", "--assembly", str(tmp_path), "-c", f"curtain:bundles={tmp_path}"]
    done = CliRunner().invoke(application(main), [*given, "-c", "curtain:weights=s3"])
    assert "$   0.05  weights of demo in S3, 2.00 GB" in done.output
    assert "$   0.05  image of demo, 0.46 GB" in done.output
