"""The web page: a private bucket behind CloudFront, and beside it, at /ticket, the light function.

One origin for both, so the page needs no permission to ask for its ticket.
"""

from typing import Any, Final

from aws_cdk import Aws, Names
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct

from infra.buckets import private_bucket
from infra.functions import Backing
from infra.headers import security_headers
from infra.options import Options
from infra.parts import Domain
from lambda_image.engine.convert.catalog import REPOSITORY
from prologue.world import WORLDS, load_languages

TICKET: Final = "ticket"  # relative to the page
FILES: Final = REPOSITORY / "web"
TOLD: Final = {"name", "language", "title", "tagline", "theme", "speakers"}  # of a world, to the page

# The light function believes these two headers, because nobody but CloudFront may call it and this overwrites
# whatever the viewer sent. Its own domain can't be among its settings: the distribution is made after it.
VIEWER: Final = """\
function handler(event) {
  var request = event.request;
  request.headers['x-viewer-host'] = { value: request.headers.host.value };
  request.headers['x-viewer-address'] = { value: event.viewer.ip };
  delete request.headers['cloudfront-viewer-address'];
  return request;
}
"""


class Page(Construct):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        options: Options,
        websocket_origin: str,
        websocket_url: str,
        tickets: lambda_.FunctionUrl,
    ) -> None:
        super().__init__(scope, construct_id)
        bucket = private_bucket(self, "Files", options=options)
        headers = security_headers(self, self._global_name("headers"), websocket_origin)
        files = cloudfront.S3OriginAccessControl(
            self, "FilesAccess", origin_access_control_name=self._global_name("files")
        )
        domain = options.domain
        self.distribution: Final = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"{options.stack}: the page, and its tickets",
            default_root_object="index.html",
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_100,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if domain else None,
            domain_names=[domain.name] if domain else None,
            certificate=_certificate(self, domain) if domain else None,
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.S3BucketOrigin.with_origin_access_control(bucket, origin_access_control=files),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                response_headers_policy=headers,
                compress=True,
            ),
            additional_behaviors={f"/{TICKET}": self._ticket_office(tickets, headers)},
        )
        if domain and domain.hosted_zone:
            self._name(domain)
        self.url: Final = f"https://{domain.name if domain else self.distribution.distribution_domain_name}"
        self._publish(bucket, options, page_config(options, websocket_url))

    def _global_name(self, part: str) -> str:
        """CloudFront's names are an account's, in all regions: the same stack in another one needs others. At
        most 64 characters, as an access control's may have; the longest region has 14."""
        return f"{Names.unique_resource_name(self, max_length=40)}-{part}-{Aws.REGION}"

    def _ticket_office(
        self, tickets: lambda_.FunctionUrl, headers: cloudfront.ResponseHeadersPolicy
    ) -> cloudfront.BehaviorOptions:
        viewer = cloudfront.Function(
            self,
            "Viewer",
            comment="tells the light function who asks, and at which name",
            code=cloudfront.FunctionCode.from_inline(VIEWER),
            runtime=cloudfront.FunctionRuntime.JS_2_0,
        )
        access = cloudfront.FunctionUrlOriginAccessControl(
            self, "TicketAccess", origin_access_control_name=self._global_name("tickets")
        )
        return cloudfront.BehaviorOptions(
            origin=origins.FunctionUrlOrigin.with_origin_access_control(
                tickets, origin_access_control=access
            ),
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,  # there is no smaller choice with POST
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            response_headers_policy=headers,
            function_associations=[
                cloudfront.FunctionAssociation(
                    function=viewer, event_type=cloudfront.FunctionEventType.VIEWER_REQUEST
                )
            ],
        )

    def _publish(self, bucket: s3.Bucket, options: Options, config: dict[str, Any]) -> None:
        # By CDK's own role its log would be made anew, for good, after the stack has deleted it.
        publisher = Backing(self, "Publisher", options=options)
        deployment.BucketDeployment(
            self,
            "Publish",
            destination_bucket=bucket,
            sources=[
                deployment.Source.asset(str(FILES)),
                deployment.Source.json_data("config.json", config),
            ],
            cache_control=[deployment.CacheControl.from_string("no-cache")],  # asked about, not sent again
            distribution=self.distribution,
            distribution_paths=["/*"],
            memory_limit=512,
            retain_on_delete=options.removal == "retain",
            role=publisher.role,
            log_group=publisher.log_group,
        )
        # By this tag a successor would tell its predecessor to leave the files alone. There is none: whoever
        # destroys the stack wants them gone, or the bucket can't be removed.
        files = bucket.node.default_child
        assert isinstance(files, s3.CfnBucket)
        files.add_property_deletion_override("Tags")

    def _name(self, domain: Domain) -> None:
        assert domain.hosted_zone is not None
        zone = route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=domain.hosted_zone.id, zone_name=domain.hosted_zone.name
        )
        target = route53.RecordTarget.from_alias(targets.CloudFrontTarget(self.distribution))
        route53.ARecord(self, "Name", zone=zone, record_name=domain.name, target=target)
        route53.AaaaRecord(self, "Name6", zone=zone, record_name=domain.name, target=target)


def page_config(options: Options, websocket: str) -> dict[str, Any]:
    """What the page reads at /config.json."""
    worlds = [
        version.model_dump(include=TOLD)
        for name in options.worlds
        for version in load_languages(WORLDS / name).values()
    ]
    return {
        "websocket": websocket,
        "auth": options.auth,
        "ticket": TICKET,
        "world": worlds[0],
        "worlds": worlds,
        "models": list(options.models),
        **({"sign_in": options.jwt.sign_in} if options.jwt and options.jwt.sign_in else {}),
    }


def _certificate(scope: Construct, domain: Domain) -> acm.ICertificate:
    return acm.Certificate.from_certificate_arn(scope, "Certificate", domain.certificate_arn)
