"""`--fail-starts`: models whose bundles can't be found at first, as after a deployment that went wrong."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local.lambda_service.invoke_api import INVOKE_PATH


class Breakage:
    """Args:
    failures: so many invocations, whichever model's, find no bundle.
    bundles: the models' bundles.
    folder: an empty one, in which each function is told to look for its model's.
    """

    def __init__(self, failures: int, bundles: Mapping[str, Path], folder: Path) -> None:
        self._left = failures
        self._links = {folder / name: bundle for name, bundle in bundles.items()} if failures else {}
        self.bundles = {link.name: link for link in self._links} or bundles  # where functions look

    @property
    def middlewares(self) -> list[Middleware]:
        """For the application that serves Lambda's Invoke."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            if resource is not None and resource.canonical == INVOKE_PATH:
                self._next()
            return await handler(request)

        return [count]

    def _next(self) -> None:
        if self._left == 0:
            for link, bundle in self._links.items():
                link.symlink_to(bundle)
        self._left -= 1
