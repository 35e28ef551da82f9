"""The key that tickets are signed with, and the access code: one secret of AWS Secrets Manager."""

import base64
import hmac
import logging
from functools import cached_property

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from prologue.tickets.settings import TicketSettings
from session import aws


class SecretAway(Exception):
    """The secret can't be read, or is not as it has to be. Tells nothing of what it holds."""


class Secret(BaseModel):
    """`{"key": "...", "code": "..."}`; without a code, one follows from the key."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    key: SecretStr = Field(min_length=32)
    code: SecretStr | None = Field(default=None, min_length=1)

    def sign(self, purpose: str, text: str) -> bytes:
        """HMAC-SHA256 of a text. Signatures for one purpose are worth nothing for another."""
        key = self.key.get_secret_value().encode()
        return hmac.digest(key, f"curtain {purpose}\0{text}".encode(), "sha256")

    def address_hash(self, address: str) -> str:
        """Always the same for one address, and without the key no way back. 128 bits in hex."""
        return self.sign("address", address).hex()[:32]

    @cached_property
    def access_code(self) -> str:
        if self.code is not None:
            return self.code.get_secret_value().strip()
        letters = base64.b32encode(self.sign("access code", "")).decode().lower()
        return "-".join(letters[start : start + 4] for start in range(0, 16, 4))  # 80 bits


def read_secret(settings: TicketSettings) -> Secret:
    """Raises SecretAway."""
    if settings.secret_arn:
        text = _fetched(settings.secret_arn)
    else:
        text = settings.ticket_secret.get_secret_value() if settings.ticket_secret else ""
    try:
        return Secret.model_validate_json(text)
    except ValidationError:
        where = settings.secret_arn or "TICKET_SECRET"
        needs = 'has to be JSON such as {"key": "at least 32 characters"}'
        raise SecretAway(f"what {where} holds {needs}") from None


def _fetched(arn: str) -> str:
    logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it logs whole answers
    try:
        answer = aws.client("secretsmanager").get_secret_value(SecretId=arn)
    except (ClientError, BotoCoreError) as error:
        raise SecretAway(f"the secret {arn} can't be read: {error}") from error
    text: str = answer.get("SecretString", "")
    return text
