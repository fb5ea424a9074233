"""Every sample answer of the cloud does through the programs what its `expect`
says."""

import glob
import json
import os

import pytest

import cce_standin
import harness
import minting
from harness import INVALID, REMOTE

FOLDER = os.path.join(harness.DATA, "cce", "responses")


def sample(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


SAMPLES = {os.path.basename(p)[:-5]: sample(p)
           for p in sorted(glob.glob(os.path.join(FOLDER, "[0-9]*.json")))}
CERTS = [n for n, s in SAMPLES.items()
         if s["request"].endswith("clustercert") and s["status"] == 200]
ERRORS = [n for n, s in SAMPLES.items()
          if s["request"].endswith("clustercert") and s["status"] >= 400]
BITS = {"P-256": 256, "P-384": 384, "P-521": 521}


def fault(name, **options):
    return cce_standin.Fault.from_file(os.path.join(FOLDER, name + ".json"),
                                       **options)


def api_of(name):
    request = SAMPLES[name]["request"]
    if request.startswith("GET"):
        return "v3-get", "dev"
    return ("autopilot", "edge") if "autopilot" in request else ("v3", "dev")


def test_there_are_samples():
    assert len(CERTS) == 17 and len(ERRORS) == 16


@pytest.mark.parametrize("name", CERTS)
def test_certificate_answers(cloud_vault, standin, name):
    expect = SAMPLES[name]["expect"]
    api, cluster = api_of(name)
    standin.inject(fault(name, match="clustercert"))
    done = cloud_vault.fetch(cluster, "--api", api, "--name", "a")
    good = "leaf_spki_sha256" in expect and expect["key_matches_cert"] and \
        not expect.get("expired")
    if name.startswith("16"):
        # To be refused, or taken with a warning.
        assert done.code == INVALID or (done.code == 0 and
                                        "current-context" in done.note), done
        return
    if not good:
        assert done.code == INVALID, done
        assert cloud_vault.names() == []
        assert done.error["code"] == ("expired" if expect.get("expired")
                                      else "invalid")
        return
    assert done.code == 0, done
    entry = cloud_vault.json("show", "a")
    kind, _, size = expect["key_type"].replace("-", " ", 1).partition(" ")
    assert entry["key"]["type"] == kind
    assert entry["key"]["bits"] == BITS.get(size.replace(" ", "-"), None) or \
        str(entry["key"]["bits"]) == size
    assert entry["key"]["spki_sha256"] == expect["leaf_spki_sha256"]
    assert entry["certificate"]["serial"].upper() == expect["leaf_serial"]
    assert entry["certificate"]["not_after"].startswith("2031-11-22T04:10:40")
    assert sorted(c["name"] for c in entry["contexts"]) == \
        sorted(expect["contexts"])
    first = [n for n in ("externalTLSVerify", "internal")
             if n in expect["contexts"]][0]
    assert [c["name"] for c in entry["contexts"] if c["default"]] == [first]
    # What comes out again is a key for that certificate, with its chain.
    cloud_vault.policy(harness.MAY_EXPORT)
    cloud_vault("rm", "a", "--yes", code=0)
    standin.inject(fault(name, match="clustercert"))
    cloud_vault.fetch(cluster, "--api", api, "--name", "a", "--exportable",
                      code=0)
    out = cloud_vault("export", "a", "--reason", "x", "-o", "json", code=0,
                      secret=True).json
    import base64
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import \
        load_pem_private_key
    user = out["users"][0]["user"]
    chain = base64.b64decode(user["client-certificate-data"])
    assert chain.count(b"BEGIN CERTIFICATE") == expect["chain_length"]
    leaf = x509.load_pem_x509_certificate(chain)
    key = load_pem_private_key(base64.b64decode(user["client-key-data"]), None)
    assert minting.spki_sha256(key) == minting.spki_sha256(leaf) == \
        expect["leaf_spki_sha256"]


@pytest.mark.parametrize("name", ERRORS)
def test_error_answers(cloud_vault, standin, name):
    s, expect = SAMPLES[name], SAMPLES[name]["expect"]
    minted = len(standin.cloud.cluster("dev").issued)
    standin.inject(fault(name, match="clustercert",
                         count=1 if expect["retry"] is True else 99))
    if name.startswith("49"):
        # Nobody waits for 56.8 s here: the answer with a shorter Retry-After.
        standin.faults[0].answer.headers["Retry-After"] = "0.218"
    done = cloud_vault.fetch("dev")
    asked = standin.count("clustercert")
    if expect["retry"] is True:
        assert done.code == 0 and asked == 2, done
        assert len(standin.cloud.cluster("dev").issued) == minted + 1
        return
    assert done.code in (REMOTE, harness.NOT_FOUND, harness.BUSY), done
    assert asked == 1, f"asked {asked} times"
    error = done.error
    assert expect["code"] in error["message"], error
    if "alt_code" in expect:
        assert expect["alt_code"] in error["message"], error
    body_id = (s.get("body") or {}).get("request_id")
    assert error["request_id"] in (body_id, s["headers"].get("X-Request-Id"))
    assert error["hint"]
    assert cloud_vault.names() == []
    assert len(standin.cloud.cluster("dev").issued) == minted


def test_throttled_for_long_is_75_with_the_time(cloud_vault, standin):
    """Retry-After over what a command waits: try later, and when."""
    name = "49-429-apigw-retry-after"
    standin.inject(fault(name, match="clustercert", count=99))
    standin.faults[0].answer.headers["Retry-After"] = "300"
    done = cloud_vault.fetch("dev", timeout=200)
    assert done.code == harness.BUSY, done
    assert 100 < done.error["retry_after"] <= 300
    assert standin.count("clustercert") <= 2


@pytest.mark.parametrize("name", ["61-iam-token-401", "62-iam-token-mfa-401"])
def test_iam_errors(cloud_vault, standin, name):
    cloud = standin.cloud
    for variable in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"):
        cloud_vault.extra.pop(variable)
    standin.inject(fault(name, match="/v3/auth/tokens", count=99))
    path = cloud_vault.write("password", cloud.password)
    done = cloud_vault.fetch("dev", "--iam-user", cloud.user, "--iam-domain",
                             cloud.domain, "--password-file", path)
    assert done.code == REMOTE, done
    assert SAMPLES[name]["body"]["error"]["message"] in done.error["message"]
    assert standin.count("/v3/auth/tokens") == 1


@pytest.mark.parametrize("name", ["64-iam-projects-none",
                                  "65-iam-projects-two"])
def test_project_answers(cloud_vault, standin, name):
    standin.inject(fault(name, match="/v3/projects", count=9))
    done = cloud_vault.fetch("dev")
    assert done.code not in (0, 1), done
    if name.startswith("64"):
        assert "token_cn-north-4_null_2f2e3d4c5b6a" in done.note
    else:
        for project in SAMPLES[name]["body"]["projects"]:
            assert project["id"] in done.note
    assert standin.count("/clusters") == 0


@pytest.mark.parametrize("name", ["70-list-clusters", "71-list-clusters-empty"])
def test_list_answers(cloud_vault, standin, name):
    api = ["--api", "autopilot"] if "autopilot" in SAMPLES[name]["request"] \
        else []
    standin.inject(fault(name, match="/clusters", count=9))
    done = cloud_vault("-o", "json", *cloud_vault.cloud("clusters", *api),
                       code=0)
    assert len(done.json["items"]) == SAMPLES[name]["expect"]["count"]
    assert all(c < 128 for c in done.out)
    table = cloud_vault(*cloud_vault.cloud("clusters", *api), code=0)
    assert b"\x1b" not in table.out


def test_endpoints_as_an_object(cloud_vault, standin):
    """Older partner clouds write status.endpoints otherwise."""
    name = "72-show-cluster-endpoints-object"
    body = dict(SAMPLES[name]["body"])
    answer = cce_standin.cce_api.Answer.of(
        200, {"kind": "Cluster", "apiVersion": "v3", "items": [body]})
    standin.inject(cce_standin.Fault(answer, match="/clusters", count=9))
    done = cloud_vault("-o", "json", *cloud_vault.cloud("clusters"), code=0)
    assert [c["name"] for c in done.json["items"]] == ["old"]


def test_a_connection_that_is_cut_before_the_answer_is_repeated(cloud_vault,
                                                                standin):
    standin.inject(cce_standin.Fault(None, match="clustercert", count=1))
    cloud_vault.fetch("dev", code=0)
    assert standin.count("clustercert") == 2


@pytest.mark.parametrize("cut", [0, 1, 700, 2000])
def test_a_body_that_is_cut_short(cloud_vault, standin, cut):
    standin.inject(fault("01-internal-rsa2048-pkcs1", match="clustercert",
                         count=99, cut=cut))
    done = cloud_vault.fetch("dev", timeout=200)
    assert done.code in (REMOTE, INVALID), done
    assert cloud_vault.names() == []
