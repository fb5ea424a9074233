"""Tokens to test with, all in software, each with the same interface.

    @pytest.fixture(params=tokens.KINDS, ids=lambda k: k.name)
    def token(request, tmp_path_factory): ...      (see conftest.py: `token`)

A token that cannot be had here (a package is missing, no namespaces) is a
visible skip: `Kind.missing()` says why. What a token can do is in `can`, from
what these modules were seen to do; a test asks `"import p256" in token.can`.

Every program that a token needs runs with folders of its own below the test's
and ports that were free; each is ended by its number, and dies with us.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import harness

FAKES = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "fakes")
LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
             "/usr/lib64", "/usr/lib")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
START = 20                                # seconds for a server to be there

# Ways in and uses, the words of `can`.
RSA_EC = ("rsa2048", "rsa4096", "p256", "p384")


def every(what, kinds):
    return {f"{what} {kind}" for kind in kinds}


def library(*names):
    """Where a module lies, or None."""
    for folder in LIBRARIES:
        for name in names:
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return os.path.realpath(path)
    return None


def program(name):
    return shutil.which(name, path=PATH)


def built(name):
    """A module of the tests' own; that of any build will do."""
    for build in (harness.BUILD, harness.RELEASE):
        path = os.path.join(build, "tests", "modules", name)
        if os.path.exists(path):
            return path
    return None


def die_with_parent():
    """Runs in the child (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def wait_for(what, said, process=None, seconds=START):
    """Until what() is true; the server's end is its failure."""
    end = time.monotonic() + seconds
    while not what():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{said}: ended with {process.returncode}")
        if time.monotonic() > end:
            raise RuntimeError(f"{said}: not there after {seconds} s")
        time.sleep(0.02)


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Token:
    """One token; started by start(), gone after stop().

    name        of the kind, as tests are named
    folder      all its files
    uri, label  the token's; pin, so_pin
    modules     the `modules:` of certvault.yaml by which certvault reaches it
    tool_env    the environment with which tools reach it by `tool_module`
    can         what it is able to do
    """

    name = "?"
    can = frozenset()
    label, pin, so_pin = "vault", "1234", "sosopin1"
    wrong_pin = "4321"
    packages = ""
    reserved = None
    module_env = {}

    def __init__(self, folder):
        self.folder = str(folder)
        self.servers = {}
        self.tool_env = {}
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    @classmethod
    def missing(cls):
        """Why it cannot be had here, or None."""
        return None

    # what kinds differ in

    def start(self):
        raise NotImplementedError

    def restart(self):
        """Ends the servers behind the token by force and starts new ones."""
        raise NotImplementedError

    def remove(self):
        """As if it were pulled."""
        raise NotImplementedError

    def put_back(self):
        raise NotImplementedError

    def tries(self):
        """PIN tries left as the token itself knows them; None: it counts
        none."""
        return None

    # what they share

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        with open(path + ".new", "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        os.chmod(path + ".new", mode)
        os.rename(path + ".new", path)
        return path

    @property
    def uri(self):
        return "pkcs11:token=" + self.label.replace(" ", "%20")

    @property
    def modules(self):
        entry = {"name": self.name, "path": self.module}
        if self.reserved:
            entry["reserved"] = self.reserved
        if self.module_env:
            entry["env"] = dict(self.module_env)
        return [entry]

    @property
    def tool_module(self):
        return self.module

    def serve(self, name, *argv, env=None, ready=None):
        """Starts a server that lives until stop()."""
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": PATH, "HOME": self.folder, **(env or {})},
                cwd=self.folder, preexec_fn=die_with_parent)
        self.servers[name] = process
        if ready is not None:
            wait_for(ready, f"{name} of {self.name}", process)
        return process

    def end(self, name, how=signal.SIGTERM):
        process = self.servers.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)

    def stop(self):
        for name in list(self.servers)[::-1]:
            self.end(name)

    def run(self, *argv, input=None, check=True, env=None):
        done = subprocess.run(
            argv, input=input, capture_output=True, timeout=120,
            cwd=self.folder,
            env={"PATH": PATH, "HOME": self.folder, "LANG": "C.UTF-8",
                 **self.tool_env, **(env or {})})
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} -> {done.returncode}\n"
                                 f"{done.stdout!r}\n{done.stderr!r}")
        return done

    def pkcs11_tool(self, *args, login=True, **options):
        pin = ("--login", "--pin", self.pin) if login else ()
        return self.run("pkcs11-tool", "--module", self.tool_module,
                        "--token-label", self.label, *pin, *args, **options)

    def p11tool(self, *args, login=True, **options):
        pin = ("--login", "--set-pin", self.pin) if login else ()
        return self.run("p11tool", "--provider", self.tool_module, "--batch",
                        *pin, *args, **options)

    def generate(self, kind, key_id, label):
        """Makes a key pair with the vendor-neutral tool; its public key in
        DER."""
        names = {"rsa2048": "rsa:2048", "rsa4096": "rsa:4096",
                 "p256": "EC:secp256r1", "p384": "EC:secp384r1",
                 "ed25519": "EC:edwards25519"}
        self.pkcs11_tool("--keypairgen", "--key-type", names[kind], "--id",
                         key_id, "--label", label)
        return self.public_key(key_id)

    def public_key(self, key_id):
        """Of a pair on the token, in DER (pkcs11-tool cannot read P-384)."""
        said = self.p11tool("--export", f"{self.uri};id=%{key_id};type=public")
        return self.run("openssl", "pkey", "-pubin", "-outform", "DER",
                        input=said.stdout).stdout

    def sign(self, key_id, mechanism, data):
        self.write("data", data)
        args = ("--sign", "--mechanism", mechanism, "--id", key_id,
                "--input-file", self.path("data"), "--output-file",
                self.path("signature"))
        if mechanism.startswith("ECDSA"):
            args += ("--signature-format", "openssl")
        if mechanism == "RSA-PKCS-PSS":
            args += ("--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256",
                     "--salt-len", "32")
        self.pkcs11_tool(*args)
        with open(self.path("signature"), "rb") as f:
            return f.read()

    def reset(self):
        """Takes every object away that can be; the right PIN is back."""
        listed = self.pkcs11_tool("--list-objects", check=False)
        kind = None
        for line in listed.stdout.decode().splitlines():
            word = line.split()[0] if line.split() else ""
            if "Object" in line and not line.startswith(" "):
                kind = {"Private": "privkey", "Public": "pubkey",
                        "Certificate": "cert", "Secret": "secrkey",
                        "Data": "data"}.get(word)
            elif word == "ID:" and kind not in (None, "data"):
                self.pkcs11_tool("--delete-object", "--type", kind, "--id",
                                 line.split()[1], check=False)
                kind = None


