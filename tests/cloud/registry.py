"""ECR as the CDK CLI asks it. Of an image that isn't there MiniStack says nothing, where AWS says just that:
the CLI would take it for published."""

import json

from aiohttp import web

from tests.cloud.emulator import EmulatedAws
from tests.cloud.secure import Secure

ABSENT = {
    "__type": "ImageNotFoundException",
    "message": "The image with imageId {imageTag:'…'} does not exist within the repository",
}

MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}


class Registry:
    def __init__(self, aws: EmulatedAws) -> None:
        self._aws = aws

    async def answer(self, request: web.Request) -> web.Response:
        response = await Secure(self._aws).answer(request)
        describes = request.headers.get("x-amz-target", "").endswith(".DescribeImages")
        if describes and response.status == 200 and not json.loads(response.text or "")["imageDetails"]:
            return web.json_response(ABSENT, status=400, content_type="application/x-amz-json-1.1")
        return response

    def fill(self, pushed: list[str]) -> None:
        """Puts images where they were pushed to: not to be sent again, and to be seen taken away."""
        for address in pushed:
            repository, _, tag = address.partition("/")[2].rpartition(":")
            manifest = json.dumps({**MANIFEST, "annotations": {"tag": tag}})  # alike, they would be one image
            self._aws.client("ecr").put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)
