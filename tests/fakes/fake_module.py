#!/usr/bin/python3 -B
"""Stands in for libexec/certvault/token: with --pkcs11 it speaks
io.certvault.Module over one token that is a file, and dies or refuses where it
is told to; without, it becomes the real program.

Beside it lie `real` (the path of the real program), `state.json` (what is on
the token) and `plan.json` (what is to go wrong: {"die": "Import.created",
"leaky": true, "absent": true, "login": true, "refuse": "Import"}; `after`: the
first so many times it does not; `refuse_after`: no Import where so many keys
are; `way_of_import`: another than Accepts says; `run`: [point, argv, env], a
command in between; `hang`: at that point, until the file `go` is there).

An object is {class, id, label, key (PEM, where it is a private key), cert}.
"""

import base64
import ctypes
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
URI = ("pkcs11:model=fake;manufacturer=certvault%20tests;serial=0001;"
       "token=fake")


def main():
    if "--pkcs11" not in sys.argv:
        with open(os.path.join(HERE, "real"), encoding="utf-8") as f:
            real = f.read().strip()
        os.execv(real, [real, *sys.argv[1:]])
    Module().serve()


def load(name):
    try:
        with open(os.path.join(HERE, name), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Module:
    def __init__(self):
        from cryptography.hazmat.primitives import serialization
        self.ser = serialization
        self.sodium = ctypes.CDLL("libsodium.so.23")
        self.targets = []
        self.logged_in = False

    # --- the wire ---

    def serve(self):
        s = socket.socket(fileno=3)
        got = b""
        while True:
            data = s.recv(1 << 20)
            if not data:
                return
            got += data
            while b"\0" in got:
                message, got = got.split(b"\0", 1)
                s.sendall(json.dumps(self.answer(json.loads(message)))
                          .encode() + b"\0")

    def answer(self, request):
        self.method = request["method"].rsplit(".", 1)[1]
        self.plan, self.state = load("plan.json"), load("state.json")
        self.state.setdefault("objects", [])
        self.state.setdefault("calls", []).append(self.method)
        self.save()
        try:
            self.point("begin")
            if self.method == "Import" and self.plan.get("refuse_after") == \
                    len([o for o in self.state["objects"]
                         if o["class"] == "private"]):
                raise Failure("invalid", "the fake takes no more keys")
            if self.plan.get("refuse") == self.method and self.is_due():
                raise Failure("invalid", "the fake refuses " + self.method)
            out = getattr(self, self.method)(**request.get("parameters", {}))
            self.point("end")
            return {"parameters": out or {}}
        except Failure as e:
            self.save()
            name = "".join(w.capitalize() for w in e.code.split("-"))
            return {"error": "io.certvault.Module." + name,
                    "parameters": {"code": e.code, "message": e.message}}

    def save(self):
        path = os.path.join(HERE, "state.json")
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.state, f)
        os.rename(path + ".new", path)

    def replan(self):
        with open(os.path.join(HERE, "plan.json"), "w", encoding="utf-8") as f:
            json.dump(self.plan, f)

    def is_due(self):
        """Not before it came by `after` times."""
        if self.plan.get("after", 0) == 0:
            return True
        self.plan["after"] -= 1
        self.replan()
        return False

    def point(self, name):
        """Where the plan says so, this process is killed, or runs a command,
        once."""
        self.save()
        if self.plan.get("run", [""])[0] == f"{self.method}.{name}":
            argv, env = self.plan.pop("run")[1:]
            self.replan()
            subprocess.run(argv, env=env, check=True, close_fds=True,
                           stdout=subprocess.DEVNULL)
        if self.plan.get("hang") == f"{self.method}.{name}" and self.is_due():
            self.state["calls"].append("hangs")
            self.save()
            while not os.path.exists(os.path.join(HERE, "go")):
                time.sleep(0.02)
        if self.plan.get("die") == f"{self.method}.{name}" and self.is_due():
            del self.plan["die"]
            self.replan()
            os.kill(os.getpid(), signal.SIGKILL)

    # --- helpers ---

    def key_of(self, o):
        return self.ser.load_pem_private_key(o["key"].encode(), None)

    def spki_of(self, key):
        return key.public_key().public_bytes(
            self.ser.Encoding.DER,
            self.ser.PublicFormat.SubjectPublicKeyInfo)

    def digest(self, o):
        return hashlib.sha256(json.dumps(o, sort_keys=True).encode()) \
            .hexdigest()

    def find(self, key):
        for o in self.state["objects"]:
            if o["class"] == "private" and o["id"] == key["id"] and \
                    o.get("key") and base64.b64encode(
                        self.spki_of(self.key_of(o))).decode() == \
                    key.get("spki"):
                return o
        raise Failure("not-found", "the token has no such key")

    def findings(self):
        return {"attributes": {}, "leaky": bool(self.plan.get("leaky")),
                "attacks": []}

    # --- methods ---

    def Modules(self):
        return {"modules": [{"name": "fake", "path": "/fake.so",
                             "source": "configuration"}]}

    def Load(self, module=None, uri=None):
        return {"name": "fake", "path": "/fake.so", "description": "",
                "manufacturer": "", "version": "1.0", "cryptoki": "2.40"}

    def Tokens(self, uri=None):
        if self.plan.get("absent"):
            return {"tokens": []}
        return {"tokens": [{
            "uri": URI, "identity": "certvault tests|fake|0001",
            "held": self.logged_in, "module": "fake", "label": "fake",
            "manufacturer": "certvault tests", "model": "fake",
            "serial": "0001", "present": True, "initialized": True,
            "login_required": bool(self.plan.get("login")),
            "logged_in": self.logged_in, "protected_path": False,
            "write_protected": False, "pin_min": 4, "pin_max": 8, "user_pin": {
                "initialized": True, "count_low": False, "final_try": False,
                "locked": False, "to_be_changed": False}}]}

    def Login(self, token, secret=None, human=False):
        if secret != base64.b64encode(b"1234").decode():
            raise Failure("auth", "the PIN is wrong")
        self.logged_in = True

    def Logout(self, token):
        self.logged_in = False

    def Mechanisms(self, token):
        return {"mechanisms": []}

    def Objects(self, token):
        return {"objects": [self.shown(o) for o in self.state["objects"]]}

    def shown(self, o):
        return {"class": o["class"], "label": o["label"], "id": o["id"],
                "attributes": {}, "readable": True, "digest": self.digest(o)}

    def Snapshot(self, token):
        return {"objects": [self.digest(o) for o in self.state["objects"]]}

    def Target(self):
        public = ctypes.create_string_buffer(32)
        secret = ctypes.create_string_buffer(32)
        self.sodium.crypto_box_keypair(public, secret)
        self.targets.append((public.raw, secret.raw))
        return {"public_key": base64.b64encode(public.raw).decode()}

    def Accepts(self, token, key_type, bits):
        if key_type not in self.plan.get("accepts", ["RSA", "EC"]):
            raise Failure("invalid", f"the token takes no {key_type} keys: "
                          "CKM_FAKE is missing")
        return {"way": self.plan.get("way", "unwrapped")}

    def open_sealed(self, key, more):
        box = base64.b64decode(key["sealed"])[1:]
        out = ctypes.create_string_buffer(len(box))
        for public, secret in self.targets:
            if self.sodium.crypto_box_seal_open(
                    out, box, ctypes.c_ulonglong(len(box)), public,
                    secret) == 0:
                if not more:
                    self.targets.remove((public, secret))
                frame = out.raw[:len(box) - 48]
                assert frame[8:24].hex() == key["vault_id"]
                assert frame[24:40].hex() == key["entry_id"]
                assert frame[40:72].hex() == key["spki_sha256"]
                n = int.from_bytes(frame[72:76], "big")
                return self.ser.load_der_private_key(frame[76:76 + n], None)
        raise Failure("integrity", "the key was sealed to another target")

    def Import(self, token, key, id, label, certificates, ca=None,
               allow_leaky=False, more=False):
        private = self.open_sealed(key, more)
        o = {"class": "private", "id": "", "label": "", "key": None}
        self.state["objects"].append(o)
        self.point("half")
        o.update(id=id)
        self.point("named")
        o.update(id=id, label=label, key=private.private_bytes(
            self.ser.Encoding.PEM, self.ser.PrivateFormat.PKCS8,
            self.ser.NoEncryption()).decode())
        self.point("created")
        self.state["objects"].append({"class": "certificate", "id": id,
                                      "label": label, "cert": certificates})
        self.point("certified")
        if self.plan.get("leaky") and not allow_leaky:
            self.state["objects"] = [x for x in self.state["objects"]
                                     if x["id"] != id]
            raise Failure("denied", "the token lets its keys out")
        way = self.plan.get("way_of_import") or \
            self.plan.get("way", "unwrapped")
        return {"way": way, "findings": self.findings(), "notes": ["a note"]}

    def Generate(self, token, alg, id, label, allow_leaky=False):
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        key = rsa.generate_private_key(65537, 2048) if alg == "rsa2048" else \
            ec.generate_private_key({"p256": ec.SECP256R1,
                                     "p384": ec.SECP384R1}[alg]())
        o = {"class": "private", "id": "", "label": "", "key": None}
        self.state["objects"].append(o)
        self.point("half")
        o.update(id=id, label=label, key=key.private_bytes(
            self.ser.Encoding.PEM, self.ser.PrivateFormat.PKCS8,
            self.ser.NoEncryption()).decode())
        self.point("created")
        return {"spki": base64.b64encode(self.spki_of(key)).decode(),
                "findings": self.findings()}

    def Examine(self, key):
        o = self.find(key)
        key = self.key_of(o)
        return {"findings": self.findings(), "key_type": "EC",
                "bits": key.key_size}

    def FindKey(self, uri):
        wanted = dict(a.split("=", 1) for a in uri.split(":", 1)[1]
                      .split("?")[0].split(";"))
        id = wanted.get("id", "").replace("%", "").lower()
        found = [o for o in self.state["objects"]
                 if o["class"] == "private" and o.get("key") and
                 (not id or o["id"] == id) and
                 ("object" not in wanted or o["label"] == wanted["object"])]
        if len(found) != 1:
            raise Failure("not-found" if not found else "integrity",
                          f"{len(found)} keys fit")
        o = found[0]
        certs = [c["cert"] for c in self.state["objects"]
                 if c["class"] == "certificate" and c["id"] == o["id"]]
        out = {"key": {"token": URI, "id": o["id"], "label": o["label"],
                       "spki": base64.b64encode(self.spki_of(
                           self.key_of(o))).decode()},
               "key_type": "EC", "bits": 256}
        if certs:
            out["certificate"] = certs[0]
        return out

    def PutCertificates(self, key, label, certificates, ca=None):
        self.find(key)
        new = {"class": "certificate", "id": key["id"], "label": label,
               "cert": certificates}
        if new not in self.state["objects"]:
            self.state["objects"].append(new)
        return {"notes": []}

    def Destroy(self, key=None, token=None, id=None, label=None):
        if key is not None:
            self.find(key)
            gone = [o for o in self.state["objects"] if o["id"] == key["id"]]
        else:
            gone = [o for o in self.state["objects"]
                    if o["id"] == id and o["label"] == label]
        for o in gone:
            self.state["objects"].remove(o)
            self.point("one")
        return {"destroyed": len(gone)}

    def LogKey(self, uri, id, label):
        from cryptography.hazmat.primitives.asymmetric import ed25519
        key = ed25519.Ed25519PrivateKey.generate()
        self.state["objects"].append({
            "class": "private", "id": id, "label": label,
            "key": key.private_bytes(
                self.ser.Encoding.PEM, self.ser.PrivateFormat.PKCS8,
                self.ser.NoEncryption()).decode()})
        return {"uri": self.uri_of(id), "made": True, "public_key":
                base64.b64encode(self.spki_of(key)[-32:]).decode()}

    def uri_of(self, id):
        return f"{URI};id=%{bytes.fromhex(id).hex('%')};type=private"

    def LogSign(self, uri, public_key, text):
        for o in self.state["objects"]:
            if o["class"] == "private" and self.uri_of(o["id"]) == uri:
                key = self.key_of(o)
                if base64.b64encode(self.spki_of(key)[-32:]).decode() == \
                        public_key:
                    return {"signature": base64.b64encode(
                        key.sign(text.encode())).decode()}
        raise Failure("not-found", "the token has no such key")

    def Debris(self, token, snapshot, known):
        return {"objects": [self.shown(o) for o in self.state["objects"]
                            if self.digest(o) not in snapshot and
                            o["id"] not in [k["id"] for k in known]]}

    def DestroyDebris(self, token, digest):
        before = len(self.state["objects"])
        self.state["objects"] = [o for o in self.state["objects"]
                                 if self.digest(o) != digest]
        if len(self.state["objects"]) == before:
            raise Failure("not-found", "no such object")

    def Sign(self, key, purpose, algorithm, data):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding
        private = self.key_of(self.find(key))
        data = base64.b64decode(data)
        digest = {"256": hashes.SHA256, "384": hashes.SHA384,
                  "512": hashes.SHA512}[algorithm[-3:]]()
        if algorithm.startswith("ecdsa"):
            signature = private.sign(data, ec.ECDSA(digest))
        elif "pss" in algorithm:
            signature = private.sign(data, padding.PSS(
                padding.MGF1(digest), digest.digest_size), digest)
        else:
            signature = private.sign(data, padding.PKCS1v15(), digest)
        return {"signature": base64.b64encode(signature).decode()}


if __name__ == "__main__":
    main()
