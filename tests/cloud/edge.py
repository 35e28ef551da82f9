"""What stands between viewers and the emulated CloudFront, and does three things that MiniStack doesn't.

It ends TLS (or says so, in a header); it signs requests to the function URL, as the distribution's origin
access control says that CloudFront must; and it fetches the page's files where MiniStack refuses itself: that
counts its own fetch from S3 as unencrypted, and the bucket wants encryption. Behaviours, methods, the viewer
function and all headers are MiniStack's reading of the deployed distribution.
"""

import asyncio
from typing import Any

import aiohttp
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.cloud.emulator import REGION, EmulatedAws

HASH = "x-amz-content-sha256"


class Edge:
    """Args:
    domain: the distribution's, of cloudfront.net.

    `viewer`: the loopback address from which the next requests come.
    """

    def __init__(self, aws: EmulatedAws, domain: str) -> None:
        self.viewer = "127.0.0.1"
        self._aws = aws
        self._domain = domain
        items = aws.client("cloudfront").list_distributions()["DistributionList"]["Items"]
        (found,) = [item for item in items if item["DomainName"] == domain]
        origins = {origin["Id"]: origin for origin in found["Origins"]["Items"]}
        (behaviour,) = found["CacheBehaviors"]["Items"]
        self._ticket = behaviour["PathPattern"]
        self._function_host = self._must_sign(origins[behaviour["TargetOriginId"]])
        bucket = origins[found["DefaultCacheBehavior"]["TargetOriginId"]]
        self._bucket = self._must_sign(bucket).split(".s3.")[0]

    def _must_sign(self, origin: dict[str, Any]) -> str:
        """The origin's name; its access control must say that every request to it is signed."""
        control = self._aws.client("cloudfront").get_origin_access_control(Id=origin["OriginAccessControlId"])
        config = control["OriginAccessControl"]["OriginAccessControlConfig"]
        assert (config["SigningBehavior"], config["SigningProtocol"]) == ("always", "sigv4"), config
        return str(origin["DomainName"])

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers |= {"host": self._domain, "x-forwarded-proto": "https"}
        if request.path == self._ticket:
            headers |= self._signature(request.method, headers.get(HASH))
        status, answer, got = await self._asked(request, headers, body)
        if status == 403 and request.path != self._ticket:
            status, got = await asyncio.to_thread(self._file, request.path.lstrip("/") or "index.html", got)
        kept = {
            name: value for name, value in answer.items() if name.lower() not in ("content-length", "date")
        }
        return web.Response(status=status, headers=kept, body=got)

    async def _asked(
        self, request: web.Request, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(self.viewer, 0))) as session,
            session.request(
                request.method,
                f"{self._aws.endpoint}{request.path_qs}",
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as answer,
        ):
            return answer.status, dict(answer.headers), await answer.read()

    def _file(self, key: str, refusal: bytes) -> tuple[int, bytes]:
        s3 = self._aws.client("s3")
        try:
            return 200, s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return 403, refusal

    def _signature(self, method: str, body_hash: str | None) -> dict[str, str]:
        """CloudFront signs with the hash that the viewer names, because it doesn't read bodies; without one,
        Lambda refuses a POST. An Authorization header of the viewer's never gets through."""
        if method == "POST" and body_hash is None:
            return {"authorization": ""}
        headers = {HASH: body_hash} if body_hash else {}
        request = AWSRequest(method, f"https://{self._function_host}{self._ticket}", headers=headers)
        SigV4Auth(Credentials("test", "test"), "lambda", REGION).add_auth(request)
        return {
            "authorization": request.headers["Authorization"],
            "x-amz-date": request.headers["X-Amz-Date"],
        }
