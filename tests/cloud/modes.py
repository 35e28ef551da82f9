"""The same stack in the other auth modes, and with its weights in S3: each deployed over the one before, and
played in."""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from local.story import Story
from local.tickets import Admission
from session.events import ServerFrame, SessionDeleted, SessionReady
from tests.cloud import doors, leftovers, scenes
from tests.cloud.commands import smoke
from tests.cloud.deployment import Deployment
from tests.cloud.stage import Stage
from tests.cloud.streamed import streamed
from tests.cloud.users import user
from tests.issuer import AUDIENCE, Issuer
from tools.admittance import Unproven, ask
from tools.witness import Witness, need

ISSUER = "https://issuer.example/pool"  # as deployed; an issuer on loopback stands in for it
COST = r"\$ +[\d.]+ a month while nobody talks"
PAGE = ("buckets", "distributions", "secrets", "CloudFront functions", "access controls", "header policies")

Seen = Iterator[tuple[str, Any]]
Staged = Callable[..., AbstractContextManager[Stage]]  # `tests.cloud.stage.staged`, of what is deployed now


@dataclass(frozen=True)
class Mode:
    """`says`: what `make deploy` says about it. `played`: what is tried there, and yields what was seen."""

    options: Mapping[str, str]
    says: str
    played: Callable[[Deployment, Staged], Seen]

    def deploy(self, deployment: Deployment) -> list[str]:
        """`make deploy` over the mode before; some of what it says. Raises DeployError, Unproven."""
        said = " ".join(deployment.make_deploy(**self.options).split())
        found = [re.search(pattern, said) for pattern in (COST, self.says)]
        need(all(found), f"make deploy says nothing of the cost, or of this mode: {said[-3000:]}")
        return [one[0] for one in found if one]


def iam(deployment: Deployment, staged: Staged) -> Seen:
    """Whoever signs what he asks may talk, if he is allowed to call the API."""
    assert "PageUrl" not in deployment.outputs
    left = {kind: names for kind, names in leftovers.resources(deployment.aws).items() if kind in PAGE}
    assert not left, f"there is no page, and yet there are {left}"
    yield "page and tickets are gone", list(PAGE)
    api = deployment.outputs["WebSocketUrl"].removeprefix("wss://").split(".")[0]
    deployment.aws.enforce(True)  # whether a signature holds is part of it
    listener = user(deployment.aws, "listener", api)
    stranger = user(deployment.aws, "stranger", "another-api")
    with staged(admission=Admission(iam=True)) as stage:
        with patch.dict(os.environ, listener):
            yield "refused", doors.refused(stage)
        with patch.dict(os.environ, stranger), doors.asleep(stage):
            signed = asyncio.run(stage.admission.address(stage.websocket))
            status = asyncio.run(stage.door.knock(signed))
            need(status == 403, f"who may call another API only gets {status}")
            yield "refused, with no permission for this API", status
        yield "smoke", smoke(stage, "--iam", **listener)
        stage.need_quiet()


def token(deployment: Deployment, staged: Staged) -> Seen:
    """Whoever has a token of the issuer may talk, and has stories of his own."""
    with Issuer() as issuer:
        admission = Admission(token=issuer.token())
        with staged(admission=admission, JWT_ISSUER=issuer.url) as stage:
            issuer.away = True
            status, told = asyncio.run(ask(stage.admission))
            need(status == 503 and bool(issuer.asked), f"an issuer that is away makes the status {status}")
            issuer.away = False
            yield "the issuer is away", {"status": status, "told": told["message"]}
            yield "refused", {**doors.refused(stage), **_bad_tokens(stage, issuer)}
            yield "a story is its subject's", asyncio.run(_own_story(stage, issuer))
            yield "smoke", smoke(stage)
            stage.need_quiet()


def anybody(deployment: Deployment, staged: Staged) -> Seen:
    """Whoever comes may talk, within limits for each address."""
    with staged(admission=Admission()) as stage:
        yield "refused", doors.refused(stage)
        yield "smoke", smoke(stage)
        yield "an address has had its share of the model", scenes.play(stage, scenes.share_is_spent)
        yield "one address asks too often", doors.too_often(stage)
        stage.need_quiet()


MODES: Mapping[str, Mode] = {
    "iam": Mode({"auth": "iam"}, r"make smoke URL=WebSocketUrl IAM=1", iam),
    "jwt": Mode(
        {"auth": "jwt", "jwt": json.dumps({"issuer": ISSUER, "audience": AUDIENCE})},
        r"TOKEN=\.\.\. make smoke URL=PageUrl",
        token,
    ),
    "open": Mode({"auth": "open"}, r'auth "open" lets anybody talk, at your cost\..*? in all\.', anybody),
    "weights: s3": Mode({"weights": "s3"}, r"demo: [\d.]+ GB to s3://\S+", streamed),
}


def _is_greeted(frame: ServerFrame) -> bool:
    return isinstance(frame, SessionReady)


def _bad_tokens(stage: Stage, issuer: Issuer) -> dict[str, int]:
    """What each is answered with. Raises Unproven."""
    issuer.add("unpublished", rsa.generate_private_key(65537, 2048), published=False)
    wrong = {
        "expired token": issuer.token(exp=int(time.time()) - 3600),
        "token of another issuer": issuer.token(iss="https://elsewhere.example"),
        "token for another audience": issuer.token(aud="elsewhere"),
        "token with an unknown key": issuer.token("unpublished"),
        "unsigned token": jwt.encode(issuer.claims(), "", "none", headers={"kid": "first"}),
        "token signed with a password": jwt.encode(
            issuer.claims(), "p" * 32, "HS256", headers={"kid": "first"}
        ),
    }
    with doors.from_another_address(stage), doors.asleep(stage):
        told = {
            name: asyncio.run(ask(replace(stage.admission, token=token)))[0] for name, token in wrong.items()
        }
    need(set(told.values()) == {401}, f"bad tokens are answered with {told}")
    return told


async def _own_story(stage: Stage, issuer: Issuer) -> dict[str, str]:
    """With another subject's token its key opens no story; with another token of its subject it does.

    Raises Unproven.
    """

    def listener(subject: str, story: Story | None = None) -> Witness:
        admission = replace(stage.admission, token=issuer.token(sub=subject))
        witness = Witness(replace(stage.door, admission=admission), name=subject)
        if story is not None:
            witness.story.session_id, witness.story.resume_key = story.session_id, story.resume_key
        return witness

    ada = listener("ada")
    async with ada.line() as client:
        await ada.until(client, _is_greeted)
    bob, refusal = listener("bob", ada.story), ""
    async with bob.line() as client:
        try:
            await bob.until(client, _is_greeted)
        except Unproven as error:
            refusal = str(error)
    need("unknown_session" in refusal, f"another subject's story: {refusal or 'opened'}")
    again = listener("ada", ada.story)
    async with again.line() as client:
        greeted = await again.until(client, _is_greeted)
        assert isinstance(greeted, SessionReady)
        need(greeted.resumed, "its own story is not resumed")
        await client.send({"action": "delete"})
        await again.until(client, lambda frame: isinstance(frame, SessionDeleted))
    return {"another subject is told": refusal}
