"""What the doctor's tests share: stubbed AWS clients, programs on the PATH that aren't the real ones."""

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import typer
from botocore.stub import Stubber

from infra.doctor.account import Aws
from infra.doctor.finding import Finding


def application(command: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


class StubbedSession(boto3.Session):
    """Its clients are one of each kind, and answer only what a Stubber was told."""

    def __init__(self, region: str | None = "us-east-1") -> None:
        super().__init__("AKIDTEST", "SECRETTEST", region_name=region)
        self._clients: dict[str, Any] = {}

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        if service_name not in self._clients:
            make: Any = super().client
            self._clients[service_name] = make(service_name, *args, **kwargs)
        return self._clients[service_name]

    @contextmanager
    def answering(self, service: str) -> Iterator[Stubber]:
        """A Stubber for the client; all its answers must be fetched before the end."""
        with Stubber(self.client(service)) as stubber:
            yield stubber
            stubber.assert_no_pending_responses()


def stubbed(region: str | None = "us-east-1") -> tuple[Aws, StubbedSession]:
    session = StubbedSession(region)
    return Aws(session=session), session


def program(folder: Path, name: str, script: str) -> Path:
    """Writes a shell script that answers as program `name` would."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def text(finding: Finding) -> str:
    return f"{finding.about}: {finding.says} → {finding.do}"
