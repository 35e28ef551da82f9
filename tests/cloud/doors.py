"""Who isn't let into what was deployed: refused before a session is made or a model invoked."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, get_args

from prologue.tickets.secret import Secret
from prologue.tickets.settings import Mode, limits
from prologue.tickets.ticket import Ticket, seal
from session.items import SESSION
from tests.cloud.stage import Stage
from tools.admittance import ask
from tools.witness import need


def refused(stage: Stage) -> dict[str, int]:
    """The status of each. Raises Unproven."""
    with asleep(stage):
        statuses = dict(asyncio.run(stage.door.refusals()))
        if stage.edge:
            statuses |= asyncio.run(_under_the_house_s_own_signature(stage))
    return statuses


@contextmanager
def asleep(stage: Stage) -> Iterator[None]:
    """Raises Unproven if a session is made meanwhile, or a model invoked."""
    known, invokes = _sessions(stage), stage.model.invokes
    yield
    need(stage.model.invokes == invokes, "a model was invoked for somebody who is not let in")
    need(_sessions(stage) <= known, "a session was made for somebody who is not let in")


@contextmanager
def from_another_address(stage: Stage, viewer: str = "127.0.0.2") -> Iterator[None]:
    """Who is often wrong there isn't looked at any more, and it shuts nobody else out."""
    assert stage.edge
    stage.edge.viewer, usual = viewer, stage.edge.viewer
    try:
        yield
    finally:
        stage.edge.viewer = usual


def too_often(stage: Stage) -> dict[str, Any]:
    """One address asks for more tickets than it may. Raises Unproven."""
    with from_another_address(stage), asleep(stage):
        for given in count():
            status, told = asyncio.run(ask(stage.admission))
            if status != 200 or given > 2 * limits().requests_per_minute:  # a minute may end in between
                break
        need(status == 429, f"after {given} tickets to one address the next was answered with {status}")
    return {"given": given, "then": told["error"], "another address": _still_served(stage)}


def guesses(stage: Stage) -> dict[str, Any]:
    """After some wrong codes from one address not even the right one is looked at. Raises Unproven."""
    guess = replace(stage.admission, code="a guess")
    with from_another_address(stage), asleep(stage):
        wrong = [asyncio.run(ask(guess))[0] for _ in range(limits().failures)]
        need(set(wrong) == {401}, f"wrong codes were answered with {wrong}")
        status, told = asyncio.run(ask(stage.admission))
        need(status == 429, f"after {len(wrong)} wrong codes the right one was answered with {status}")
    return {"wrong": len(wrong), "then": told["error"], "another address": _still_served(stage)}


def _still_served(stage: Stage) -> int:
    status, _ = asyncio.run(ask(stage.admission))
    need(status == 200, f"another address is answered with {status}")
    return status


def _sessions(stage: Stage) -> set[str]:
    pages = stage.deployment.aws.client("dynamodb").get_paginator("scan")
    keys = {
        item["pk"]["S"]
        for page in pages.paginate(TableName=stage.deployment.outputs["SessionTable"])
        for item in page["Items"]
    }
    return {key for key in keys if key.startswith(SESSION)}


async def _under_the_house_s_own_signature(stage: Stage) -> dict[str, int]:
    """Tickets that are signed with the deployed key, and let nobody in all the same. Raises Unproven."""
    store = stage.deployment.aws.client("secretsmanager")
    text = store.get_secret_value(SecretId=stage.deployment.outputs["SecretArn"])["SecretString"]
    secret, now = Secret.model_validate_json(text), int(time.time())

    async def knocked(mode: str, expires: int) -> int:
        told = {"id": secrets.token_hex(16), "expires": expires, "mode": mode, "address": "0" * 32}
        ticket = seal(Ticket.model_validate(told), secret)
        return await stage.door.knock(f"{stage.websocket}?t={ticket}")

    mode, good = stage.deployment.assembly.auth, now + limits().life_s
    need(
        await knocked(mode, good) == 101, "such a ticket is refused at its best: what follows proves nothing"
    )
    statuses = {"expired ticket": await knocked(mode, now - limits().leeway_s)}
    for other in get_args(Mode):
        if other != mode:
            statuses[f"ticket of the mode {other}"] = await knocked(other, good)
    need(set(statuses.values()) == {403}, f"signed, and not good: {statuses}")
    return statuses
