"""A monthly budget of the account: tells, and stops nothing. What stops is capacity and the daily caps."""

from aws_cdk import aws_budgets as budgets
from constructs import Construct

WARNINGS = (("ACTUAL", 50), ("ACTUAL", 80), ("FORECASTED", 100))  # percent of it


class Budget(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, dollars: float, email: str) -> None:
        super().__init__(scope, construct_id)
        budgets.CfnBudget(
            self,
            "Month",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=dollars, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind, comparison_operator="GREATER_THAN", threshold=percent
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=email)
                    ],
                )
                for kind, percent in WARNINGS
            ],
        )
