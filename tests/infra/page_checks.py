"""What must hold of the page, of its tickets, and of files in buckets."""

import json

from tests.infra.always import always, statements
from tests.infra.synth import Synth


@always
def tickets_are_handed_out_through_the_page_only(made: Synth) -> None:
    if made.options.auth == "iam":
        assert not made.of_type("Lambda::Url")
        assert not made.of_type("CloudFront::Distribution")
        return
    assert made.only("Lambda::Url")["AuthType"] == "AWS_IAM"
    callers = [
        permission["Properties"]
        for permission in made.of_type("Lambda::Permission").values()
        if permission["Properties"]["Principal"] != "apigateway.amazonaws.com"
    ]
    # A function's URL wants both since October 2025.
    assert {caller["Action"] for caller in callers} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    (distribution,) = made.of_type("CloudFront::Distribution")
    for caller in callers:
        assert caller["Principal"] == "cloudfront.amazonaws.com"
        assert caller["SourceArn"]["Fn::Join"][1][-1] == {"Ref": distribution}
    (office,) = made.only("CloudFront::Distribution")["DistributionConfig"]["CacheBehaviors"]
    assert office["PathPattern"] == "/ticket"
    assert office["ViewerProtocolPolicy"] == "https-only"
    assert office["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's CachingDisabled
    assert (
        office["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
    )  # AllViewerExceptHostHeader
    (viewer,) = made.of_type("CloudFront::Function")
    (association,) = office["FunctionAssociations"]
    assert association == {
        "EventType": "viewer-request",
        "FunctionARN": {"Fn::GetAtt": [viewer, "FunctionARN"]},
    }


@always
def the_page_is_private_and_talks_to_its_house_only(made: Synth) -> None:
    buckets = {name: one for name, one in made.of_type("S3::Bucket").items() if name.startswith("Page")}
    if made.options.auth == "iam":
        assert not buckets
        return
    ((bucket, found),) = buckets.items()
    # With tags BucketDeployment leaves its files, and the bucket can't be removed.
    assert "Tags" not in found["Properties"]
    policies = [policy["Properties"] for policy in made.of_type("S3::BucketPolicy").values()]
    (policy,) = (one["PolicyDocument"] for one in policies if one["Bucket"] == {"Ref": bucket})
    (reading,) = (each for each in policy["Statement"] if each["Effect"] == "Allow")
    assert (reading["Principal"], reading["Action"]) == (
        {"Service": "cloudfront.amazonaws.com"},
        "s3:GetObject",
    )
    (distribution_id,) = made.of_type("CloudFront::Distribution")
    source = reading["Condition"]["StringEquals"]["AWS:SourceArn"]["Fn::Join"][1]
    assert source[-2:] == [":distribution/", {"Ref": distribution_id}]
    distribution = made.only("CloudFront::Distribution")["DistributionConfig"]
    assert "CustomErrorResponses" not in distribution  # they would hide the refusals of /ticket
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"


@always
def cloudfront_signs_what_it_asks_of_its_origins(made: Synth) -> None:
    controls = {
        name: control["Properties"]["OriginAccessControlConfig"]
        for name, control in made.of_type("CloudFront::OriginAccessControl").items()
    }
    for control in controls.values():
        assert (control["SigningBehavior"], control["SigningProtocol"]) == ("always", "sigv4")
    if made.options.auth == "iam":
        assert not controls
        return
    files, tickets = made.only("CloudFront::Distribution")["DistributionConfig"]["Origins"]
    used = [origin["OriginAccessControlId"]["Fn::GetAtt"][0] for origin in (files, tickets)]
    assert [controls[name]["OriginAccessControlOriginType"] for name in used] == ["s3", "lambda"]
    assert tickets["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"


@always
def browsers_are_told_to_be_careful(made: Synth) -> None:
    if made.options.auth == "iam":
        assert not made.of_type("CloudFront::ResponseHeadersPolicy")
        return
    (name,) = made.of_type("CloudFront::ResponseHeadersPolicy")
    distribution = made.only("CloudFront::Distribution")["DistributionConfig"]
    for behavior in (distribution["DefaultCacheBehavior"], *distribution["CacheBehaviors"]):
        assert behavior["ResponseHeadersPolicyId"] == {"Ref": name}
    (api,) = made.of_type("ApiGatewayV2::Api")
    gateway = [{"Ref": api}, ".execute-api.", {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}]
    headers = made.only("CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    assert headers["SecurityHeadersConfig"] == {
        "ContentSecurityPolicy": {
            "ContentSecurityPolicy": {
                "Fn::Join": [
                    "",
                    [
                        "default-src 'self'; connect-src 'self' wss://",
                        *gateway,
                        "; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                    ],
                ]
            },
            "Override": True,
        },
        "ContentTypeOptions": {"Override": True},
        "FrameOptions": {"FrameOption": "DENY", "Override": True},
        "ReferrerPolicy": {"ReferrerPolicy": "no-referrer", "Override": True},
        "StrictTransportSecurity": {
            "AccessControlMaxAgeSec": 31_536_000,
            "IncludeSubdomains": False,
            "Override": True,
        },
    }
    (more,) = headers["CustomHeadersConfig"]["Items"]
    assert more == {
        "Header": "Permissions-Policy",
        "Value": "camera=(), geolocation=(), microphone=()",
        "Override": True,
    }


@always
def the_page_has_the_name_that_was_wanted(made: Synth) -> None:
    records = [record["Properties"] for record in made.of_type("Route53::RecordSet").values()]
    domain = made.options.domain
    if domain is None:
        assert not records
        for one in made.of_type("CloudFront::Distribution").values():
            assert not {"Aliases", "ViewerCertificate"} & one["Properties"]["DistributionConfig"].keys()
        return
    assert made.template["Outputs"]["PageUrl"]["Value"] == f"https://{domain.name}"
    (name,) = made.of_type("CloudFront::Distribution")
    distribution = made.only("CloudFront::Distribution")["DistributionConfig"]
    assert distribution["Aliases"] == [domain.name]
    assert distribution["ViewerCertificate"] == {
        "AcmCertificateArn": domain.certificate_arn,
        "MinimumProtocolVersion": "TLSv1.2_2021",
        "SslSupportMethod": "sni-only",
    }
    zone = domain.hosted_zone
    assert {record["Type"] for record in records} == ({"A", "AAAA"} if zone else set())
    for record in records:
        assert (record["Name"], record["HostedZoneId"]) == (f"{domain.name}.", zone and zone.id)
        assert record["AliasTarget"]["DNSName"] == {"Fn::GetAtt": [name, "DomainName"]}


@always
def what_all_regions_share_is_named_by_region(made: Synth) -> None:
    """Or the same stack in another region finds its names taken."""
    names = [board["Properties"]["DashboardName"] for board in made.of_type("CloudWatch::Dashboard").values()]
    for resource in made.template["Resources"].values():
        if resource["Type"].startswith("AWS::CloudFront::"):
            parts = (resource["Properties"], *resource["Properties"].values())
            names += [part["Name"] for part in parts if isinstance(part, dict) and "Name" in part]
    assert len(names) == made.options.dashboard + (0 if made.options.auth == "iam" else 4)
    for name in names:
        assert '{"Ref": "AWS::Region"}' in json.dumps(name)


@always
def every_bucket_is_private(made: Synth) -> None:
    for bucket in made.of_type("S3::Bucket").values():
        settings = bucket["Properties"]
        assert set(settings["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(settings["PublicAccessBlockConfiguration"]) == 4
        (encryption,) = settings["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        (rule,) = settings["OwnershipControls"]["Rules"]
        assert rule == {"ObjectOwnership": "BucketOwnerEnforced"}


@always
def weights_in_s3_are_read_by_their_model_only_and_leave_with_the_stack(made: Synth) -> None:
    told = {
        function["Environment"]["Variables"]["MODEL_NAME"]: function["Environment"]["Variables"].get(
            "WEIGHTS_URL"
        )
        for function in made.models()
    }
    buckets = {name: one for name, one in made.of_type("S3::Bucket").items() if name.startswith("Weights")}
    reading = [each for each in statements(made) if each["Action"] == "s3:GetObject"]
    if made.options.weights == "image":
        assert not buckets
        assert not reading
        assert set(told.values()) == {None}
        return
    ((name, bucket),) = buckets.items()
    assert told == {
        model: {"Fn::Join": ["", ["s3://", {"Ref": name}, f"/{model}"]]} for model in made.options.models
    }
    assert [statement["Resource"]["Fn::Join"][1] for statement in reading] == [
        [{"Fn::GetAtt": [name, "Arn"]}, f"/{model}/*"] for model in made.options.models
    ]
    (rule,) = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule == {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}, "Status": "Enabled"}
    emptied = [
        resource["Properties"]["BucketName"]
        for resource in made.template["Resources"].values()
        if resource["Type"] == "Custom::S3AutoDeleteObjects"
    ]
    assert emptied == ([{"Ref": name}] if made.options.removal == "destroy" else [])
    gateways = json.dumps(made.of_type("EC2::VPCEndpoint"))
    assert ('.s3"' in gateways) == (made.options.vpc == "new")
