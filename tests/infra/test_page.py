"""The page's settings, its files, and what CloudFront tells of whoever asks for a ticket."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from boto3.session import Session

from infra.node import NODE
from infra.page import VIEWER, page_config
from session.events import WorldView
from tests.infra.combinations import ISSUER
from tests.infra.synth import REPOSITORY, bundles, synth
from tests.infra.test_app import run_app
from tests.infra.test_options import read


def test_the_page_is_told_where_how_and_what() -> None:
    config = page_config(read(models="demo,smollm2-135m", worlds="hollow-skerry"), "wss://house/prod")
    worlds = config.pop("worlds")
    assert config.pop("world") == worlds[0]
    assert config == {
        "websocket": "wss://house/prod",
        "auth": "access-code",
        "ticket": "ticket",
        "models": ["demo", "smollm2-135m"],
    }
    for world in worlds:
        assert WorldView.model_validate({key: world[key] for key in ("name", "language", "title")})
        assert world["theme"]
        assert world["speakers"]
        assert (
            not {"system", "facts", "questions", "faq"} & world.keys()
        )  # what the page has no business with


def test_the_page_knows_where_one_signs_in() -> None:
    issuer = ISSUER | {"sign_in": "https://sign.example.org/login?client_id=1"}
    config = page_config(read(auth="jwt", jwt=issuer), "wss://house/prod")
    assert (config["auth"], config["sign_in"]) == ("jwt", issuer["sign_in"])
    assert "sign_in" not in page_config(read(auth="jwt", jwt=ISSUER), "wss://house/prod")


def test_the_files_of_web_are_published() -> None:
    made = synth()
    files = json.loads((made.directory / "Curtain.assets.json").read_text(encoding="utf-8"))["files"]
    folders = [made.directory / asset["source"]["path"] for asset in files.values()]
    (page,) = (folder for folder in folders if (folder / "index.html").is_file())
    assert {path.relative_to(page) for path in page.rglob("*")} == {
        path.relative_to(REPOSITORY / "web") for path in (REPOSITORY / "web").rglob("*")
    }


def test_the_longest_names_fit_in_the_region_with_the_longest(tmp_path: Path) -> None:
    done = run_app(tmp_path, models="demo", bundles=str(bundles()), stack="A" * 64)
    assert done.returncode == 0, done.stderr
    longest = max(Session().get_available_regions("lambda"), key=len)
    (template,) = tmp_path.glob("*.template.json")
    names = [
        "".join(text if isinstance(text, str) else longest for text in part["Name"]["Fn::Join"][1])
        for resource in json.loads(template.read_text(encoding="utf-8"))["Resources"].values()
        if resource["Type"].startswith("AWS::CloudFront::")
        for part in (resource["Properties"], *resource["Properties"].values())
        if isinstance(part, dict) and "Name" in part
    ]
    assert len(set(names)) == 4
    for name in names:
        assert len(name) <= 64  # as an access control's may have, and a function's
        assert re.fullmatch(r"[A-Za-z0-9_-]+", name)


def test_a_viewer_cannot_say_who_they_are_or_where() -> None:
    forged = {
        "x-viewer-host": "evil.example.org",
        "x-viewer-address": "127.0.0.1",
        "cloudfront-viewer-address": "127.0.0.1:1",
        "origin": "https://evil.example.org",
    }
    assert _viewed(forged) == {
        "host": "d1.cloudfront.net",
        "x-viewer-host": "d1.cloudfront.net",
        "x-viewer-address": "2001:db8::7",
        "origin": "https://evil.example.org",  # the light function's to refuse
    }


def _viewed(headers: dict[str, str]) -> dict[str, str]:
    """The headers that CloudFront's function passes on."""
    sent = {name: {"value": value} for name, value in ({"host": "d1.cloudfront.net"} | headers).items()}
    event = {"request": {"headers": sent}, "viewer": {"ip": "2001:db8::7"}}
    script = f"{VIEWER}\nconsole.log(JSON.stringify(handler({json.dumps(event)})))"
    answer: dict[str, Any] = json.loads(subprocess.check_output([NODE, "-e", script]))
    return {name: header["value"] for name, header in answer["headers"].items()}
