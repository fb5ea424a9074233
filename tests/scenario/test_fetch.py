"""Certificates come from the cloud: every way to say who asks, every API."""

import datetime
import json
import os

import pytest

import harness
import minting
from conftest import CloudVault
from harness import INVALID, NOT_FOUND, REMOTE, USAGE

UTC = datetime.timezone.utc
RESPONSES = os.path.join(harness.DATA, "cce", "responses")


def the_item(done):
    assert done.code == 0, done
    (item,) = done.json["items"]
    return item


def last_cert(standin, cluster):
    return standin.cloud.cluster(cluster).issued[-1]


def test_fetch_by_name(cloud_vault, standin):
    item = the_item(cloud_vault.fetch("prod", "--label", "env=prod"))
    entry = cloud_vault.json("show", "prod")
    cert = last_cert(standin, "prod")
    assert item["name"] == "prod"
    assert entry["key"] == {"type": "RSA", "bits": 2048,
                            "spki_sha256": minting.spki_sha256(cert)}
    assert entry["certificate"]["serial"].upper().lstrip("0") == \
        f"{cert.serial_number:X}"
    life = cert.not_valid_after - cert.not_valid_before
    assert life < datetime.timedelta(days=1, hours=1)    # duration is 1
    source = entry["source"]
    cluster = standin.cloud.cluster("prod")
    assert (source["kind"], source["cluster_id"], source["project_id"],
            source["region"], source["api"]) == (
                "cce", cluster.uid, standin.cloud.project_id, "cn-north-4",
                "v3")
    assert source["request_id"]
    contexts = {c["name"]: c for c in entry["contexts"]}
    assert contexts["externalTLSVerify"]["default"]
    assert contexts["internal"]["server"] == cluster.internal
    assert entry["labels"] == {"env": "prod"}
    assert entry["exportable"] is False
    (sent,) = [s for s in standin.seen if s.target.endswith("clustercert")]
    assert json.loads(sent.body) == {"duration": 1}
    assert sent.body == b'{"duration":1}'


def test_fetch_by_id_and_name(cloud_vault, standin):
    uid = standin.cloud.cluster("dev").uid
    done = cloud_vault("-o", "json", *cloud_vault.cloud(
        "fetch", "--cluster-id", uid, "--name", "team/dev"))
    the_item(done)
    assert cloud_vault.names() == ["team/dev"]
    assert cloud_vault.json("show", "team/dev")["key"]["type"] == "EC"


def test_cluster_or_id_but_not_neither(cloud_vault, standin):
    cloud_vault(*cloud_vault.cloud("fetch"), code=USAGE)
    assert standin.seen == []


@pytest.mark.parametrize("days", ["7", "1827", "-1", "30d"])
def test_durations(cloud_vault, standin, days):
    the_item(cloud_vault.fetch("dev", "--duration", days))
    (sent,) = [s for s in standin.seen if s.target.endswith("clustercert")]
    assert json.loads(sent.body) == {"duration": int(days.rstrip("d"))}


@pytest.mark.parametrize("days", ["0", "-2", "1828", "9223372036854775808",
                                  "1e2", "\"30\"", "", "1.5"])
def test_h11_durations_refused_before_any_socket(cloud_vault, standin, days):
    done = cloud_vault.fetch("dev", "--duration=" + days)
    assert done.code == USAGE, done
    assert standin.seen == []


