"""An evening at the house as its logs show it: `python -m tests.telemetry_child`.

Both real handlers' services in one process, each under its own name, with a table in memory and a stand-in
for the model. On stdout is what CloudWatch would get. The evening has everything that is measured, and all
that could let a listener's words into a log: replies that break, frames that are wrong, a table that fails,
a gateway that refuses, a secret that is none.
"""

import json
import os
import time
from types import SimpleNamespace
from typing import Any

from tests.telemetry_texts import ADDRESS, ANSWER, QUESTION, SAID, TICKET, TOLD

SERVICES = {"light": "curtain-prologue", "model": "curtain-demo"}  # as a stack with one model names them
os.environ.update(
    POWERTOOLS_SERVICE_NAME=SERVICES["light"],
    AWS_DEFAULT_REGION="us-east-1",
    CALLBACK_URL="https://gateway.invalid/stage",
    FAQ_DIR="nowhere",
    MODELS='{"demo": "model-function"}',
    TABLE_NAME="table",
    AUTH_MODE="access-code",
    MODEL_SECONDS_PER_DAY="3600",
    TICKET_SECRET=TICKET,  # not as it has to be
)

from botocore.exceptions import ClientError  # noqa: E402

import prologue.handler as handler  # noqa: E402 (reads the environment)
from lambda_image.service import ModelService  # noqa: E402
from lambda_image.tasks import Threads  # noqa: E402
from lambda_image.waking import SleepingModel  # noqa: E402
from session import telemetry  # noqa: E402
from session.caps import Caps  # noqa: E402
from session.events import Frame, SessionReady  # noqa: E402
from session.inputs import Stopped  # noqa: E402
from session.posting import GatewayPoster  # noqa: E402
from session.record import Session  # noqa: E402
from session.runner import InvokeRefused, Runner  # noqa: E402
from tests.fakes import MemoryStore, RecordingPoster, emerald_city  # noqa: E402
from tests.lobby import FaqMatch  # noqa: E402
from tests.theatre import Parrot, Weights  # noqa: E402
from tests.ticketing import request  # noqa: E402


class Evening:
    def __init__(self) -> None:
        self.store, self.poster = MemoryStore(), RecordingPoster()
        self.refusing = 0
        self.breaking = False
        self.stopping = ""  # the session whose listener stops the turn while it is told
        parrot = Parrot([TOLD] * 8, tokens_per_s=5.0)
        parrot.before = self._before
        self.runner = self._runner()
        model = SleepingModel(lambda: parrot, Weights(), time.monotonic(), tasks=Threads())
        self.model = ModelService(self.runner, model, tasks=Threads())
        evening = self

        class Functions:
            def __init__(self, functions: object) -> None:
                pass

            def invoke(self, session: Session, epoch: int) -> None:
                if evening.refusing:
                    evening.refusing -= 1
                    raise InvokeRefused("Rate exceeded", again=True)
                evening.waiting.append((session.session_id, epoch))

        class Faq:
            def match(self, text: str) -> FaqMatch | None:
                if "pianissimo" in text:
                    return FaqMatch("Only those who are meant to.")
                return None

        self.waiting: list[tuple[str, int]] = []
        vars(handler)["Clients"] = lambda settings: self
        vars(handler)["ModelFunctions"] = Functions
        import prologue.faq.match

        vars(prologue.faq.match)["Matcher"] = SimpleNamespace(load=lambda *_: Faq())

    def _runner(self) -> Runner:
        return Runner(
            store=self.store,
            poster=self.poster,
            worlds=lambda name, language: emerald_city(),
            clock=time.time,
            models=("demo",),
            caps=Caps(stack=3600),
        )

    def _before(self, index: int) -> None:
        if self.breaking:
            raise FloatingPointError("logits are not finite")
        if self.stopping and index == 1:
            self.runner.apply(self.stopping, Stopped(turn_id="t4"))

    def send(self, connection_id: str = "c1", **frame: object) -> list[Frame]:
        return self.raw(json.dumps(frame), connection_id)

    def raw(self, body: str, connection_id: str = "c1") -> list[Frame]:
        context = {"connectionId": connection_id, "eventType": "MESSAGE", "identity": {"sourceIp": ADDRESS}}
        context |= {"authorizer": {"ticket": TICKET, "address": "5ca1ab1e"}}
        time.sleep(0.12)  # at most ten frames a second
        handler.lambda_handler({"requestContext": context, "body": body}, _context("light"))
        return self.poster.take(connection_id)

    def serve(self) -> None:
        """The model function comes to all who asked for it."""
        while self.waiting:
            session_id, epoch = self.waiting.pop(0)
            context = _context("model")
            telemetry.begin(context, session_id=session_id)
            deadline = time.monotonic() + 900
            self.model.serve(session_id, epoch, holder="r", deadline=deadline, memory_mb=10_240)


