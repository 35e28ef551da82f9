"""What the table's items look like: their keys, and how records become items and items records.

| pk | sk | item | expires |
|---|---|---|---|
| `session#ID` | `head` | the record, `rev` its version | with the session |
| `session#ID` | `turn#NUMBER#VERSION` | a finished turn | with the session |
| `subject#SUBJECT` | `session#ID` | nothing but the keys: one of the subject's sessions | with the session |
| `connection#ID` | `head` | which session a connection speaks for; its frames | after `connection_hours` |
| `house#MODEL` | `head` | a model's slots and queue, `rev` its version | never: one small item per model |
| `address#HASH` | `head` | stories begun from an address in a day | after two days |
| `ticket#ID` | `head` | nothing but the key: a ticket that was used | some minutes after the ticket |
| `count#WHAT#WINDOW` | `head` | how much of something there was in a window | a window after its end |
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

from pydantic import BaseModel

from session.attributes import Attribute, decode, encode
from session.house import House
from session.record import Session, Turn

Item = dict[str, Attribute]  # by attribute name

DAY_S = 86_400
TURN, SESSION = "turn#", "session#"  # what a partition's sort keys begin with
_ADDRESS_DAYS = 2  # clocks differ, and so do the ends of the day: a day longer than is counted


def session_key(session_id: str) -> Item:
    return _key(f"session#{session_id}")


def turn_key(session_id: str, number: int, version: int) -> Item:
    """Sorts by number, then version; limits.toml allows a story fewer turns than either has room for."""
    return _key(f"session#{session_id}", f"{TURN}{number:06d}#{version:06d}")


def entry_key(subject: str, session_id: str) -> Item:
    return _key(f"subject#{subject}", f"{SESSION}{session_id}")


def connection_key(connection_id: str) -> Item:
    return _key(f"connection#{connection_id}")


def house_key(model_name: str) -> Item:
    return _key(f"house#{model_name}")


def address_key(address: str, now: float) -> Item:
    """Another one every day (UTC), so that days cannot be linked. No secret: few addresses are possible."""
    return _key("address#" + sha256(f"{int(now // DAY_S)}:{address}".encode()).hexdigest())


def address_expires(now: float) -> int:
    return int(now) + _ADDRESS_DAYS * DAY_S


def ticket_key(ticket_id: str) -> Item:
    return _key(f"ticket#{ticket_id}")


def count_key(what: str, window_s: int, now: float) -> Item:
    return _key(f"count#{what}#{int(now // window_s)}")


def count_expires(window_s: int, now: float) -> int:
    return (int(now // window_s) + 2) * window_s


def purse_key(purse: str, now: float) -> Item:
    """One of the counted: the model seconds of a day (UTC)."""
    return count_key(f"seconds:{purse}", DAY_S, now)


def session_item(session: Session, write_id: str) -> Item:
    return session_key(session.session_id) | _attributes(session) | encoded(write_id=write_id)


def turn_item(session: Session, turn: Turn) -> Item:
    key = turn_key(session.session_id, turn.number, turn.version)
    return key | _attributes(turn) | encoded(expires=session.expires)


def entry_item(subject: str, session: Session) -> Item:
    return entry_key(subject, session.session_id) | encoded(expires=session.expires)


def house_item(house: House, write_id: str) -> Item:
    return house_key(house.model_name) | _attributes(house) | encoded(write_id=write_id)


def session_from(item: Mapping[str, Any]) -> Session:
    return Session.model_validate(_plain(item))


def turn_from(item: Mapping[str, Any]) -> Turn:
    return Turn.model_validate(_plain(item))


def house_from(item: Mapping[str, Any]) -> House:
    return House.model_validate(_plain(item))


def text_in(item: Mapping[str, Any], name: str) -> str:
    return cast(str, item[name]["S"])


def number_in(item: Mapping[str, Any], name: str) -> float:
    return float(item[name]["N"])


def expired(item: Mapping[str, Any], now: float) -> bool:
    return number_in(item, "expires") <= now


def encoded(**values: object) -> Item:
    """Attributes by their names."""
    return {name: encode(value) for name, value in values.items()}


def values(**given: object) -> Item:
    """The values of an expression, whose placeholders are the names with a colon."""
    return {f":{name}": value for name, value in encoded(**given).items()}


def _key(pk: str, sk: str = "head") -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _attributes(record: BaseModel) -> Item:
    return encoded(**record.model_dump(mode="json"))


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: decode(value) for name, value in item.items()}