def test_expire_at(cloud_vault, standin):
    end = datetime.datetime.now(UTC).replace(microsecond=0) \
        + datetime.timedelta(days=3)
    the_item(cloud_vault.fetch("dev", "--expire-at",
                               end.strftime("%Y-%m-%dT%H:%M:%SZ")))
    (sent,) = [s for s in standin.seen if s.target.endswith("clustercert")]
    assert json.loads(sent.body) == {
        "expire_at": end.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")}
    got = cloud_vault.json("show", "dev")["certificate"]["not_after"]
    assert abs(datetime.datetime.fromisoformat(got.replace("Z", "+00:00"))
               - end) < datetime.timedelta(seconds=5)


def test_old_get(cloud_vault, standin):
    the_item(cloud_vault.fetch("dev", "--api", "v3-get"))
    assert standin.count("/clustercert", "GET") == 1
    assert standin.count("/clustercert", "POST") == 0
    assert cloud_vault.json("show", "dev")["source"]["api"] == "v3-get"


def test_autopilot(cloud_vault, standin):
    the_item(cloud_vault.fetch("edge", "--api", "autopilot"))
    assert standin.count("/autopilot/v3/", "POST") == 1
    entry = cloud_vault.json("show", "edge")
    assert [c["name"] for c in entry["contexts"] if c["default"]] == [
        "internal"]
    contexts = {c["name"]: c["verify"] for c in entry["contexts"]}
    assert contexts == {"internal": "ca", "external": "none"}
    done = cloud_vault.fetch("edge", "--api", "autopilot", "--name", "x",
                             "--expire-at", "2030-01-01")
    assert done.code == USAGE, done


def test_a_cluster_that_is_not_there(cloud_vault, standin):
    done = cloud_vault.fetch("nowhere")
    assert done.code in (NOT_FOUND, REMOTE), done
    done = cloud_vault("-o", "json", *cloud_vault.cloud(
        "fetch", "--cluster-id", "00000000-0000-0000-0000-000000000000",
        "--name", "x"))
    assert done.code in (NOT_FOUND, REMOTE), done
    assert cloud_vault.names() == []


def test_two_clusters_of_one_name(cloud_vault, standin):
    other = standin.cloud.add("dev", alg="p256")
    try:
        done = cloud_vault.fetch("dev")
        assert done.code not in (0, 1), done
        assert other.uid in done.note
    finally:
        standin.cloud.clusters.remove(other)
    assert standin.count("clustercert") == 0


@pytest.mark.parametrize("bad", ["../x", "a%2eb", "a?b", "a#b", "a\r\nb: c",
                                 "x" * 65536, "", "4D1ECB2C"])
def test_h10_ids_are_checked_before_any_socket(cloud_vault, standin, bad):
    done = cloud_vault(*cloud_vault.cloud("fetch", "--cluster-id=" + bad,
                                          "--name", "x"))
    assert done.code == USAGE, done
    done = cloud_vault(*cloud_vault.cloud(
        "fetch", "--cluster-id", standin.cloud.cluster("dev").uid, "--name",
        "x", "--project-id=" + bad))
    assert done.code == USAGE, done
    assert standin.seen == []


def test_what_could_refuse_afterwards_is_asked_before(cloud_vault, standin):
    """Else nothing is minted."""
    cloud_vault.fetch("dev", code=0)
    minted = len(standin.cloud.cluster("dev").issued)
    done = cloud_vault.fetch("dev", code=INVALID)             # the name is used
    assert done.error["code"] == "exists"
    cloud_vault.policy({"name": "no", "effect": "forbid", "actions": ["fetch"],
                        "subjects": {"users": ["*"]},
                        "entries": {"names": ["secret-*"]}})
    cloud_vault.fetch("dev", "--name", "secret-dev", code=harness.DENIED)
    assert len(standin.cloud.cluster("dev").issued) == minted


def test_dry_run_mints_nothing(cloud_vault, standin):
    minted = len(standin.cloud.cluster("dev").issued)
    cloud_vault.fetch("dev", "--dry-run", code=0)
    assert len(standin.cloud.cluster("dev").issued) == minted
    assert cloud_vault.names() == []


def test_clusters(cloud_vault, standin):
    cloud_vault.fetch("dev", code=0)
    done = cloud_vault("-o", "json", *cloud_vault.cloud("clusters"), code=0)
    items = {c["name"]: c for c in done.json["items"]}
    assert set(items) == {"prod", "dev"}
    assert "dev" in str(items["dev"])
    held = [n for n, c in items.items()
            if c.get("entries") or c.get("entry") or c.get("entry_names")]
    assert held == ["dev"], items
    auto = cloud_vault("-o", "json", *cloud_vault.cloud(
        "clusters", "--api", "autopilot"), code=0)
    assert [c["name"] for c in auto.json["items"]] == ["edge"]
    table = cloud_vault(*cloud_vault.cloud("clusters"), code=0)
    assert "prod" in table.text


# --- who asks ---

def test_the_project_is_looked_up_once(cloud_vault, standin):
    cloud_vault.fetch("dev", code=0)
    assert standin.count("/v3/projects?name=") == 1


def test_a_project_that_is_given_is_not_looked_up(cloud_vault, standin):
    cloud_vault.fetch("dev", "--project-id", standin.cloud.project_id, code=0)
    assert standin.count("/v3/projects?") == 0


def test_no_project_and_two_projects(cloud_vault, standin):
    cloud = standin.cloud
    real = cloud.projects
    try:
        cloud.projects = []
        error = cloud_vault.fetch("dev").error
        assert "project" in error["message"]
        cloud.projects = [*real, (cloud.region, "f" * 32)]
        done = cloud_vault.fetch("dev")
        assert done.code not in (0, 1)
        assert cloud.project_id in done.note and "f" * 32 in done.note
    finally:
        cloud.projects = real
    assert standin.count("clustercert") == 0


def bare(cloud_vault):
    """Without keys in the environment."""
    for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"):
        cloud_vault.extra.pop(name, None)
    return cloud_vault


def test_without_credentials(cloud_vault, standin):
    done = bare(cloud_vault).fetch("dev")
    assert done.code == USAGE, done
    assert "HUAWEICLOUD_SDK_AK" in done.note
    assert standin.seen == []


def test_sample_variables(cloud_vault, standin):
    cloud = standin.cloud
    bare(cloud_vault).fetch("dev", code=0, env={"CLOUD_SDK_AK": cloud.ak,
                                                "CLOUD_SDK_SK": cloud.sk})


def test_empty_variables_are_unset(cloud_vault, standin):
    done = bare(cloud_vault).fetch("dev", env={"HUAWEICLOUD_SDK_AK": "",
                                               "HUAWEICLOUD_SDK_SK": ""})
    assert done.code == USAGE, done


def test_temporary_keys(cloud_vault, standin, secrets):
    key = standin.cloud.new_temporary_key()
    secrets.add("temporary SK", key.sk)
    secrets.add("security token", key.security_token)
    env = {"HUAWEICLOUD_SDK_AK": key.ak, "HUAWEICLOUD_SDK_SK": key.sk,
           "HUAWEICLOUD_SDK_SECURITY_TOKEN": key.security_token}
    cloud_vault.fetch("dev", env=env, code=0)
    (sent,) = [s for s in standin.seen if s.target.endswith("clustercert")]
    assert "x-security-token" in sent.headers["authorization"]


def test_profile_file(cloud_vault, standin):
    cloud = standin.cloud
    text = (f"[basic]\nak = {cloud.ak}\nsk = {cloud.sk}\n"
            f"project_id = {cloud.project_id}\n")
    path = cloud_vault.write("profile", text)
    bare(cloud_vault).fetch("dev", "--profile", path, code=0)
    assert standin.count("/v3/projects?") == 0
    os.makedirs(os.path.join(cloud_vault.home, ".huaweicloud"))
    os.rename(path, os.path.join(cloud_vault.home, ".huaweicloud",
                                 "credentials"))
    cloud_vault.fetch("prod", code=0)
    moved = cloud_vault.write("elsewhere", text)
    os.unlink(os.path.join(cloud_vault.home, ".huaweicloud", "credentials"))
    cloud_vault.fetch("dev", "--name", "dev-2", code=0,
                      env={"HUAWEICLOUD_SDK_CREDENTIALS_FILE": moved})


def test_token_file(cloud_vault, standin, secrets):
    token = standin.cloud.new_token()
    secrets.add("X-Auth-Token", token)
    path = cloud_vault.write("token", token + "\n")
    bare(cloud_vault).fetch("dev", "--token-file", path, code=0)
    assert all("authorization" not in s.headers for s in standin.seen)
    cloud_vault.fetch("prod", "--token-file", "-", input=token, code=0)


def test_a_token_of_16384_characters(cloud_vault, standin, secrets):
    token = "M" + "I" * 16383
    standin.cloud.tokens[token] = standin.cloud.now() \
        + datetime.timedelta(hours=1)
    secrets.add("X-Auth-Token", token)
    path = cloud_vault.write("token", token)
    bare(cloud_vault).fetch("dev", "--token-file", path, code=0)


def test_a_token_that_is_over(cloud_vault, standin):
    token = standin.cloud.new_token(datetime.timedelta(seconds=-5))
    path = cloud_vault.write("token", token)
    done = bare(cloud_vault).fetch("dev", "--token-file", path)
    assert done.code == REMOTE, done
    assert "APIGW.0301" in done.note


def iam(cloud_vault, *args):
    cloud = cloud_vault.standin.cloud
    path = cloud_vault.write("password", cloud.password + "\n")
    return ("--iam-user", cloud.user, "--iam-domain", cloud.domain,
            "--password-file", path, *args)


def test_iam_user(cloud_vault, standin):
    bare(cloud_vault).fetch("dev", *iam(cloud_vault), code=0)
    assert standin.count("/v3/auth/tokens", "POST") == 1
    # The token's project is the project: no look-up.
    assert standin.count("/v3/projects?") == 0


def test_iam_user_with_a_wrong_password(cloud_vault, standin, secrets):
    secrets.add("wrong password", "wrong-password-1")
    args = list(iam(cloud_vault))
    args[-1] = cloud_vault.write("wrong", "wrong-password-1")
    done = bare(cloud_vault).fetch("dev", *args)
    assert done.code == REMOTE, done
    assert standin.count("/v3/auth/tokens") == 1      # never tried again


def test_iam_user_who_needs_a_second_factor(cloud_vault, standin):
    standin.cloud.totp_secret = os.urandom(20)
    try:
        done = bare(cloud_vault).fetch("dev", *iam(cloud_vault))
        assert done.code == REMOTE and "MFA" in done.note, done
        # The code is asked for; under --no-input it cannot be.
        done = cloud_vault.fetch("dev", *iam(cloud_vault, "--mfa"))
        assert done.code == harness.UNAVAILABLE, done
    finally:
        standin.cloud.totp_secret = None


def test_a_token_that_ends_meanwhile_is_renewed_once(cloud_vault, standin):
    """APIGW.0301 with a token from a password: a new token, once."""
    import cce_standin
    path = os.path.join(RESPONSES, "43-401-apigw-token.json")
    standin.inject(cce_standin.Fault.from_file(path, match="/clusters",
                                               count=1))
    bare(cloud_vault).fetch("dev", *iam(cloud_vault), code=0)
    assert standin.count("/v3/auth/tokens", "POST") == 2


# --- endpoints ---

def test_endpoints_from_the_environment(cloud_vault, standin):
    env = {"HUAWEICLOUD_SDK_REGION_CCE_CN_NORTH_4": standin.url,
           "HUAWEICLOUD_SDK_IAM_ENDPOINT": standin.url}
    cloud_vault("fetch", "--cluster", "dev", "--region", "cn-north-4",
                "--ca-file", standin.ca_file, env=env, code=0)


def test_endpoints_from_a_regions_file(cloud_vault, standin):
    text = (f"CCE:\n- id: cn-north-4\n  endpoint: {standin.url}\n"
            f"IAM:\n- id: cn-north-4\n  endpoint: {standin.url}\n")
    path = cloud_vault.write("regions.yaml", text)
    done = cloud_vault("fetch", "--cluster", "dev", "--region", "cn-north-4",
                       "--iam-endpoint", standin.url,
                       "--regions-file", path, "--ca-file", standin.ca_file)
    assert done.code == 0, done


def test_a_region_that_is_not_known(cloud_vault, standin):
    done = cloud_vault("fetch", "--cluster", "dev", "--region", "xx-nowhere-9")
    assert done.code == USAGE, done


def test_without_the_ca_nothing_is_sent(cloud_vault, standin):
    s = standin
    done = cloud_vault("-o", "json", "fetch", "--cluster", "dev", "--region",
                       s.cloud.region, "--endpoint", s.url, "--iam-endpoint",
                       s.url)
    assert done.code == REMOTE and done.error["hint"], done
    assert s.seen == [] and s.handshake_failures
    s.handshake_failures.clear()


def test_endpoint_without_scheme_and_with_http(cloud_vault, standin):
    s = standin
    done = cloud_vault("fetch", "--cluster", "dev", "--region", "cn-north-4",
                       "--endpoint", f"127.0.0.1:{s.port}", "--iam-endpoint",
                       f"127.0.0.1:{s.port}", "--ca-file", s.ca_file)
    assert done.code == 0, done
    done = cloud_vault("fetch", "--cluster", "prod", "--region", "cn-north-4",
                       "--endpoint", f"http://127.0.0.1:{s.port}",
                       "--iam-endpoint", s.url, "--ca-file", s.ca_file)
    assert done.code == USAGE, done


def test_clock_skew_is_told_with_the_servers_time(cloud_vault, standin):
    standin.cloud.skew = datetime.timedelta(hours=2)
    done = cloud_vault.fetch("dev")
    assert done.code == REMOTE, done
    server = (datetime.datetime.now(UTC) + standin.cloud.skew).strftime(
        "%Y-%m-%dT%H")
    told = done.error["message"] + done.error.get("hint", "")
    assert "clock" in told and server in told, done
    assert standin.count("/") == 1        # a 401 for AK/SK is never repeated


def test_a_host_that_cannot_open_the_vault_fetches(home, secrets, standin):
    """The public half is enough to take in."""
    v = CloudVault(home, secrets)
    v.standin = standin
    v.extra.update({"HUAWEICLOUD_SDK_AK": standin.cloud.ak,
                    "HUAWEICLOUD_SDK_SK": standin.cloud.sk})
    os.rename(v.key_file, v.key_file + ".away")
    v.fetch("dev", code=0)
    os.rename(v.key_file + ".away", v.key_file)
    assert v.names() == ["dev"]


def test_credentials_are_never_arguments(cloud_vault, standin):
    for flag in ("--ak", "--sk", "--token", "--password"):
        done = bare(cloud_vault).fetch("dev", flag, "x")
        assert done.code == USAGE, done
    assert standin.seen == []


def test_proxy_variables_are_ignored(cloud_vault, standin):
    env = {n: "http://127.0.0.1:1" for n in (
        "http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")}
    cloud_vault.fetch("dev", code=0, env=env)