class SoftHsm(Token):
    """SoftHSM 2: does nearly all, and never locks a PIN."""

    name = "softhsm"
    packages = "softhsm2"
    module = library("softhsm/libsofthsm2.so")
    can = frozenset(every("import", RSA_EC + ("ed25519",)) |
                    every("generate", RSA_EC + ("ed25519",)) |
                    {"unwrap", "certificates", "init", "change pin",
                     "remove"})

    @classmethod
    def missing(cls):
        return None if cls.module and program("softhsm2-util") \
            else "no softhsm2 here"

    def start(self):
        os.makedirs(self.path("tokens"), mode=0o700)
        conf = self.write("softhsm2.conf",
                          f"directories.tokendir = {self.path('tokens')}\n"
                          "objectstore.backend = file\nlog.level = ERROR\n"
                          "slots.removable = false\n")
        self.module_env = {"SOFTHSM2_CONF": conf}
        self.tool_env = {"SOFTHSM2_CONF": conf}
        self.run("softhsm2-util", "--init-token", "--free", "--label",
                 self.label, "--so-pin", self.so_pin, "--pin", self.pin)

    def remove(self):
        os.rename(self.path("tokens"), self.path("tokens.away"))
        os.mkdir(self.path("tokens"), 0o700)

    def put_back(self):
        os.rmdir(self.path("tokens"))
        os.rename(self.path("tokens.away"), self.path("tokens"))


