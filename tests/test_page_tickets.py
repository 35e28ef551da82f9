"""The page at the door: a real ticket office and a real door, and what a reader sees and what is kept."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from websockets.http11 import Request

from session.events import ModelStatus
from session.requests import Hello
from tests.issuer import AUDIENCE, Issuer
from tests.page_frames import ready
from tests.page_stage import PageStage
from tests.test_ticket_tokens import house_of
from tests.ticketing import CODE, House, settings, upgrade

pytest_plugins = ["tests.browser"]
WRONG = "That is not the access code."


class Doorway:
    """The page before a house: it asks the house's office for tickets, and shows them at its door."""

    def __init__(self, house: House, **config: Any) -> None:
        self.house = house
        self.shown: list[dict[str, Any]] = []  # what the office was asked with
        self.tickets: list[str] = []  # what the door was shown
        mode = house.settings.auth_mode
        self.stage = PageStage({"auth": mode, "ticket": "ticket"} | config, self.admits)

    def admits(self, request: Request) -> bool:
        (ticket,) = parse_qs(urlsplit(request.path).query).get("t", [""])
        self.tickets.append(ticket)
        policy = self.house.door.policy(upgrade(ticket or None, request.headers["Origin"]))
        return bool(policy["policyDocument"]["Statement"][0]["Effect"] == "Allow")

    def exchange(self, route: Route) -> None:
        """As CloudFront and Lambda pass a request on, and the answer back."""
        headers, body = route.request.headers, route.request.post_data or ""
        assert headers["x-amz-content-sha256"] == hashlib.sha256(body.encode()).hexdigest()
        self.shown.append(json.loads(body))
        told = {"content-type": headers["content-type"], "x-viewer-address": "198.51.100.10"}
        told["origin"] = self.stage.url.rstrip("/")
        context = {"http": {"method": route.request.method}}
        answer = self.house.office.answer({"headers": told, "requestContext": context, "body": body})
        route.fulfill(status=answer["statusCode"], headers=answer["headers"], body=answer["body"])


@contextmanager
def at_the_door(
    browser: Browser, house: House, fragment: str = "", **config: Any
) -> Iterator[tuple[Page, Doorway]]:
    doorway = Doorway(house, **config)
    with doorway.stage, browser.new_context() as context:
        own = house.settings.model_copy(update={"allowed_origins": (doorway.stage.url.rstrip("/"),)})
        doorway.house = House(own, tokens=house.tokens, store=house.store)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.route("**/ticket", doorway.exchange)
        page.goto(doorway.stage.url + fragment)
        yield page, doorway


def greeted(doorway: Doorway, page: Page, *, resumed: bool = False) -> None:
    """The page is in, and the house says so. (Requests are answered while this thread waits for the page.)"""
    for _ in range(300):
        if doorway.stage.calls:
            break
        page.wait_for_timeout(50)
    doorway.stage.enter()
    assert bool(doorway.stage.expect(Hello).session_id) is resumed
    doorway.stage.tell(ready(resumed=resumed), ModelStatus(name="demo", state="cold"))
    expect(page.locator("#status")).to_contain_text("asleep")


def test_the_code_is_asked_for_once_and_kept(browser: Browser) -> None:
    with at_the_door(browser, House()) as (page, doorway):
        form = page.get_by_role("dialog", name="This house asks for a code")
        field = form.get_by_label("Access code")
        expect(field).to_be_focused()
        expect(form).to_contain_text("kept in this browser")
        field.fill("open barley")
        field.press("Enter")
        expect(form.get_by_role("alert")).to_contain_text(WRONG)
        expect(field).to_have_value("")
        expect(field).to_be_focused()
        assert page.evaluate("localStorage.getItem('curtain.code')") is None
        field.fill(f" {CODE} ")
        form.get_by_role("button", name="Come in").click()
        greeted(doorway, page)
        expect(form).to_be_hidden()
        assert doorway.shown == [{"code": "open barley"}, {"code": CODE}]
        page.reload()
        greeted(doorway, page, resumed=True)
        assert doorway.shown[2:] == [{"code": CODE}]
        assert CODE not in page.url


def test_every_connection_takes_a_fresh_ticket(browser: Browser) -> None:
    with at_the_door(browser, House(settings("open"))) as (page, doorway):
        greeted(doorway, page)
        for _ in range(2):
            doorway.stage.drop()
            greeted(doorway, page, resumed=True)
        assert doorway.shown == [{}, {}, {}]
        assert len(set(doorway.tickets)) == 3
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_who_closes_the_form_can_open_it_again(browser: Browser) -> None:
    with at_the_door(browser, House()) as (page, doorway):
        form = page.get_by_role("dialog", name="This house asks for a code")
        expect(form).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#away")).to_contain_text("Nobody is let in without it.")
        page.get_by_role("button", name="Try again").click()
        form.get_by_label("Access code").fill(CODE)
        page.keyboard.press("Enter")
        greeted(doorway, page)
        expect(page.locator("#away")).to_be_hidden()


