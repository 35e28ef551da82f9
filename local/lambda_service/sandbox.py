"""The processes of one environment: the emulator, and under it Lambda's runtime client with the handler.

A sandbox has the life of its processes and no more: spawn it, call it while it lives, kill it.
"""

import asyncio
import io
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from local.lambda_service import launch
from local.lambda_service.processes import Session
from local.lambda_service.runtime_api import RuntimeApi

_INVOKE_PATH = "/2015-03-31/functions/function/invocations"  # the only one the emulator has
_POLL_S = 0.005
_LAST_WORDS_S = 1.0


@dataclass(slots=True)
class Sandbox:
    """`session` holds every process, `api` knows what the runtime answered."""

    session: Session
    api: RuntimeApi
    _process: asyncio.subprocess.Process
    _address: str
    _output: asyncio.Task[None]

    @classmethod
    async def spawn(
        cls,
        emulator: Path,
        handler: str,
        *,
        variables: Mapping[str, str],
        folder: Path,
        line: Callable[[bytes], None],
    ) -> "Sandbox":
        """Start the emulator in `folder`; `line` gets each line of output. The runtime starts with a call.

        Raises `OSError`.
        """
        address, emulator_api = _free_addresses()
        api = RuntimeApi(emulator_api)
        await api.start()
        shim = (sys.executable, "-I", "-S", launch.__file__)
        runtime = (*shim, "0", f"AWS_LAMBDA_RUNTIME_API={api.address}", sys.executable, "-m", "awslambdaric")
        try:
            process = await asyncio.create_subprocess_exec(
                *(*shim, str(os.getpid()), str(emulator), "--log-level", "error"),
                *("--runtime-interface-emulator-address", address, "--runtime-api-address", emulator_api),
                *(*runtime, handler),
                env=variables,
                cwd=folder,
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except BaseException:
            await api.stop()
            raise
        assert process.stdout  # it was asked for
        output = asyncio.create_task(_follow(process.stdout, line))
        return cls(Session(process.pid), api, process, address, output)

    @property
    def pid(self) -> int:
        """The emulator's process id, which is also the session's."""
        return self._process.pid

    async def listens(self, *, within_s: float) -> bool:
        """Wait until the emulator itself, not a stranger on the same port, listens on both of its ports."""
        try:
            async with asyncio.timeout(within_s):
                emulator = psutil.Process(self.pid)
                while self._process.returncode is None:
                    sockets = emulator.net_connections("tcp")
                    if sum(each.status == psutil.CONN_LISTEN for each in sockets) == 2:
                        return True
                    await asyncio.sleep(_POLL_S)
        except (TimeoutError, psutil.Error):
            pass
        return False

    async def call(self, payload: bytes, *, within_s: float) -> tuple[int, bytes]:
        """One invoke: the emulator's HTTP status and body.

        Raises `TimeoutError`, or `aiohttp.ClientError` when the emulator has gone.
        """
        # A new connection for each call: the emulator was frozen since the last one.
        client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=within_s))
        url = f"http://{self._address}{_INVOKE_PATH}"
        async with client, client.post(url, data=io.BytesIO(payload)) as answer:
            return answer.status, await answer.read()

    async def kill(self, *, within_s: float) -> None:
        """End every process. May be called again. Raises `TimeoutError` if one outlives SIGKILL."""
        try:
            await self.session.kill(within_s=within_s)
            await self._process.wait()
        finally:
            # Its end comes at once, unless a process that left the session holds the pipe.
            await asyncio.wait([self._output], timeout=_LAST_WORDS_S)
            self._output.cancel()
            await asyncio.gather(self._output, return_exceptions=True)
            await self.api.stop()


async def _follow(output: asyncio.StreamReader, line: Callable[[bytes], None]) -> None:
    """A `\\r` ends a line too: the runtime client writes a stack trace as one line with those inside."""
    rest = b""
    while chunk := await output.read(65536):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for each in lines:
            line(each)
    line(rest)


def _free_addresses() -> tuple[str, str]:
    """Two loopback addresses that nothing listens on at this moment."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{first.getsockname()[1]}", f"127.0.0.1:{second.getsockname()[1]}"