class Nss(Token):
    """NSS softokn: takes keys and lets them out again by wrapping."""

    name = "nss"
    packages = "libnss3 libnss3-tools"
    label = "NSS Certificate DB"
    pin, wrong_pin = "nss-pin-1", "nss-pin-2"
    module = library("libsoftokn3.so", "nss/libsoftokn3.so")
    can = frozenset(every("import", RSA_EC) | every("generate", RSA_EC) |
                    {"unwrap", "certificates", "change pin", "leaks"})

    @classmethod
    def missing(cls):
        if not cls.module or not program("certutil"):
            return "no libnss3, libnss3-tools here"
        return None if built("options.so") else "tests/modules not built"

    @property
    def tool_module(self):
        return built("options.so")

    def start(self):
        os.makedirs(self.path("db"), mode=0o700)
        self.write("pin", self.pin + "\n")
        self.run("certutil", "-N", "-d", "sql:" + self.path("db"), "-f",
                 self.path("pin"))
        self.reserved = (f"configdir='sql:{self.path('db')}' certPrefix='' "
                         "keyPrefix='' secmod='' flags=optimizeSpace")
        self.tool_env = {"CV_OPTIONS_MODULE": self.module,
                         "CV_OPTIONS_RESERVED": self.reserved}


class Tpm(Token):
    """tpm2-pkcs11 over tpm2-abrmd over a software TPM: takes no keys, makes
    its own, locks its PIN without a warning."""

    name = "tpm"
    packages = ("libtpm2-pkcs11-1 libtpm2-pkcs11-tools tpm2-tools tpm2-abrmd "
                "libtss2-tcti-tabrmd0 swtpm swtpm-tools dbus-daemon")
    module = library("pkcs11/libtpm2_pkcs11.so", "libtpm2_pkcs11.so.1")
    can = frozenset(every("generate", ("rsa2048", "p256", "p384")) |
                    {"certificates", "counts tries", "restart", "change pin"})

    @classmethod
    def missing(cls):
        lacks = [name for name in ("swtpm", "swtpm_setup", "tpm2-abrmd",
                                   "dbus-daemon", "tpm2_ptool")
                 if not program(name)]
        lacks += [] if cls.module else ["libtpm2-pkcs11-1"]
        lacks += [] if library("libtss2-tcti-tabrmd.so.0") \
            else ["libtss2-tcti-tabrmd0"]
        if lacks:
            return "no " + ", ".join(lacks) + " here"
        return None

    def start(self):
        os.makedirs(self.path("state"), mode=0o700)
        os.makedirs(self.path("store"), mode=0o700)
        self.run("swtpm_setup", "--tpm2", "--tpm-state", self.path("state"))
        self.bus = "unix:path=" + self.path("bus")
        self.start_servers()
        tcti = "tabrmd:bus_type=session"
        self.module_env = {"TPM2_PKCS11_TCTI": tcti,
                           "TPM2_PKCS11_STORE": self.path("store"),
                           "DBUS_SESSION_BUS_ADDRESS": self.bus}
        self.tool_env = {**self.module_env, "TPM2TOOLS_TCTI": tcti}
        primary = self.run("tpm2_ptool", "init").stdout.decode()
        number = [line.split()[-1] for line in primary.splitlines()
                  if line.startswith("id:")][0]
        self.run("tpm2_ptool", "addtoken", "--pid", number, "--label",
                 self.label, "--userpin", self.pin, "--sopin", self.so_pin)

    def start_servers(self):
        port = harness.free_port(2)
        self.serve("swtpm", program("swtpm"), "socket", "--tpm2", "--tpmstate",
                   "dir=" + self.path("state"), "--server",
                   f"type=tcp,port={port},bindaddr=127.0.0.1", "--ctrl",
                   f"type=tcp,port={port + 1},bindaddr=127.0.0.1", "--flags",
                   "not-need-init,startup-clear",
                   ready=lambda: listening(port + 1))
        if os.path.exists(self.path("bus")):
            os.unlink(self.path("bus"))
        self.serve("bus", program("dbus-daemon"), "--session", "--nofork",
                   "--nopidfile", "--address=" + self.bus,
                   ready=lambda: os.path.exists(self.path("bus")))
        self.serve("abrmd", program("tpm2-abrmd"), "--session", "--allow-root",
                   f"--tcti=swtpm:host=127.0.0.1,port={port}",
                   env={"DBUS_SESSION_BUS_ADDRESS": self.bus},
                   ready=self.on_the_bus)

    def on_the_bus(self):
        asked = subprocess.run(
            ["dbus-send", "--bus=" + self.bus, "--print-reply",
             "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus."
             "NameHasOwner", "string:com.intel.tss2.Tabrmd"],
            capture_output=True)
        return b"true" in asked.stdout

    def restart(self):
        for name in ("abrmd", "bus", "swtpm"):
            self.end(name, signal.SIGKILL if name != "swtpm"
                     else signal.SIGTERM)
        self.start_servers()

    def tries(self):
        """What the TPM's own protection against guessing leaves."""
        said = self.run("tpm2_getcap", "properties-variable").stdout.decode()
        numbers = {}
        for line in said.splitlines():
            name, _, value = line.strip().partition(": ")
            if name.startswith("TPM2_PT_") and value.startswith("0x"):
                numbers[name[8:]] = int(value, 16)
        return numbers["MAX_AUTH_FAIL"] - numbers["LOCKOUT_COUNTER"]

    def reset(self):
        self.run("tpm2_dictionarylockout", "-c", check=False)
        super().reset()


