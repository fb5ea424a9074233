"""What policy says of fetches in a service: before the cloud is asked, while it
is, and for approvals. Needs root: the users are others, by number."""

import json

import pytest

import cce_api
import cce_standin
import kube
import users
from approval_rig import Rig, approvals, asked, given, refused
from users import ALICE, BOB, permit

pytestmark = users.needs_root


class CloudRig(Rig):
    def cloud(self, **more):
        s = self.v.standin
        with open(s.ca_file, encoding="ascii") as f:
            ca = f.read()
        return {"endpoint": s.url, "iam_endpoint": s.url, "ca_pem": ca,
                "region": s.cloud.region, "environment": {
                    "HUAWEICLOUD_SDK_AK": s.cloud.ak,
                    "HUAWEICLOUD_SDK_SK": s.cloud.sk}, **more}

    def fetch(self, uid, cloud=None, **more):
        """By the cluster's name, without one for the entry: so the cloud must
        be asked which it is."""
        named = {} if "cluster_id" in more else {"cluster": "prod"}
        return self.ask(uid, "Fetch", **{
            "cloud": cloud or self.cloud(), **named, "exportable": False,
            "dry_run": False, "labels": {}, "reason": "need it", **more})

    def names(self):
        return sorted(e["name"]
                      for e in self.v.json(*self.v.to, "list")["items"])


@pytest.fixture
def rig(cloud_vault):
    r = CloudRig(cloud_vault)
    r.start()
    yield r
    assert r.broker.end() == 0


FETCHES = permit("fetches", [ALICE], ["fetch"], **approvals())


def test_the_cloud_is_not_asked_for_who_may_fetch_nothing(rig):
    rig.policy(permit("some", [ALICE], ["fetch"], entries={"names": ["x-*"]}),
               permit("reason", [BOB], ["fetch"], when={"reason": "required"}))
    before = len(rig.v.standin.seen)
    for uid, more in ((64009, {}), (BOB, {"reason": ""})):
        error = refused(rig.fetch(uid, **more), "denied")
        leaf, = rig.leaves(seq=error["audit_seq"])
        assert leaf["decision"] == "deny" and leaf["actor"]["uid"] == uid
    assert len(rig.v.standin.seen) == before
    # Whoever could fetch something is asked about what it is.
    refused(rig.fetch(ALICE), "denied")
    assert len(rig.v.standin.seen) > before
    given(rig.fetch(BOB))
    assert rig.names() == ["prod"]


def test_an_approval_is_of_that_fetch(rig):
    rig.policy(FETCHES)
    id = asked(rig.fetch(ALICE))
    seen, = rig.requests(BOB)
    assert seen["entry"] == "prod"
    assert seen["call"]["method"] == "Fetch" and \
        seen["call"]["cluster"] == "prod"
    assert seen["does"].startswith("cluster prod region ")
    assert "environment" not in json.dumps(seen)
    given(rig.ask(BOB, "Approve", id=id))
    for more in ({"duration": 30}, {"exportable": True},
                 {"labels": {"env": "x"}}, {"name": "p"}):
        assert asked(rig.fetch(ALICE, **more)) != id, more
    # Typed, it is the project that it was without.
    given(rig.fetch(ALICE, cloud=rig.cloud(
        project_id=rig.v.standin.cloud.project_id)))
    assert rig.names() == ["prod"]
    leaves = rig.leaves(action="fetch", decision="permit")
    assert sorted(r["phase"] for r in leaves) == ["decision", "outcome"]


def from_variable(rig, project):
    environment = {**rig.cloud()["environment"],
                   "HUAWEICLOUD_SDK_PROJECT_ID": project}
    return rig.cloud(environment=environment)


def from_profile(rig, project):
    s = rig.v.standin.cloud
    return rig.cloud(environment={}, profile=f"[basic]\nak={s.ak}\n"
                     f"sk={s.sk}\nproject_id={project}\n")


