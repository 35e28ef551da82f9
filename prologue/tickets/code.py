"""`python -m prologue.tickets.code SECRET_ARN`: prints the access code, for its owner to pass on."""

import sys

from prologue.tickets.secret import SecretAway, read_secret
from prologue.tickets.settings import TicketSettings


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m prologue.tickets.code SECRET_ARN")
    try:
        secret = read_secret(TicketSettings(secret_arn=sys.argv[1]))
    except SecretAway as error:
        raise SystemExit(f"curtain: {error}") from None
    print(secret.access_code)


if __name__ == "__main__":
    main()
