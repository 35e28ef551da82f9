"""A real client: connects, resumes, pings, and repeats what may have got lost."""

import json
from random import Random
from typing import TYPE_CHECKING, Any

from local.story import Story
from session.errors import Code
from session.events import (
    ErrorFrame,
    Pong,
    SessionDeleted,
    SessionReady,
    SessionSnapshot,
    parse_server_frame,
)
from session.record import OPENING_TURN
from tests.sim.gateway import Connection, Gateway

if TYPE_CHECKING:
    from tests.sim.witness import Witness

SILENCE_S = 8.0  # so long after a frame that must be answered, the line is taken for dead
PING_S = 10.0
AGAIN_S = 5.0  # so long after a hello whose snapshot has not come, it is said again
STAYED_S = 3.0
IDLE_S = 240.0
FATAL: tuple[Code, ...] = ("unknown_session", "already_greeted")
AWAITED = ("starting", "loading", "full")


class Client:
    """Args:
    story: of a client that was there before: this one goes on with it.
    """

    def __init__(
        self,
        name: str,
        gateway: Gateway,
        witness: "Witness",
        random: Random,
        story: Story | None = None,
        *,
        address: str = "",
        subject: str | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.subject = subject
        self.story = story or Story()
        self.gateway = gateway
        self.witness = witness
        self.random = random
        self.now = gateway.clockwork
        self.connection: Connection | None = None
        self.gone = False  # left for ever
        self.settling = False  # does nothing new; pings all the time
        self.still = False  # does nothing new, and pings as seldom as it may
        self.greeted = False  # the answer to this connection's hello has come, snapshot included
        self.ok_since = 0.0  # when it came
        self.asked_at = 0.0  # when something was sent that must be answered; 0 if it was
        self.ping_at = 0.0
        self.hello_at = 0.0
        self.retry_at = 0.0
        self.failures = 0
        self.deleting = False
        self.doubting = False
        self.undoing: str | None = None
        self._said = 0
        self._shown: dict[tuple[str, str, int], str] = {}
        self.gateway.clockwork.after(random.random(), self._tick)

    @property
    def connected(self) -> bool:
        """Whether the line really carries, and the story so far has come."""
        return self.greeted and self.connection is not None and self.connection.carries

    # ---- the line ----

    def connect(self) -> None:
        if not self.story.resume_key:
            self.story = Story()  # it was never told: nothing to go on with
        self.connection = self.gateway.connect(self)
        self.greeted = False
        self.witness.note(self.name, f"connects, {self.connection.connection_id}")
        self.hello()

    def hello(self) -> None:
        self.hello_at = self.now.now
        self._send(self.story.hello(), answered=True)

    def hang_up(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self.gateway.close(connection)

    def closed(self, connection: Connection) -> None:
        if connection is self.connection:
            self._back_off()

    def received(self, connection: Connection, wire: bytes) -> None:
        if connection is not self.connection or self.gone:
            return
        frame = parse_server_frame(wire)
        self.asked_at = 0.0
        self.failures = 0
        begun = self.story.session_id
        missing = self.story.receive(frame)
        self.witness.note(self.name, f"hears {type(frame).__name__}")
        if isinstance(frame, ErrorFrame):
            self._refused(frame)
        elif isinstance(frame, SessionDeleted):
            self.witness.erased.add(frame.session_id)
            self.deleting, self.undoing, self.greeted = False, None, False
            self._shown.clear()
            self.hang_up()
        elif isinstance(frame, SessionReady):
            if begun not in ("", frame.session_id):
                self._shown.clear()
                self.undoing = None
                self.hang_up()  # what the old story still has to say must not reach the new one
            elif not frame.resumed:
                self._welcome()
        elif isinstance(frame, SessionSnapshot) and self.story.held is None and not self.greeted:
            self._welcome()
        if self.story.superseded:
            self.leave()
        elif missing and self.connection is not None:
            self.hello()
        if not isinstance(frame, Pong):
            self._look()

    def keys(self) -> Story:
        """What another client of the same listener begins with."""
        return Story(session_id=self.story.session_id, resume_key=self.story.resume_key)

    def settle(self) -> None:
        self.settling = True  # nothing new from now on
        self.ping_at = min(self.ping_at, self.now.now + PING_S)

    def leave(self) -> None:
        """For good, without a word."""
        self.gone = True
        self.hang_up()

    def _welcome(self) -> None:
        if not self.story.session_id:
            return  # its first frame was lost: hello again
        self.greeted = True
        self.ok_since = self.now.now
        self.ping_at = self.now.now + STAYED_S
        self._repeat()

    def _repeat(self) -> None:
        """What may have got lost, once more."""
        for frame in self.story.unconfirmed:
            self._send(frame)
        if self.undoing and self.undoing not in self.story.removed:
            self._send({"action": "undo", "turn_id": self.undoing})
        else:
            self.undoing = None
        if self.deleting:
            self._send({"action": "delete"})

    def _refused(self, error: ErrorFrame) -> None:
        if error.request_id is not None:
            self.doubting = True
            self.ping_at = min(self.ping_at, self.now.now + PING_S)
        if error.code in FATAL:
            if self.deleting:
                self.witness.erased.add(self.story.session_id)
            self.story, self.undoing, self.deleting = Story(), None, False
            self._shown.clear()
            self._back_off()
        elif error.code == "not_last_turn":
            self.undoing = None

    def _back_off(self) -> None:
        self.hang_up()
        self.failures += 1
        self.retry_at = self.now.now + min(8.0, 0.3 * 2**self.failures) * (0.5 + self.random.random())

    def _send(self, frame: dict[str, Any], *, answered: bool = False) -> None:
        if self.connection is None:
            return
        if "turn_id" in frame and frame["action"] not in ("ping", "stop", "undo"):
            self.witness.asked.add((self.story.session_id, frame["turn_id"], frame.get("version", 0) + 1))
        self.gateway.send(self.connection, json.dumps(frame))
        if answered and not self.asked_at:
            self.asked_at = self.now.now

    # ---- time ----

    def _tick(self) -> None:
        if self.gone:
            return
        now = self.now.now
        self.now.after((6.0 if self.still else 0.4) + 0.6 * self.random.random(), self._tick)
        if self.connection is None:
            if now >= self.retry_at:
                self.connect()
        elif self.asked_at and now - self.asked_at > SILENCE_S:
            self.asked_at = 0.0
            self._back_off()
        elif (not self.greeted or self.story.held is not None) and now - self.hello_at > AGAIN_S:
            self.hello()
        elif self.greeted and now >= self.ping_at:
            self.ping()
        elif self.greeted and not self.settling and not self.still:
            self.act()

    def ping(self) -> None:
        turn, model = self.story.open_turn, self.story.model
        if self.doubting:  # another copy of what was refused may have been taken: only a snapshot tells
            self.doubting = False
            self.hello()
        else:
            self._send(self.story.ping(), answered=True)
        self._repeat()
        busy = turn or OPENING_TURN not in self.story.turns or self.undoing or self.deleting or self.settling
        awaited = model is not None and model.state in AWAITED
        self.ping_at = self.now.now + (PING_S if busy or awaited else IDLE_S)

    def _look(self) -> None:
        """What is on the screen never gets less by itself."""
        self.ping_at = min(self.ping_at, self.now.now + PING_S) if self.story.open_turn else self.ping_at
        for turn in list(self.story.turns.values())[-2:]:
            key = (self.story.session_id, turn.turn_id, turn.version)
            shown = self._shown.get(key, "")
            if not turn.shown.startswith(shown) and key[:2] not in self.witness.stopped_by_listener:
                self.witness.accuse(
                    f"{self.name} saw {key} shrink: {shown[-40:]!r} became {turn.shown[-40:]!r}"
                )
            self._shown[key] = turn.shown

    def act(self) -> None:
        """Called about once a second while the line is good and nothing settles."""
