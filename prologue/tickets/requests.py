"""What an event tells of a viewer: address and origin, whatever the case of its headers."""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

Event = Mapping[str, Any]


def only(values: Mapping[str, Any] | None, name: str) -> str | None:
    """The value of a header or parameter; None if there is none. Raises ValueError if there are several:
    whoever looks at it next might see another one."""
    found: list[str] = []
    for key, value in (values or {}).items():
        if key.lower() == name:
            found += value if isinstance(value, list) else [value]
    if len(found) > 1:
        raise ValueError(f"there is more than one {name}")
    return found[0] if found else None


def origin_of(event: Event) -> str | None:
    """The page that a request comes from, as its browser says. Raises ValueError if there are several."""
    return only(event.get("multiValueHeaders") or event.get("headers"), "origin")


def viewer_of(event: Event) -> str:
    """Who asks for a ticket, as counters know them: an address, of IPv6 the network of one customer (/64).

    CloudFront sets the header, whatever the viewer sent (`infra/page.py`), and nobody else may call the
    function (IAM). Without it the direct caller's address counts, which all viewers share then.
    """
    try:
        told = only(event.get("headers"), "x-viewer-address")
        address = ip_address(told or event["requestContext"]["http"].get("sourceIp", ""))
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.exploded[:19] + "::/64")
    return str(address)
