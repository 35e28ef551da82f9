"""What `make test-image` looks for in an image, looked for in made-up ones."""

import tarfile

import pytest

from tests.image.clients import NotNamedError, kept, made_by, services
from tests.image.contents import uncompiled, unreadable, unwanted

WHOLE = [
    "usr/bin/python3",
    "usr/lib/python3/dist-packages/tests/test_base.py",  # the base's own affair
    # What Debian's and Python's own images have.
    *("var/cache/apt", "var/cache/apt/archives", "var/cache/apt/archives/partial"),
    *(f"var/lib/apt/lists{name}" for name in ("", "/auxfiles", "/lock", "/partial")),
    "var/lib/apt/lists/deb.debian.org_debian_dists_trixie_InRelease",
    *("usr/bin/ld.so", "usr/local/bin/python3.13-config", "usr/local/lib/python3.13/ensurepip/__init__.py"),
    "usr/local/lib/python3.13/config-3.13-aarch64-linux-gnu/Makefile",
    "usr/local/lib/python3.13/site-packages/pip/_internal/cache.py",
    "opt/packages/numpy/testing/__init__.py",
    "opt/packages/numpy/testing/__pycache__/__init__.cpython-313.pyc",
    "var/task/lambda_image/engine/native/compiled/libcurtain-aarch64.so",
    "opt/bundle/weights.bin",
]


def test_nothing_is_wrong_with_what_belongs_there() -> None:
    assert unwanted(WHOLE) == []
    assert uncompiled(WHOLE) == []


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("usr/bin/gcc-14", "a compiler"),
        ("usr/local/bin/clang", "a compiler"),
        ("opt/packages/ziglang/zig", "a compiler"),
        ("opt/packages/torch/__init__.py", "torch"),
        ("opt/packages/nvidia/cublas/lib/libcublas.so.12", "CUDA"),
        ("root/.cache/pip/http/1", "a cache"),
        ("var/lib/apt/lists/deb.debian.org_debian_dists_trixie_main_binary-arm64_Packages", "a cache"),
        ("var/lib/apt/lists/a_Packages.lz4", "a cache"),
        ("var/lib/apt/lists/a_Translation-en", "a cache"),
        ("var/cache/apt/archives/libc6_2.41-12_arm64.deb", "a cache"),
        ("var/cache/apt/pkgcache.bin", "a cache"),
        ("opt/bundle/model.safetensors", "a checkpoint, or its downloader"),
        ("opt/packages/huggingface_hub/__init__.py", "a checkpoint, or its downloader"),
        ("opt/packages/numpy/_core/tests/test_umath.py", "tests"),
        ("opt/packages/numpy/conftest.py", "tests"),
        ("var/task/lambda_image/engine/native/sdot.cpp", "sources of the native library"),
        ("var/task/.env", "a secret's usual place"),
        ("var/task/.git/config", "a secret's usual place"),
    ],
)
def test_what_does_not_is_found_and_named(path: str, what: str) -> None:
    assert unwanted([*WHOLE, path]) == [f"{what}: {path}"]


def test_torch_may_be_where_aten_s_kernels_were_asked_for_and_cuda_still_not() -> None:
    torch = [*WHOLE, "opt/packages/torch/lib/libtorch_cpu.so"]
    assert unwanted(torch, torch=True) == []
    cuda = "opt/packages/torch/lib/libcudart.so.13"
    assert unwanted([*torch, cuda], torch=True) == [f"CUDA: {cuda}"]


def test_a_module_without_bytecode_is_found() -> None:
    assert uncompiled([*WHOLE, "var/task/session/step.py"]) == ["var/task/session/step.py"]


def test_what_another_user_cannot_read_is_found() -> None:
    def member(mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
        info = tarfile.TarInfo()
        info.mode, info.type = mode, kind
        return info

    members = {
        "var/task/open": member(0o644),
        "var/task/closed": member(0o640),
        "opt/folder": member(0o754, tarfile.DIRTYPE),
        "etc/shadow": member(0o600),
    }
    assert unreadable(members) == ["var/task/closed", "opt/folder"]


def test_the_images_know_the_services_whose_clients_the_code_makes_and_no_others() -> None:
    assert kept() == services()


def test_a_client_is_found_however_it_is_made() -> None:
    code = "aws.client('s3')\nSession().create_client('sqs', config=None)\nclient('sns')\nself._client()\n"
    assert list(made_by(code, "a.py")) == ["s3", "sqs", "sns"]
    with pytest.raises(NotNamedError, match=r"^a\.py:2: "):
        list(made_by("\naws.client(service)", "a.py"))
