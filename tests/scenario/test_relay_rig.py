"""The rig of the relay's tests, by itself: kubectl with a key file is content
with the stand-in API server and with nginx, so that both can judge the relay.
"""

import json

import pytest

import kube
import minting
import relay
import relay_checks
from relay_checks import streams  # noqa: F401

pytestmark = pytest.mark.skipif(bool(relay.missing()),
                                reason=str(relay.missing()))


@pytest.fixture(scope="module", params=["h2,http/1.1", "http/1.1"],
                ids=["h2", "h1"])
def standin(request, tmp_path_factory):
    args = ["--alpn", request.param]
    if request.param == "http/1.1":
        args += ["--legacy-discovery", "--tls", "1.2"]
    with relay.Standin(tmp_path_factory.mktemp("api"), *args) as s:
        s.h2 = request.param.startswith("h2")
        yield s


@pytest.fixture
def kubectl(standin, tmp_path):
    standin.reset()
    path = relay.direct(tmp_path, standin.identity(common="kim"), standin.url)
    return relay.Kubectl(tmp_path, path)


class TestDirect(relay_checks.Checks):
    pass


def test_a_bad_certificate_is_told_after_the_handshake(standin, tmp_path):
    other = minting.Authority("another CA")
    stranger = kube.Identity("p256", ca=other, common="kim")
    stranger.ca = standin.authority
    standin.reset()
    kubectl = relay.Kubectl(tmp_path, relay.direct(tmp_path, stranger,
                                                   standin.url))
    done = kubectl("get", "--raw", "/version", code=1)
    assert b"Unauthorized" in done.stderr
    assert all(r["cn"] is None for r in standin.requests())
    assert not standin.seen("failed")


@pytest.mark.parametrize("h2", [True, False], ids=["h2", "h1"])
def test_nginx(tmp_path, h2):
    if not relay.nginx.find():
        pytest.skip("no nginx here")
    with relay.mutual_nginx(tmp_path / "n", h2) as server:
        identity = kube.Identity("p256", ca=server.authority, common="kim")
        kubectl = relay.Kubectl(tmp_path, relay.direct(
            tmp_path, identity, server.url))
        said = json.loads(kubectl.text("get", "--raw", "/version"))
        assert "CN=kim" in said["who"]
        assert said["proto"] == ("HTTP/2.0" if h2 else "HTTP/1.1")
        other = kube.Identity("p256")
        other.ca = server.authority
        kubectl = relay.Kubectl(tmp_path, relay.direct(
            tmp_path, other, server.url))
        assert kubectl("get", "--raw", "/version", code=1).returncode == 1
