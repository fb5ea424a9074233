"""Fixtures of the scenarios; see harness.py."""

import os

import pytest

import harness
import tokens
from harness import Secrets, Vault

import cce_standin

pytest.register_assert_rewrite("relay", "relay_checks")


def pytest_configure(config):
    harness.adopt_orphans()
    os.umask(0o022)


def pytest_sessionfinish(session, exitstatus):
    """All skipped: 77, so that ctest shows it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter and not reporter.stats.get("passed") and \
            reporter.stats.get("skipped"):
        session.exitstatus = 77


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"skipped: {report.nodeid}: "
                                    f"{report.longrepr[-1]}")


@pytest.fixture(autouse=True)
def nothing_left_running():
    """No program of ours outlives its test."""
    assert os.path.exists(harness.program()), \
        f"not built: {harness.program()} (see CV_BUILD)"
    yield
    left = harness.wait_for_none()
    assert not left, f"still running: {left}"


@pytest.fixture
def secrets():
    return Secrets()


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def vault(home, secrets):
    """A new vault, opened by a key file. At the end its log verifies and no
    file of it holds a secret in the clear."""
    v = Vault(home, secrets)
    yield v
    if not getattr(v, "spoilt", False):
        v.verify()
    leaked = secrets.found_below(v.folder)
    assert not leaked, leaked


@pytest.fixture
def release_vault(home, secrets):
    """As vault, with the programs of the release build."""
    if not os.path.exists(harness.program(build=harness.RELEASE)):
        pytest.skip("no release build")
    v = Vault(home, secrets, build=harness.RELEASE)
    yield v
    leaked = secrets.found_below(v.folder)
    assert not leaked, leaked


@pytest.fixture(scope="session")
def standin_server(tmp_path_factory):
    s = cce_standin.Standin(str(tmp_path_factory.mktemp("standin")))
    s.cloud.add("prod", alg="rsa2048", labels={"env": "prod"})
    s.cloud.add("dev", alg="p256", external=None)
    s.cloud.add("edge", alg="p256", api="autopilot", verify=False)
    yield s
    s.stop()


@pytest.fixture
def standin(standin_server, secrets):
    """The stand-in cloud; what no client should do fails the test."""
    s = standin_server
    s.reset()
    secrets.add("SK", s.cloud.sk)
    secrets.add("AK", s.cloud.ak)
    secrets.add("password", s.cloud.password)
    yield s
    assert not s.violations, s.violations
    assert not s.errors, s.errors


class CloudVault(Vault):
    """A vault whose user has keys for the stand-in cloud."""

    standin = None

    def cloud(self, *args):
        """The flags that lead to the stand-in."""
        s = self.standin
        return [*args, "--region", s.cloud.region, "--endpoint", s.url,
                "--iam-endpoint", s.url, "--ca-file", s.ca_file]

    def fetch(self, cluster, *args, **options):
        return self("-o", "json", *self.cloud("fetch", "--cluster", cluster,
                                              *args), **options)


@pytest.fixture
def cloud_vault(home, secrets, standin):
    v = CloudVault(home, secrets)
    v.standin = standin
    v.extra.update({"HUAWEICLOUD_SDK_AK": standin.cloud.ak,
                    "HUAWEICLOUD_SDK_SK": standin.cloud.sk})
    yield v
    if not getattr(v, "spoilt", False):
        v.verify()
    leaked = secrets.found_below(v.folder)
    assert not leaked, leaked


def _started(kind, factory):
    """The token of that kind; one for all tests of a file."""
    why = kind.missing()
    if why:
        pytest.skip(f"{kind.name}: {why}")
    made = kind(factory.mktemp(kind.name))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session", params=tokens.KINDS, ids=lambda k: k.name)
def started_token(request, tmp_path_factory):
    yield from _started(request.param, tmp_path_factory)


@pytest.fixture
def token(started_token):
    """Each token in turn, as it was at its start."""
    yield started_token
    started_token.reset()


@pytest.fixture(scope="session")
def started_misbehaving(tmp_path_factory):
    yield from _started(tokens.Misbehaving, tmp_path_factory)


@pytest.fixture
def misbehaving(started_misbehaving):
    yield started_misbehaving
    started_misbehaving.reset()
