"""Lambda's Invoke over HTTP, for boto3's `lambda` client with this server as `endpoint_url`.

Signatures are not verified and qualifiers other than `$LATEST` do not exist. Answers, error types and limits:
Lambda API reference, Invoke.
"""

import json
import re
from http import HTTPStatus
from uuid import uuid4

from aiohttp import web

from local.lambda_service.function import ThrottledError
from local.lambda_service.service import FunctionNotFoundError, LambdaService

INVOKE_PATH = "/2015-03-31/functions/{name}/invocations"
_NAME = re.compile(  # a name, a partial ARN or a whole one, with or without the qualifier
    r"(?:arn:[^:]+:lambda:[^:]+:)?(?:\d{12}:)?(?:function:)?(?P<name>[A-Za-z0-9_-]+)(?::(?P<qualifier>[^:]+))?"
)


class _ApiError(Exception):
    """One of Invoke's errors; `code` is its exception's name in the SDKs."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> web.Response:
        # ResourceNotFoundException spells its member "Message", the others "message"; the SDKs read either.
        body = {"Type": "User", "message": str(self), "Message": str(self)}
        return web.json_response(body, status=self.status, headers={"x-amzn-ErrorType": self.code})


def add_routes(app: web.Application, service: LambdaService) -> None:
    """Mount `POST /2015-03-31/functions/{name}/invocations`."""

    async def handle(request: web.Request) -> web.Response:
        request_id = str(uuid4())
        try:
            response = await _invoke(request, service, request_id)
        except _ApiError as error:
            response = error.response()
        response.headers["x-amzn-RequestId"] = request_id
        return response

    app.router.add_post(INVOKE_PATH, handle)


async def _invoke(request: web.Request, service: LambdaService, request_id: str) -> web.Response:
    kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    limits = service.settings.payload
    payload = await _body(request, limits.event_bytes if kind == "Event" else limits.request_bytes)
    identity = service.settings.identity
    name, qualifier = _target(request)
    headers = {"X-Amz-Executed-Version": identity.version}
    try:
        if qualifier not in (None, identity.version):
            raise FunctionNotFoundError(f"{name}:{qualifier}")
        function = service.function(name)
        if kind == "DryRun":
            return web.Response(status=HTTPStatus.NO_CONTENT)
        if kind == "Event":
            function.enqueue(request_id, payload)
            return web.Response(status=HTTPStatus.ACCEPTED)
        if kind == "RequestResponse":
            result = await function.invoke(request_id, payload)
            if result.failed:
                headers["X-Amz-Function-Error"] = "Unhandled"
            return web.Response(body=result.payload, content_type="application/json", headers=headers)
    except FunctionNotFoundError as error:
        arn = identity.function_arn(str(error))
        raise _ApiError(
            HTTPStatus.NOT_FOUND, "ResourceNotFoundException", f"Function not found: {arn}"
        ) from None
    except ThrottledError:
        raise _ApiError(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.") from None
    raise _ApiError(
        HTTPStatus.BAD_REQUEST,
        "InvalidParameterValueException",
        f"Invocation type {kind!r} is none of Event, RequestResponse, DryRun",
    )


def _target(request: web.Request) -> tuple[str, str | None]:
    given = request.match_info["name"]
    match = _NAME.fullmatch(given)
    if not match:
        raise _ApiError(
            HTTPStatus.BAD_REQUEST, "InvalidParameterValueException", f"Not a function name: {given!r}"
        )
    return match["name"], match["qualifier"] or request.query.get("Qualifier")


async def _body(request: web.Request, limit: int) -> bytes:
    """The JSON body, `{}` if empty. One too large is read to its end, so that the client sees the answer."""
    body = bytearray()
    size = 0
    async for chunk in request.content.iter_any():  # not read(): the application's own limit is another one
        size += len(chunk)
        if size <= limit:
            body += chunk
    if size > limit:
        raise _ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RequestTooLargeException",
            f"Request must be smaller than {limit} bytes for the InvokeFunction operation",
        )
    try:
        json.loads(body or b"{}")
    except ValueError as error:
        raise _ApiError(
            HTTPStatus.BAD_REQUEST,
            "InvalidRequestContentException",
            f"Could not parse request body into json: {error}",
        ) from None
    return bytes(body) or b"{}"