@pytest.mark.parametrize("said_by", [from_variable, from_profile])
def test_the_project_is_in_it_whoever_names_it(rig, said_by):
    """Approved for one project, it is no approval for another, though nothing
    of that is typed; and who approves sees which."""
    rig.policy(FETCHES)
    own, other = rig.v.standin.cloud.project_id, "0" * 31 + "1"
    named = {"cluster_id": cluster_id(rig), "name": "p"}
    id = asked(rig.fetch(ALICE, cloud=said_by(rig, other), **named))
    seen, = rig.requests(BOB)
    assert seen["call"]["cloud.project_id"] == other
    assert f"project {other}" in seen["does"]
    assert seen["call"]["cloud.region"] == rig.v.standin.cloud.region
    given(rig.ask(BOB, "Approve", id=id))
    # The same command under another environment, and under none: the cloud says
    # which project it is then.
    second = asked(rig.fetch(ALICE, cloud=said_by(rig, own), **named))
    assert second != id
    assert asked(rig.fetch(ALICE, **named)) == second
    given(rig.ask(BOB, "Approve", id=second))
    given(rig.fetch(ALICE, **named))
    assert rig.names() == ["p"]
    source = rig.v.json(*rig.v.to, "show", "p")["source"]
    assert source["project_id"] == own


def test_the_endpoints_are_in_it_whoever_names_them(rig):
    """Addresses that come from the environment bind like typed ones."""
    rig.policy(FETCHES)
    url, region = rig.v.standin.url, rig.v.standin.cloud.region
    variable = region.upper().replace("-", "_")

    def cloud(end):
        return {**{k: w for k, w in rig.cloud().items()
                   if k not in ("endpoint", "iam_endpoint")},
                "environment": {
                    **rig.cloud()["environment"],
                    f"HUAWEICLOUD_SDK_REGION_CCE_{variable}": end,
                    f"HUAWEICLOUD_SDK_REGION_IAM_{variable}": url}}

    named = {"cluster_id": cluster_id(rig), "name": "p"}
    id = asked(rig.fetch(ALICE, cloud=cloud("https://127.0.0.1:1"), **named))
    seen, = rig.requests(BOB)
    assert seen["call"]["cloud.endpoint"] == "https://127.0.0.1:1"
    given(rig.ask(BOB, "Approve", id=id))
    assert asked(rig.fetch(ALICE, cloud=cloud(url), **named)) != id


def test_several_of_one_fetch_are_one(rig):
    """One decision: its limit is counted once, its approval used once, whatever
    the cluster's answer holds."""
    rig.policy({**FETCHES, "limit": {"count": 1, "per": "1h"}})
    given(rig.ask(BOB, "Approve", id=asked(rig.fetch(ALICE))))
    given(rig.fetch(ALICE))
    refused(rig.fetch(ALICE, name="other"), "busy")
    decisions = rig.leaves(action="fetch", decision="permit",
                           phase="decision")
    assert [bool(r["details"].get("uncounted")) for r in decisions].count(
        False) == 1
    outcomes = [r["op"] for r in rig.leaves(action="fetch", phase="outcome")]
    assert sorted(outcomes) == sorted(r["op"] for r in decisions)


def two_identities(rig):
    """The next answer of the cloud holds two, with a context each."""
    made = [kube.Identity("p256", secrets=rig.v.secrets) for _ in range(2)]
    rig.v.standin.inject(cce_standin.Fault(
        cce_api.Answer.of(200, kube.several(made, ["internal", "outside"])),
        match="clustercert"))


@pytest.mark.parametrize("more", [
    {**approvals()}, {"limit": {"count": 1, "per": "1h"}},
    {**approvals(), "limit": {"count": 1, "per": "1h"}},
    {"break_glass": True, "when": {"reason": "required"}}])
def test_two_identities_of_one_fetch(rig, more):
    rig.policy(permit("fetches", [ALICE], ["fetch"], **more))
    if "require" in more:
        given(rig.ask(BOB, "Approve", id=asked(rig.fetch(ALICE))))
    two_identities(rig)
    given(rig.fetch(ALICE))
    assert rig.names() == ["prod-internal", "prod-outside"]
    decisions = rig.leaves(action="fetch", decision="permit",
                           phase="decision")
    assert [r["rules"] for r in decisions] == [["fetches"]] * 3
    # What was given is given once; the two that came of it count for nothing.
    assert [bool(r["details"].get("uncounted")) for r in decisions] == \
        [False, True, True]
    outcomes = [r["op"] for r in rig.leaves(action="fetch", phase="outcome")]
    assert sorted(outcomes) == sorted(r["op"] for r in decisions)


