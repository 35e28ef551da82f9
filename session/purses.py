"""Model seconds that were spent in a day: the caps' part of the store on DynamoDB."""

from collections.abc import Sequence

from session import items
from session.items import values
from session.table import Table


class Purses:
    """See `session.store.Store` for what each method promises. A purse is one of the counted items."""

    _table: Table

    def spend(self, purses: Sequence[str], seconds: float, now: float) -> None:
        for purse in purses:
            self._table.update(
                items.purse_key(purse, now),
                UpdateExpression="SET #expires = :expires ADD counted :seconds",
                ExpressionAttributeNames={"#expires": "expires"},
                ExpressionAttributeValues=values(
                    seconds=round(seconds, 3), expires=items.count_expires(items.DAY_S, now)
                ),
            )

    def spent(self, purses: Sequence[str], now: float) -> list[float]:
        keys = [items.purse_key(purse, now) for purse in purses]
        found = {items.text_in(item, "pk"): item for item in self._table.get_all(keys)}
        counted = (found.get(items.text_in(key, "pk")) for key in keys)
        return [items.number_in(item, "counted") if item else 0.0 for item in counted]
