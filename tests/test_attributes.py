"""DynamoDB's attribute values, against boto3's own serializer."""

import math
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from session.attributes import decode, encode

NUMBERS = st.integers(-(10**37), 10**37) | st.floats(-1e100, 1e100).filter(
    lambda number: not number or abs(number) > 1e-100
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def decimals(value: Any) -> Any:
    """Without floats, which boto3 doesn't take."""
    match value:
        case float():
            return Decimal(repr(value))
        case list():
            return [decimals(item) for item in value]
        case dict():
            return {key: decimals(item) for key, item in value.items()}
    return value


@given(VALUES)
def test_what_was_encoded_is_decoded_and_boto3_reads_the_same(value: Any) -> None:
    attribute: Any = encode(value)
    assert decode(attribute) == value
    assert TypeDeserializer().deserialize(attribute) == decimals(value)


@given(VALUES)
def test_what_boto3_encodes_is_decoded(value: Any) -> None:
    assert decode(TypeSerializer().serialize(decimals(value))) == value


def test_a_number_is_stored_as_it_is_shown() -> None:
    assert [encode(number) for number in (1.0, 0.1 + 0.2, -3, 1e-7)] == [
        {"N": "1"},
        {"N": "0.30000000000000004"},
        {"N": "-3"},
        {"N": "1e-07"},
    ]
    assert type(decode({"N": "1"})) is int
    assert decode({"N": "1E+2"}) == 100
    assert math.isclose(decode({"N": "-0.25"}), -0.25)


def test_a_tuple_is_a_list() -> None:
    assert encode(("a", (1, True))) == {"L": [{"S": "a"}, {"L": [{"N": "1"}, {"BOOL": True}]}]}


def test_what_json_does_not_know() -> None:
    with pytest.raises(TypeError, match="set"):
        encode({"a"})
    with pytest.raises(ValueError, match="SS"):
        decode({"SS": ["a"]})
