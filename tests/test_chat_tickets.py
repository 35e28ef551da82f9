"""The terminal client at the door: tickets for a code, a token or nothing, and signed requests."""

import asyncio
import hashlib
import hmac
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from local.tickets import Admission, NotAdmitted, find_house, signed
from session.events import PrologueLine
from session.requests import Hello
from tests.house import free_port
from tests.issuer import Issuer
from tests.test_chat import READY, chatting
from tests.test_ticket_tokens import house_of
from tests.ticket_counter import TicketCounter
from tests.ticketing import CODE, House, settings

LINE = PrologueLine(seq=0, speaker="gatekeeper", text="Who goes there?")


@pytest.fixture
def counter() -> Iterator[TicketCounter]:
    with TicketCounter(House()) as counter:
        yield counter


def greeted(counter: TicketCounter) -> None:
    counter.stage.enter()
    counter.stage.expect(Hello)
    counter.stage.tell(READY, LINE)


def test_the_page_s_address_and_a_code_are_enough(counter: TicketCounter) -> None:
    with chatting(counter.url, "--code", CODE) as terminal:
        greeted(counter)
        terminal.shows("Who goes there?")
        counter.stage.drop()
        greeted(counter)  # with a fresh ticket
        assert counter.shown == [{"code": CODE}] * 2
        assert len(set(counter.tickets)) == 2
        terminal.type("/quit\n")
        assert terminal.process.wait(timeout=10) == 0
        assert CODE not in terminal.screen.decode()


def test_the_code_may_be_in_the_environment(counter: TicketCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CURTAIN_CODE", CODE)
    with chatting(counter.stage.websocket, "--ticket-url", f"{counter.url}/ticket") as terminal:
        greeted(counter)
        terminal.shows("Who goes there?")


def test_a_token_is_taken_where_one_is_asked_for() -> None:
    with Issuer() as issuer, TicketCounter(house_of(issuer)) as counter:
        token = issuer.token()
        with chatting(counter.url, "--token", token, "--code", "for another house") as terminal:
            greeted(counter)
            terminal.shows("Who goes there?")
            assert counter.shown == [{"token": token}]


def test_an_open_house_gives_tickets_for_nothing() -> None:
    with TicketCounter(House(settings("open"))) as counter, chatting(counter.url) as terminal:
        greeted(counter)
        terminal.shows("Who goes there?")
        assert counter.shown == [{}]


def test_who_is_not_let_in_is_told_why(counter: TicketCounter) -> None:
    cases = [
        ((counter.url, "--code", "open barley"), "That is not the access code. Ask whoever runs this house"),
        ((counter.url,), "asks for its access code: set CURTAIN_CODE"),
        ((counter.stage.websocket,), "name the page's address"),
        ((counter.stage.websocket, "--code", CODE), "--ticket-url"),
        ((f"{counter.url}/elsewhere", "--code", CODE), "there is no page of Curtain"),
        ((f"http://127.0.0.1:{free_port()}",), "cannot reach"),
    ]
    for (url, *options), words in cases:
        with chatting(url, *options) as terminal:
            terminal.shows(words)
            assert terminal.process.wait(timeout=10) == 1
            assert "open barley" not in terminal.screen.decode()
            assert CODE not in terminal.screen.decode()


def test_a_refusal_that_passes_is_told_from_one_that_stays(counter: TicketCounter) -> None:
    office = f"{counter.url}/ticket"

    def ask(code: str) -> NotAdmitted:
        with pytest.raises(NotAdmitted) as caught:
            asyncio.run(Admission(code=code, ticket_url=office).address("ws://house"))
        return caught.value

    refusals = [ask("guess") for _ in range(11)]
    assert [refusal.again for refusal in refusals] == [False] * 10 + [True]
    assert "too many attempts" in str(refusals[-1])
    assert "status 403" in str(ask_elsewhere(counter.url))


def ask_elsewhere(url: str) -> NotAdmitted:
    with pytest.raises(NotAdmitted) as caught:
        asyncio.run(Admission(ticket_url=f"{url}/nothing").address("ws://house"))
    return caught.value


def test_a_credential_goes_nowhere_it_is_not_asked_for() -> None:
    with TicketCounter(House(settings("none"))) as counter:
        given = Admission(code=CODE, token="t")
        url, admission = asyncio.run(find_house(counter.url, given))
        assert (url, admission) == (counter.stage.websocket, Admission())
        assert asyncio.run(admission.address(url)) == url
        assert asyncio.run(find_house("wss://house", given)) == ("wss://house", given)
        assert counter.shown == []
    with TicketCounter(House(settings("iam"))) as counter:
        assert asyncio.run(find_house(counter.url, given))[1] == Admission(iam=True)


# ---- signed requests ------------------------------------------------------------------------------------

HOST = "abc.execute-api.eu-west-1.amazonaws.com"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> pytest.MonkeyPatch:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, f"{tmp_path}/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    return monkeypatch


def signature(query: dict[str, str], path: str, host: str, secret: str) -> str:
    """What API Gateway expects: Signature Version 4, worked out from the address alone."""
    scope = query["X-Amz-Credential"].split("/", 1)[1]
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query.items())
    canonical_query = "&".join(f"{name}={value}" for name, value in pairs if name != "X-Amz-Signature")
    empty = hashlib.sha256(b"").hexdigest()
    canonical = "\n".join(["GET", path, canonical_query, f"host:{host}", "", "host", empty])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashed])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


@pytest.mark.parametrize("session_token", [None, "a/session+token=="])
def test_an_address_is_signed_as_aws_expects(
    credentials: pytest.MonkeyPatch, session_token: str | None
) -> None:
    if session_token:
        credentials.setenv("AWS_SESSION_TOKEN", session_token)
    url = asyncio.run(Admission(iam=True).address(f"wss://{HOST}/prod"))
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    assert (parts.scheme, parts.netloc, parts.path) == ("wss", HOST, "/prod")
    assert query["X-Amz-Credential"].split("/")[2:] == ["eu-west-1", "execute-api", "aws4_request"]
    assert query.get("X-Amz-Security-Token") == session_token
    made = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=5)
    assert query["X-Amz-Expires"] == "60"
    assert query["X-Amz-Signature"] == signature(query, "/prod", HOST, "wJalrXUtnFEMI")
    assert "wJalrXUtnFEMI" not in url


def test_without_credentials_or_a_region_nothing_is_signed(credentials: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAdmitted, match="region"):
        signed("wss://stories.example.org/prod")
    credentials.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert "eu-west-1" in signed("wss://stories.example.org/prod")
    credentials.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(NotAdmitted, match="credentials"):
        signed(f"wss://{HOST}/prod")
