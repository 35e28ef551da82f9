"""What must hold of who is told when something is wrong, and of who may write which log."""

from collections.abc import Iterator
from typing import Any

from infra.functions import service_name
from session.telemetry import NAMESPACE
from tests.infra.always import always, statements
from tests.infra.synth import Resource, Synth


@always
def alarms_go_to_the_address_that_was_given(made: Synth) -> None:
    email = made.options.alarms_email
    topics, alarms = made.of_type("SNS::Topic"), made.of_type("CloudWatch::Alarm")
    assert (len(topics), bool(alarms)) == ((1, True) if email else (0, False))
    for topic in topics:
        assert made.only("SNS::Subscription") == {
            "Protocol": "email",
            "Endpoint": email,
            "TopicArn": {"Ref": topic},
        }
        for alarm in alarms.values():
            assert alarm["Properties"]["AlarmActions"] == [{"Ref": topic}]
            assert alarm["Properties"].get("ActionsEnabled", True) is True


@always
def cloudwatch_may_publish_what_it_alarms_of(made: Synth) -> None:
    """A topic's policy takes the place of the one that lets an account's alarms in."""
    topics, policies = made.of_type("SNS::Topic"), made.of_type("SNS::TopicPolicy")
    for topic, policy in zip(topics, policies.values(), strict=True):
        assert policy["Properties"]["Topics"] == [{"Ref": topic}]
        (publisher,) = [
            each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"
        ]
        assert publisher["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert (publisher["Action"], publisher["Resource"]) == ("sns:Publish", {"Ref": topic})
        assert publisher["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@always
def alarms_watch_what_somebody_writes(made: Synth) -> None:
    (light,) = [
        name
        for name, function in made.of_type("Lambda::Function").items()
        if function["Properties"] == made.light()
    ]
    failed = made.only("Lambda::EventSourceMapping")["EventSourceArn"]["Fn::GetAtt"][0]
    (unread,) = made.of_type("SQS::Queue").keys() - {failed}
    services = [service_name(made.options, part) for part in ("prologue", *made.options.models)]
    watched = {
        (metric["Namespace"], metric["MetricName"], str([each["Value"] for each in metric["Dimensions"]]))
        for alarm in made.of_type("CloudWatch::Alarm").values()
        for metric in _metrics(alarm["Properties"])
    }
    if not made.options.alarms_email:
        assert not watched
        return
    assert watched == {
        *((NAMESPACE, "Failures", str([service])) for service in services),
        (NAMESPACE, "CapsReached", str(services[:1])),  # the light function refuses the turns
        ("AWS/Lambda", "Errors", str([{"Ref": light}])),
        ("AWS/Lambda", "Throttles", str([{"Ref": light}])),
        (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            str([{"Fn::GetAtt": [unread, "QueueName"]}]),
        ),
    }


@always
def the_budget_is_what_was_given_and_somebody_hears_of_it(made: Synth) -> None:
    budgets = [budget["Properties"] for budget in made.of_type("Budgets::Budget").values()]
    assert len(budgets) == (made.options.budget_usd is not None)
    for budget in budgets:
        assert budget["Budget"] == {
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": made.options.budget_usd, "Unit": "USD"},
        }
        notes = budget["NotificationsWithSubscribers"]
        assert [
            (note["Notification"]["NotificationType"], note["Notification"]["Threshold"]) for note in notes
        ] == [("ACTUAL", 50), ("ACTUAL", 80), ("FORECASTED", 100)]
        for note in notes:
            assert note["Subscribers"] == [
                {"SubscriptionType": "EMAIL", "Address": made.options.alarms_email}
            ]


@always
def a_log_is_written_by_its_function_only_and_never_made_anew(made: Synth) -> None:
    """AWS's managed policy lets a role make any log group: the stack's own, after the stack deleted it."""
    for each in statements(made):
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        assert not {"logs:CreateLogGroup", "logs:*", "*"} & set(actions)
    managed = {
        name: role["Properties"]["ManagedPolicyArns"]
        for name, role in made.of_type("IAM::Role").items()
        if role["Properties"].get("ManagedPolicyArns")
    }
    if made.options.access_logs != "with-account-role":
        assert not managed
        return
    ((name, (policy,)),) = managed.items()
    assert policy["Fn::Join"][1][-1] == (":iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")
    (account,) = made.of_type("ApiGateway::Account").values()
    assert account["Properties"] == {"CloudWatchRoleArn": {"Fn::GetAtt": [name, "Arn"]}}
    role = made.of_type("IAM::Role")[name]
    for kept in (account, role):
        assert kept["DeletionPolicy"] == "Retain"  # other APIs of the account write by it, too
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "apigateway.amazonaws.com"}


def _metrics(alarm: Resource) -> Iterator[dict[str, Any]]:
    """That an alarm reads, by itself or in an expression."""
    if "MetricName" in alarm:
        yield alarm
    for part in alarm.get("Metrics", ()):
        if "MetricStat" in part:
            yield part["MetricStat"]["Metric"]