def test_a_busy_office_is_said_and_asked_again(browser: Browser) -> None:
    house = House(settings("open"))
    with at_the_door(browser, house) as (page, doorway):
        greeted(doorway, page)
        page.unroute("**/ticket")
        doorway.stage.drop()  # the stage itself answers no POST: as if the office could not be reached
        expect(page.get_by_role("alert")).to_contain_text("can't be reached. It will be tried again.")
        page.route("**/ticket", doorway.exchange)
        greeted(doorway, page, resumed=True)
        expect(page.locator("#alert")).to_be_hidden()


def test_too_many_attempts_are_said_in_plain_words(browser: Browser) -> None:
    house = House()
    with at_the_door(browser, house) as (page, doorway):
        form = page.get_by_role("dialog", name="This house asks for a code")
        expect(form).to_be_visible()
        for _ in range(10):
            doorway.house.ask({"code": "guess"}, origin=None)
        form.get_by_label("Access code").fill(CODE)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("too many attempts from this address")
        expect(page.get_by_role("alert")).to_contain_text("tries again by itself in about 4 minutes")


def test_a_token_comes_with_the_address_and_leaves_it(browser: Browser) -> None:
    with Issuer() as issuer:
        house, token = house_of(issuer), issuer.token()
        with at_the_door(browser, house, f"#state=x&id_token={token}") as (page, doorway):
            greeted(doorway, page)
            assert doorway.shown == [{"token": token}]
            assert "token" not in page.url
            assert page.evaluate("[localStorage, sessionStorage].map((s) => s.getItem('curtain.token'))") == [
                None,
                token,
            ]


def test_a_token_that_is_not_taken_is_asked_for_again(browser: Browser) -> None:
    with Issuer() as issuer:
        house = house_of(issuer)
        sign_in = "https://issuer.example/authorize?client_id=curtain"
        with at_the_door(browser, house, f"#token={issuer.token(exp=1)}", sign_in=sign_in) as (page, doorway):
            form = page.get_by_role("dialog", name="This house asks you to sign in")
            expect(form.get_by_role("alert")).to_contain_text("It has expired. Sign in again.")
            assert form.get_by_role("link", name="Sign in").get_attribute("href") == sign_in
            form.get_by_label("Token").fill(issuer.token(aud=AUDIENCE))
            page.keyboard.press("Enter")
            greeted(doorway, page)


def test_a_token_that_is_too_long_is_forgotten_and_asked_for_again(browser: Browser) -> None:
    with Issuer() as issuer:
        house = house_of(issuer)
        with at_the_door(browser, house, f"#token={'x' * 8_200}") as (page, doorway):
            form = page.get_by_role("dialog", name="This house asks you to sign in")
            expect(form.get_by_role("alert")).to_contain_text("too long: this house takes 8 KB at most")
            assert page.evaluate("sessionStorage.getItem('curtain.token')") is None
            form.get_by_label("Token").fill(issuer.token())
            page.keyboard.press("Enter")
            greeted(doorway, page)


def test_a_kept_code_that_cannot_be_read_is_forgotten_and_asked_for_again(browser: Browser) -> None:
    with at_the_door(browser, House()) as (page, doorway):
        form = page.get_by_role("dialog", name="This house asks for a code")
        expect(form).to_be_visible()
        page.evaluate("localStorage.setItem('curtain.code', '\\ud800')")  # half a character: no UTF-8
        page.reload()
        expect(form.get_by_role("alert")).to_contain_text("could not read that")
        assert page.evaluate("localStorage.getItem('curtain.code')") is None
        form.get_by_label("Access code").fill(CODE)
        page.keyboard.press("Enter")
        greeted(doorway, page)
        assert page.evaluate("localStorage.getItem('curtain.code')") == CODE


def test_a_house_for_signed_requests_says_so(browser: Browser) -> None:
    with at_the_door(browser, House(settings("iam"))) as (page, doorway):
        expect(page.locator("#away")).to_contain_text("signed requests only")
        assert (doorway.shown, doorway.tickets) == ([], [])


@pytest.mark.parametrize("sign_in", ["javascript:alert(1)", "http://issuer.example/"])
def test_a_link_that_is_not_safe_is_not_shown(browser: Browser, sign_in: str) -> None:
    with Issuer() as issuer, at_the_door(browser, house_of(issuer), sign_in=sign_in) as (page, _):
        expect(page.get_by_role("dialog", name="This house asks you to sign in")).to_be_visible()
        expect(page.locator("#sign-in")).to_be_hidden()
