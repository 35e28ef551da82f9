"""Where Lambda leaves what it could not deliver to a model function, for the light function to tell.

A queue lies between the two, so neither knows the other: the model function never invokes, and Lambda's
detection of recursion, which ends such chains, has nothing to find.
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.functions import LIGHT_TIMEOUT


class Failures(Construct):
    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.unread: Final = sqs.Queue(  # what the light function itself failed at, to be looked at
            self, "Unread", enforce_ssl=True, retention_period=Duration.days(14)
        )
        self.queue: Final = sqs.Queue(
            self,
            "Queue",
            enforce_ssl=True,
            retention_period=Duration.hours(1),  # by then every session has settled by itself
            visibility_timeout=Duration.seconds(6 * LIGHT_TIMEOUT.to_seconds()),  # as AWS advises
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.unread, max_receive_count=3),
        )