def test_a_question_that_the_cloud_does_not_answer(rig):
    """It was permitted: what became of it is its outcome."""
    rig.policy(permit("fetches", [ALICE], ["fetch"]))
    rig.v.standin.inject(cce_standin.Fault(match="clusters", answer=None,
                                           count=20))
    answer = rig.ask(ALICE, "Clusters", cloud=rig.cloud(), reason="look")
    assert answer["parameters"]["code"] == "remote", answer
    leaves = [r for r in rig.leaves(action="fetch")
              if r["actor"]["uid"] == ALICE]
    assert [(r["phase"], r["decision"]) for r in leaves] == \
        [("decision", "permit"), ("outcome", "permit")]
    assert leaves[1]["outcome"] == "failed" and \
        leaves[0]["op"] == leaves[1]["op"]
    rig.v.standin.reset()


# --- with the service's own credentials ---

@pytest.fixture
def own(cloud_vault, tmp_path):
    s = cloud_vault.standin
    profile = tmp_path / "cloud"
    profile.write_text(f"[basic]\nak={s.cloud.ak}\nsk={s.cloud.sk}\n")
    profile.chmod(0o600)
    config = tmp_path / "certvault.yaml"
    config.write_text(f"cloud: {{profile: {profile}, endpoint: '{s.url}', "
                      f"iam_endpoint: '{s.url}', ca_file: {s.ca_file}}}\n")
    config.chmod(0o600)
    r = CloudRig(cloud_vault, str(config))
    r.start()
    yield r
    assert r.broker.end() == 0


def cluster_id(rig):
    return rig.v.standin.cloud.cluster("prod").uid


def test_as_the_service_the_project_of_its_profile_is_in_it(own, tmp_path):
    """Also where it is filed before the cloud is asked; and what was approved
    is no consent to a project that the service was given since."""
    own.policy(permit("fetches", [ALICE], ["fetch.service"], **approvals()))
    profile, other = tmp_path / "cloud", "0" * 31 + "1"
    bare = profile.read_text()
    ask = {"cloud": {"region": own.v.standin.cloud.region},
           "as_service": True}
    profile.write_text(bare + f"project_id={other}\n")
    id = asked(own.fetch(ALICE, **ask))
    seen, = own.requests(BOB)
    assert seen["call"]["cloud.project_id"] == other
    assert seen["call"]["cloud.endpoint"] == own.v.standin.url
    given(own.ask(BOB, "Approve", id=id))
    profile.write_text(bare + f"project_id={own.v.standin.cloud.project_id}\n")
    second = asked(own.fetch(ALICE, **ask))
    assert second != id
    given(own.ask(BOB, "Approve", id=second))
    given(own.fetch(ALICE, **ask))
    assert own.names() == ["prod"]


def test_as_the_service_it_is_filed_for_what_it_will_be(own):
    """By its id alone: what it is called only the cloud knows."""
    own.policy(permit("fetches", [ALICE], ["fetch.service"], **approvals()))
    ask = {"cloud": {"region": own.v.standin.cloud.region},
           "as_service": True}
    id = asked(own.fetch(ALICE, cluster_id=cluster_id(own), **ask))
    seen, = own.requests(BOB)
    assert seen["entry"] == "prod" and seen["action"] == "fetch.service"
    given(own.ask(BOB, "Approve", id=id))
    given(own.fetch(ALICE, cluster_id=cluster_id(own), **ask))
    assert own.names() == ["prod"]
    assert {r["state"] for r in own.requests(ALICE, all=True)} == {"used"}
    # By name it is filed before the cloud is asked at all.
    before = len(own.v.standin.seen)
    asked(own.fetch(ALICE, cluster="dev", **ask))
    assert len(own.v.standin.seen) == before
    refused(own.fetch(BOB, cluster_id="x", **ask), "denied")
    assert len(own.v.standin.seen) == before
