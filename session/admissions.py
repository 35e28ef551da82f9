"""Who was let in, and how often who asked: the tickets' part of the store on DynamoDB."""

import uuid

from session import items
from session.items import encoded, values
from session.table import Refused, Table


class AdmissionsTable:
    """See `session.store.Admissions` for what each method promises."""

    _table: Table

    def use_ticket(self, ticket_id: str, expires: int, now: float) -> bool:
        use_id = uuid.uuid4().hex
        try:
            self._table.put(
                Item=items.ticket_key(ticket_id) | encoded(expires=expires, use_id=use_id),
                ConditionExpression="attribute_not_exists(pk) OR #expires <= :now",
                ExpressionAttributeNames={"#expires": "expires"},
                ExpressionAttributeValues=values(now=now),
            )
        except Refused as refused:
            return refused.found.get("use_id") == {"S": use_id}  # our own write, whose answer was lost
        return True

    def count(self, what: str, window_s: int, now: float, *, by: int = 1) -> int:
        item = self._table.update(
            items.count_key(what, window_s, now),
            UpdateExpression="SET #expires = :expires ADD counted :by",
            ExpressionAttributeNames={"#expires": "expires"},
            ExpressionAttributeValues=values(by=by, expires=items.count_expires(window_s, now)),
        )
        return int(items.number_in(item, "counted"))
