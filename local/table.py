"""The table on this machine: MiniStack's DynamoDB, a child process on loopback, gone with the stage."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.lambda_service import launch
from session.dynamodb import table_definition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

START_LIMIT_S = 60.0


class TableUnavailable(Exception):
    """The emulator did not start; the message says where its log is."""


class LocalTable:
    """Args:
    port: free port on loopback.
    log_file: where the emulator's own output goes.
    """

    def __init__(self, port: int, log_file: Path) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log_file = log_file
        environment = os.environ | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SERVICES": "dynamodb",
            "IOT_MTLS_ENABLED": "0",  # else it listens on a second port
            "LOG_LEVEL": "WARNING",
        }
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, launch.__file__, str(os.getpid()), sys.executable, "-m", "ministack"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C is the stage's to handle
            )

    def create(self, name: str) -> None:
        """Waits until the emulator answers, then makes the table. Raises TableUnavailable."""
        client: DynamoDBClient = boto3.client(
            "dynamodb",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # the emulator wants some
            config=Config(connect_timeout=1, read_timeout=10, retries={"total_max_attempts": 1}),
        )
        give_up = time.monotonic() + START_LIMIT_S
        while True:
            try:
                client.create_table(**table_definition(name))
                return
            except (BotoCoreError, ClientError) as error:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    raise TableUnavailable(
                        f"the DynamoDB emulator did not start ({error}); see {self._log_file}"
                    ) from error
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