class Piv(Token):
    """A PIV card of our own on pcscd and its virtual reader, by OpenSC: keys
    that are there, 9A (P-256) and 9C (RSA-2048, the PIN each time).

    pcscd has one socket, /run/pcscd, and the reader listens on every address:
    so both live in namespaces of their own, with our folder in place of
    /run/pcscd, and clients are told where the socket is.
    """

    name = "piv"
    packages = "pcscd vsmartcard-vpcd opensc-pkcs11"
    label, pin, wrong_pin = "card 9a", "123456", "654321"
    module = library("opensc-pkcs11.so", "pkcs11/opensc-pkcs11.so")
    ids = {"p256": "01", "rsa2048": "02"}
    can = frozenset(every("holds", ("p256", "rsa2048")) |
                    {"counts tries", "always authenticate", "remove",
                     "restart"})
    PORT = 35963                            # vpcd's, in a network of its own

    @classmethod
    def missing(cls):
        if not cls.module or not program("pcscd") or \
                not library("pcsc/drivers/serial/libifdvpcd.so"):
            return "no pcscd, vsmartcard-vpcd, opensc-pkcs11 here"
        unshare = [*cls.unshare(), "true"]
        if subprocess.run(unshare, capture_output=True).returncode:
            return "no namespaces here"
        return None

    @staticmethod
    def unshare():
        root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return [program("unshare") or "unshare", *root, "--net", "--mount"]

    def start(self):
        for name in ("run", "card", "readers"):
            os.makedirs(self.path(name), mode=0o700)
        self.write("card/pin", self.pin)
        self.write("readers/vpcd",
                   'FRIENDLYNAME "Virtual PCD"\n'
                   f"DEVICENAME /dev/null:{self.PORT:#x}\n"
                   f"LIBPATH {library('pcsc/drivers/serial/libifdvpcd.so')}\n"
                   f"CHANNELID {self.PORT:#x}\n")
        self.module_env = {"PCSCLITE_CSOCK_NAME": self.path("run/pcscd.comm")}
        self.tool_env = dict(self.module_env)
        # Keeps the namespaces while pcscd and the card come and go.
        self.serve("spaces", *self.unshare(), "sh", "-ec",
                   "ip link set lo up; mount -t tmpfs none /run;"
                   "mkdir /run/pcscd; mount --bind \"$1\" /run/pcscd;"
                   "echo ready; exec sleep infinity", "sh", self.path("run"),
                   ready=lambda: "ready" in self.log("spaces"))
        self.start_pcscd()
        self.put_back()

    def log(self, name):
        with open(self.path(name + ".log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    def inside(self, *argv):
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        return [program("nsenter"), "-t", str(self.servers["spaces"].pid),
                *user, "-n", "-m", *argv]

    def start_pcscd(self):
        for name in ("pcscd.comm", "pcscd.pid"):
            if os.path.exists(self.path("run", name)):
                os.unlink(self.path("run", name))
        self.serve("pcscd", *self.inside(
            program("pcscd"), "--foreground", "--config",
            self.path("readers")),
            ready=lambda: os.path.exists(self.path("run/pcscd.comm")))

    def readers_see(self, wanted):
        """Whether a card is (not) seen by who asks pcscd."""
        said = self.run("pkcs11-tool", "--module", self.module,
                        "--list-token-slots", check=False).stdout
        return (b"token label" in said) == wanted

    def remove(self):
        self.end("card", signal.SIGKILL)
        wait_for(lambda: self.readers_see(False), "the empty reader")

    def put_back(self):
        self.serve("card", *self.inside(
            sys.executable, "-B", os.path.join(FAKES, "piv_card.py"),
            str(self.PORT), self.path("card")))
        wait_for(lambda: self.readers_see(True), "the card",
                 self.servers["card"])

    def restart(self):
        self.end("card", signal.SIGKILL)
        self.end("pcscd", signal.SIGKILL)
        self.start_pcscd()
        self.put_back()

    def tries(self):
        try:
            with open(self.path("card/tries"), encoding="ascii") as f:
                return int(f.read())
        except FileNotFoundError:
            return 3

    def attempts(self):
        """A line for each PIN that reached the card."""
        try:
            with open(self.path("card/verifies.log"), encoding="ascii") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def certificate(self, kind):
        name = {"p256": "9a", "rsa2048": "9c"}[kind]
        with open(self.path("card", name + ".pem"), "rb") as f:
            return f.read()

    def reset(self):
        self.write("card/tries", "3")
        self.write("card/pin", self.pin)


class Remote(SoftHsm):
    """SoftHSM behind `p11-kit server`: a token of another process, by an RPC
    that passes on some mechanisms only."""

    name = "remote"
    packages = "softhsm2 p11-kit p11-kit-modules"
    module = library("pkcs11/p11-kit-client.so")
    can = frozenset(every("import", RSA_EC) | every("generate", RSA_EC) |
                    {"certificates", "change pin", "restart"})

    @classmethod
    def missing(cls):
        if not cls.module or not program("p11-kit"):
            return "no p11-kit, p11-kit-modules here"
        return SoftHsm.missing()

    def start(self):
        super().start()
        self.hsm_env = dict(self.tool_env)
        self.start_server()
        self.module_env = {"P11_KIT_SERVER_ADDRESS":
                           "unix:path=" + self.path("p11")}
        self.tool_env = dict(self.module_env)

    def start_server(self):
        if os.path.exists(self.path("p11")):
            os.unlink(self.path("p11"))
        self.serve("p11-kit", program("p11-kit"), "server", "--foreground",
                   "--provider", SoftHsm.module, "--name", self.path("p11"),
                   "--sh", self.uri, env=self.hsm_env,
                   ready=lambda: os.path.exists(self.path("p11")))

    def restart(self):
        self.end("p11-kit", signal.SIGKILL)
        self.start_server()

    remove, put_back = Token.remove, Token.put_back


class Misbehaving(Token):
    """The tests' own module: see tests/fakes/misbehaving/misbehaving.h."""

    name = "misbehaving"
    label = "rig"
    can = frozenset(every("import", RSA_EC + ("ed25519",)) |
                    every("generate", RSA_EC + ("ed25519",)) |
                    {"unwrap", "certificates", "counts tries", "remove",
                     "change pin"})

    @classmethod
    def missing(cls):
        return None if built("misbehaving.so") else "tests/modules not built"

    @property
    def module(self):
        return built("misbehaving.so")

    def start(self):
        self.control()
        self.write("pin", self.pin)
        self.write("so-pin", self.so_pin)
        self.module_env = {"CV_MISBEHAVING": self.path("control")}
        self.tool_env = dict(self.module_env)

    def control(self, *lines):
        """Sets the switches, all anew; holds from the next call on, in
        processes that run too. `once` faults may fire again."""
        for name in os.listdir(self.folder):
            if name.startswith("fired-"):
                os.unlink(self.path(name))
        self.write("control", "".join(line + "\n" for line in lines))

    def remove(self):
        self.control("present=0")

    def put_back(self):
        self.control()

    def _lines(self, name):
        try:
            with open(self.path(name), encoding="ascii") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def tries(self):
        return int((self._lines("tries") or ["3"])[0])

    def attempts(self):
        """[pid, user type, outcome, tries left] of each C_Login that reached
        the token."""
        return [line.split() for line in self._lines("logins.log")]

    def calls(self):
        """[pid, number, name] of each call, while calls=1."""
        return [line.split() for line in self._lines("calls.log")]

    def objects(self):
        folder = self.path("objects")
        return sorted(n for n in os.listdir(folder) if "." not in n) \
            if os.path.isdir(folder) else []

    def reset(self):
        self.control()
        self.write("pin", self.pin)
        shutil.rmtree(self.path("objects"), ignore_errors=True)
        for name in ("tries", "logins.log", "calls.log"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))


KINDS = (SoftHsm, Nss, Tpm, Piv, Remote, Misbehaving)