def _context(name: str) -> Any:
    """Another event of that function. Its trace is told as Lambda's runtime client tells it."""
    os.environ["POWERTOOLS_SERVICE_NAME"] = SERVICES[name]
    telemetry._logger.cache_clear()
    os.environ["_X_AMZN_TRACE_ID"] = f"Root=1-5759e988-bd862e3fe1be46a994272793;Parent={name};Sampled=1"
    return SimpleNamespace(aws_request_id=f"request-of-{name}")


def refuse_a_post() -> None:
    """The gateway answers the model function 429 once."""
    telemetry.begin(_context("model"))
    answers = iter([ClientError({"ResponseMetadata": {"HTTPStatusCode": 429}}, "PostToConnection"), None])  # type: ignore[typeddict-item]

    def post_to_connection(**_: object) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    client: Any = SimpleNamespace(post_to_connection=post_to_connection)
    ready = SessionReady(session_id="s", world="w", model="m", models=["m"], resumed=False)
    GatewayPoster(client, sleep=lambda seconds: None).post("c", ready)


def main() -> None:
    evening = Evening()
    ready = evening.send(action="hello", v=1)[0]
    assert isinstance(ready, SessionReady)
    evening.refusing = 1
    evening.send(action="answer", question_id="name", text=ANSWER)
    evening.send(action="skip")
    evening.send(action="wake")
    evening.store.heads[ready.session_id] = _expired(evening.store.heads[ready.session_id])
    evening.send(action="ping")
    evening.serve()
    evening.send(action="say", turn_id="q1", text=QUESTION)
    evening.send(action="say", turn_id="t1", text=SAID)
    evening.serve()
    evening.breaking = True
    evening.send(action="say", turn_id="t2", text=SAID)
    evening.serve()
    evening.breaking = False
    evening.send(action="say", turn_id="t3", text=SAID)
    evening.send(action="stop", turn_id="t3")
    evening.serve()
    evening.stopping = ready.session_id
    evening.send(action="say", turn_id="t4", text=SAID)
    evening.serve()
    evening.stopping = ""
    # frames that are wrong, a table that fails, and a secret that can't be read
    evening.raw(f'{{"action": "say", "turn_id": "t5", "text": "{SAID}", "abracadabra": 1}}')
    evening.raw(f"{SAID} {{")
    evening.send("c2", action="hello", v=1, session_id=ready.session_id, resume_key=f"{ready.resume_key}x")
    load = evening.store.load
    evening.store.load = lambda session_id, now: Session.model_validate({"said": SAID, "title": SAID})  # type: ignore[method-assign]
    evening.send(action="say", turn_id="t6", text=SAID)
    evening.store.load = load  # type: ignore[method-assign]
    closed = handler.lambda_handler(request({"code": SAID}), _context("light"))
    assert closed["statusCode"] == 503
    # somebody queues, and somebody comes too late for the day
    evening.send("c3", action="hello", v=1)
    evening.send("c3", action="skip")
    evening.send("c4", action="hello", v=1)
    evening.send("c4", action="skip")
    evening.serve()
    evening.store.spend(("stack",), 3600.0, time.time())
    evening.send(action="say", turn_id="t7", text=SAID)
    refuse_a_post()
    print(json.dumps({"session_id": ready.session_id, "keys": [ready.resume_key]}))


def _expired(session: Session) -> Session:
    """Whoever was asked for has not come in time."""
    return session.model_copy(update={"seat": session.seat.model_copy(update={"expires": 0.5})})


if __name__ == "__main__":
    main()
