"""One execution environment: serves one invoke at a time, is frozen after each and thawed for the next.

After an invoke whose result says `environment_lost` it is of no use: stop it and make another.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import aiohttp

from local.lambda_service.config import FunctionConfig
from local.lambda_service.emulator_log import readable
from local.lambda_service.result import InvokeResult
from local.lambda_service.runtime_api import Outcome
from local.lambda_service.sandbox import Sandbox
from local.lambda_service.settings import Settings

Log = Callable[[str, str], None]
"""Called with an environment's name and one line of its output."""

_TIMED_OUT = b"Task timed out after "  # the emulator's own text, status 200 and not JSON
_EMULATORS_ID = re.compile(rb"(?<=RequestId: )[0-9a-f-]{36}")
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")  # what a process needs to run at all


class EnvironmentState(StrEnum):
    COLD = "cold"  # its emulator does not listen yet
    BUSY = "busy"
    FROZEN = "frozen"


class Environment:
    """`name` is for logs; `function` is what the handler's context shows."""

    def __init__(
        self,
        name: str,
        *,
        function: str,
        config: FunctionConfig,
        settings: Settings,
        emulator: Path,
        log: Log,
    ) -> None:
        self.name = name
        self.state = EnvironmentState.COLD
        self.invokes = 0
        self._function = function
        self._config = config
        self._settings = settings
        self._emulator = emulator
        self._log = log
        self._request_id = ""
        self._sandbox: Sandbox | None = None

    @property
    def pid(self) -> int | None:
        """The process id that leads the session of all its processes; None before there is one."""
        return self._sandbox.pid if self._sandbox else None

    async def invoke(self, request_id: str, payload: bytes) -> InvokeResult:
        """Start or thaw, run the handler, freeze. `payload` is JSON. Never call it while an invoke runs.

        Raises `RuntimeError` if the emulator doesn't start.
        """
        self._request_id = request_id
        sandbox = self._sandbox or await self._start()
        sandbox.api.begin(request_id)
        sandbox.session.thaw()
        self.state = EnvironmentState.BUSY
        self.invokes += 1
        result = await self._call(sandbox, payload)
        if not result.environment_lost:
            await sandbox.session.freeze()
            self.state = EnvironmentState.FROZEN
        return result

    async def stop(self) -> None:
        """Kill its processes, frozen or not. May be called again. Raises `TimeoutError` naming survivors."""
        if self._sandbox:
            await self._sandbox.kill(within_s=self._settings.process.stop_s)
            self._sandbox = None

    async def _start(self) -> Sandbox:
        limits = self._settings.process
        for _ in range(limits.start_attempts):
            self._sandbox = await Sandbox.spawn(
                self._emulator,
                self._config.handler,
                variables=self._variables(),
                folder=self._config.task_root,
                line=self._say,
            )
            if await self._sandbox.listens(within_s=limits.start_s):
                self._log(self.name, f"cold start, pid {self.pid}")
                return self._sandbox
            await self.stop()
        raise RuntimeError(
            f"environment {self.name}: the emulator {self._emulator} did not start to listen; "
            "its own words are in the log above"
        )

    def _variables(self) -> dict[str, str]:
        identity, config = self._settings.identity, self._config
        return {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": identity.region,
            "AWS_DEFAULT_REGION": identity.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "local",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",  # unless the function is told otherwise
            **config.env,
            "AWS_LAMBDA_FUNCTION_NAME": self._function,
            "AWS_LAMBDA_FUNCTION_VERSION": identity.version,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(config.timeout_s),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mb),
            "LAMBDA_TASK_ROOT": str(config.task_root),
            "_HANDLER": config.handler,
        }

    async def _call(self, sandbox: Sandbox, payload: bytes) -> InvokeResult:
        limit = self._config.timeout_s + self._settings.process.overrun_s
        try:
            status, body = await sandbox.call(payload, within_s=limit)
        except TimeoutError:
            return self._timed_out()
        except aiohttp.ClientError as error:
            return self._lost("Runtime.ExitError", f"the emulator died: {error}")
        if status == 200 and body.startswith(_TIMED_OUT):
            return self._timed_out()
        if status == 200 and sandbox.api.outcome is not Outcome.NONE:
            return InvokeResult(body, failed=sandbox.api.outcome is Outcome.ERROR)
        body = _EMULATORS_ID.sub(self._request_id.encode(), body)
        with contextlib.suppress(ValueError):
            json.loads(body)
            return InvokeResult(body, failed=True, environment_lost=True)
        return self._lost("Runtime.ExitError", "the runtime exited before it took the event")

    def _timed_out(self) -> InvokeResult:
        return self._lost("Sandbox.Timedout", f"Task timed out after {self._config.timeout_s:.2f} seconds")

    def _lost(self, error_type: str, message: str) -> InvokeResult:
        return InvokeResult.lost(error_type, f"RequestId: {self._request_id} Error: {message}")

    def _say(self, line: bytes) -> None:
        if (text := readable(line.decode(errors="replace"), self._request_id)) is not None:
            self._log(self.name, text)
