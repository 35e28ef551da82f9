"""AWS Lambda on one machine: functions under Lambda's own runtime client and Runtime Interface Emulator."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from local.lambda_service.config import FunctionConfig
from local.lambda_service.emulator import find_emulator
from local.lambda_service.environment import EnvironmentState, Log
from local.lambda_service.function import Function, OnFailure
from local.lambda_service.settings import Settings, load_settings


class FunctionNotFoundError(LookupError):
    """No function of this name; the message is its name."""


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """One environment as it is at this moment. `pid` leads the session of all its processes."""

    name: str
    pid: int | None
    state: EnvironmentState
    invokes: int


class LambdaService:
    """Use `start`, then `function(name).invoke` and `.enqueue` (or `invoke_api`'s HTTP routes), then `stop`.

    Raises `EmulatorUnavailableError` at once where the emulator can't run. The kernel ends the environments
    when the thread that runs the service's event loop ends.
    """

    def __init__(
        self,
        functions: Mapping[str, FunctionConfig],
        *,
        on_failure: OnFailure,
        log: Log,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        emulator = find_emulator()
        self._functions = {
            name: Function(
                name, config, settings=self.settings, emulator=emulator, on_failure=on_failure, log=log
            )
            for name, config in functions.items()
        }
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Nothing runs yet: an environment starts with the first invoke that needs it."""
        self._loops = [asyncio.create_task(function.run()) for function in self._functions.values()]

    async def stop(self) -> None:
        """Leave no process behind. Raises `TimeoutError` naming the ones that outlive SIGKILL."""
        for loop in self._loops:
            loop.cancel()
        for loop in self._loops:
            with contextlib.suppress(asyncio.CancelledError):
                await loop
        await asyncio.gather(*(function.stop() for function in self._functions.values()))

    def function(self, name: str) -> Function:
        """Raises `FunctionNotFoundError`."""
        try:
            return self._functions[name]
        except KeyError:
            raise FunctionNotFoundError(name) from None

    def state(self) -> list[EnvironmentView]:
        return [
            EnvironmentView(environment.name, environment.pid, environment.state, environment.invokes)
            for function in self._functions.values()
            for environment in function.environments
        ]
