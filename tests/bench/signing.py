"""Signatures with a key on SoftHSM, each with a durable record, beside the bare
calls of the same module. Used by bench.py."""

import os
import subprocess

import harness
import kube
import tokens


class OnToken:
    """A vault whose entry's key lies on a SoftHSM token, its agent running and
    logged in."""

    def __init__(self, folder, kind):
        self.token = tokens.SoftHsm(os.path.join(folder, "token-" + kind))
        self.token.start()
        self.vault = harness.Vault(os.path.join(folder, "home-" + kind),
                                   build=harness.RELEASE)
        self.vault.flags = []
        self.vault.extra.update(self.token.tool_env)
        self.pin_file = self.vault.write("pin", self.token.pin + "\n")
        self.vault.extra["CERTVAULT_PIN_FILE"] = self.pin_file
        text = kube.as_yaml(kube.config(kube.Identity(kind)))
        self.vault("import", "-", "--name", "a", "--to",
                   "token:" + self.token.uri, input=text, code=0)
        self.id = self.vault.json("show", "a")["token_uri"].split(
            "id=")[1].split(";")[0].replace("%", "")

    def peer(self, mode, last):
        return [os.path.join(harness.RELEASE, "bench", "sign_peer"), mode,
                self.token.module, self.token.label, self.pin_file, self.id,
                last]

    def socket(self):
        return self.vault.json("agent", "status")["socket"]

    def end(self):
        self.vault("agent", "stop")
        self.token.stop()


def bench_sign(folder, timed, must, ratio_line, rounds):
    """Through broker and record, 1 and 4 callers, against a loop of C_Sign."""
    many = os.path.join(harness.RELEASE, "bench", "sign_many")
    each = int(os.environ.get("CV_SIGNATURES", "400"))
    for kind, algorithm in (("rsa2048", "rsa_pkcs1_sha256"),
                            ("p256", "ecdsa_secp256r1_sha256")):
        held = OnToken(folder, kind)
        env = held.vault.env()
        must(held.vault.argv("token", "login", held.token.uri), env=env)
        socket = held.socket()
        print(f"$ sign_many SOCKET a {algorithm} 1|4 {each}")
        print(f"$ sign_peer loop MODULE vault PIN ID {each}|{4 * each}")
        for callers in (1, 4):
            ours, theirs = [], []
            for _ in range(max(3, rounds // 3)):
                ours.append(timed(must, [many, socket, "a", algorithm,
                                         str(callers), str(each)], env=env))
                theirs.append(timed(must, held.peer(
                    "loop", str(callers * each)), env=env))
            ratio_line(f"{kind}: signatures of {callers} callers, each with a "
                       "durable record, against bare C_Sign", ours, theirs,
                       0.5, "more")
        held.end()


def cpu(argv, env):
    """Seconds of processor time that a command and what it started took."""
    before = os.times()
    done = subprocess.run(argv, env=env, capture_output=True,
                          stdin=subprocess.DEVNULL)
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{argv}: {done.returncode}: {done.stderr.decode()}")
    return (after.children_user - before.children_user +
            after.children_system - before.children_system)


def bench_cold_sign(folder, ratio_line, rounds):
    """One signature by a broker that is started for it."""
    held = OnToken(folder, "p256")
    held.vault("agent", "stop")
    env = held.vault.env()
    sign = [os.path.join(harness.RELEASE, "bench", "sign_cold"),
            harness.program("certvaultd", harness.RELEASE), held.vault.folder,
            "a", "ecdsa_secp256r1_sha256", held.token.uri, held.pin_file]
    print("$ sign_cold certvaultd VAULT a ecdsa_secp256r1_sha256 URI PIN    "
          "(a private broker, login, one signature)")
    print("$ sign_peer cold MODULE vault PIN ID OUT")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(cpu(sign, env))
        theirs.append(cpu(held.peer("cold", os.path.join(folder, "out")), env))
    ratio_line("cold sign, processor time", ours, theirs, 1.5, "less")
    held.end()
