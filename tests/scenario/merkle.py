"""RFC 6962 hashes, the log's frames and C2SP signed notes, once more: so that
what the program says of its log is compared with code of another hand."""

import base64
import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves):
    """MTH over the leaves' data."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def crc32c_of_byte(crc):
    """Bit by bit."""
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC32C = [crc32c_of_byte(byte) for byte in range(256)]


def crc32c(data):
    """CRC-32C (RFC 3720)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def frames(data):
    """(offset, record) of each whole frame: length u32le, CRC-32C, record."""
    at = 0
    out = []
    while at + 8 <= len(data):
        length, crc = struct.unpack_from("<II", data, at)
        record = data[at + 8:at + 8 + length]
        if not length or len(record) < length or crc32c(record) != crc:
            break
        out.append((at, record))
        at += 8 + length
    return out, at


def frame(record):
    return struct.pack("<II", len(record), crc32c(record)) + record


def log_bytes(path):
    """How far a log's frames go: zeros may be kept ahead of its end."""
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at + 8 <= len(data):
        length, = struct.unpack_from("<I", data, at)
        if not length or at + 8 + length > len(data):
            break
        at += 8 + length
    return at


def read_log(path):
    """The leaves of a log that must be whole."""
    with open(path, "rb") as f:
        data = f.read()
    found, end = frames(data)
    # A broker that stays keeps zeros ahead, up to a multiple of 64 KiB.
    rest = data[end:]
    assert not rest or (len(data) % 65536 == 0 and not any(rest)), \
        f"{len(rest)} bytes behind the last frame"
    return [record for _, record in found]


def check_note(note, vkey):
    """The text of a note that this key must have signed well."""
    name, key_id, key = vkey.split("+", 2)
    raw = base64.b64decode(key)
    assert raw[0] == 1 and len(raw) == 33
    assert hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == \
        key_id
    text, _, signatures = note.decode().partition("\n\n")
    text += "\n"
    good = False
    for line in signatures.splitlines():
        dash, signer, value = line.split(" ")
        assert dash == "\u2014"
        sig = base64.b64decode(value)
        if signer == name and sig[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(raw[1:]).verify(
                sig[4:], text.encode())
            good = True
    assert good, "no signature by that key"
    return text


def open_note(note, vkey):
    """(origin, size, root) of a checkpoint whose signature must be good."""
    text = check_note(note, vkey)
    origin, size, digest = text.splitlines()[:3]
    assert str(int(size)) == size
    return origin, int(size), base64.b64decode(digest)


def included(index, size, leaf, path, root):
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for c in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(c, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node(r, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


def proof_of(text):
    """(index, hashes, note, extra) of a C2SP tlog-proof file; extra: None or
    bytes."""
    head, _, note = text.partition("\n\n")
    magic, *lines = head.split("\n")
    assert magic == "c2sp.org/tlog-proof@v1"
    extra = None
    if lines[0].startswith("extra "):
        extra = base64.b64decode(lines.pop(0)[6:], validate=True)
    word, number = lines.pop(0).split(" ")
    assert word == "index" and str(int(number)) == number
    return int(number), [base64.b64decode(h) for h in lines], note, extra


def consistent(m, n, old, new, path):
    """RFC 9162 section 2.1.4.2, 0 < m < n."""
    path = list(path)
    if m & (m - 1) == 0:
        path.insert(0, old)
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old and sr == new


def go_on(frontier, size, leaves):
    """The root of `size` leaves that the perfect subtrees of `frontier` stand
    for, and then `leaves`."""
    tree = list(frontier)
    assert len(tree) == bin(size).count("1")
    for data in leaves:
        tree.append(leaf(data))
        k, size = size, size + 1
        while k & 1:
            right = tree.pop()
            tree[-1] = node(tree[-1], right)
            k >>= 1
    if not tree:
        return hashlib.sha256(b"").digest()
    top = tree.pop()
    while tree:
        top = node(tree.pop(), top)
    return top
