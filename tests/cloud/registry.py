"""ECR as the CDK CLI asks it. Of an image that isn't there MiniStack says nothing, where AWS says just that:
the CLI would take it for published."""

import json

import aiohttp
from aiohttp import web

from tests.cloud.emulator import EmulatedAws

ABSENT = {
    "__type": "ImageNotFoundException",
    "message": "The image with imageId {imageTag:'…'} does not exist within the repository",
}

MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}


class Registry:
    def __init__(self, aws: EmulatedAws) -> None:
        self._aws = aws

    async def answer(self, request: web.Request) -> web.Response:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self._aws.endpoint}{request.path_qs}", headers=request.headers, data=await request.read()
            ) as response,
        ):
            status, body = response.status, await response.read()
            kind = response.headers.get("content-type", "application/x-amz-json-1.1")
        asked = request.headers.get("x-amz-target", "")
        if asked.endswith(".DescribeImages") and status == 200 and not json.loads(body)["imageDetails"]:
            status, body = 400, json.dumps(ABSENT).encode()
        return web.Response(status=status, body=body, headers={"content-type": kind})

    def fill(self, pushed: list[str]) -> None:
        """Puts images where they were pushed to: not to be sent again, and to be seen taken away."""
        for address in pushed:
            repository, _, tag = address.partition("/")[2].rpartition(":")
            manifest = json.dumps({**MANIFEST, "annotations": {"tag": tag}})  # alike, they would be one image
            self._aws.client("ecr").put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)
