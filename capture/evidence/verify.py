#!/usr/bin/env python3
"""Verifies Ciglio evidence with nothing but the Python standard library (3.9 or later).

    verify.py --trust FILE [--lang it|en|de] [--json] [--each] BUNDLE...

A BUNDLE is a bundle's .zip, a single sealed record, or a folder of a bundle or of several. The trust file holds the root's key and the device
register that the root has signed; compare the printed root with the one that the authority publishes.
Exit code: 0 when every bundle is good, 1 when one is not, 2 for wrong use. It is one of three independent
verifiers; docs/evidence.md says what each check means.
"""
import argparse, base64, datetime, hashlib, json, os, re, stat, sys, zlib

# ---- P-256 and ES256 -------------------------------------------------------------------------------------
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def add(a, b):
    """Adds two points; None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def weigh(k, a, m, b):
    """Returns k times a plus m times b, a bit of both at a time."""
    choice, total = [None, a, b, add(a, b)], None
    for bit in range(255, -1, -1):
        total = add(add(total, total), choice[(k >> bit & 1) + 2 * (m >> bit & 1)])
    return total


def parse_key(spki):
    x, y = int.from_bytes(spki[27:59], "big"), int.from_bytes(spki[59:], "big")
    if len(spki) != 91 or spki[:27] != SPKI or x >= P or y >= P or (x**3 - 3 * x + B - y * y) % P:
        raise Bad("not a P-256 public key")
    return x, y


def signature_good(spki, tbs, sig):
    r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
    if not (0 < r < N and 0 < s <= N // 2):
        return False
    w, e = pow(s, -1, N), int.from_bytes(sha256(tbs), "big")
    point = weigh(e * w % N, G, r * w % N, parse_key(spki))
    return point is not None and point[0] % N == r


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- strict CBOR: each function below makes a reader of one type -----------------------------------------
class Bad(Exception):
    """What a parser met, in English."""


class Doubt(Exception):
    """What a check found wrong: a code and its arguments."""
    def __init__(self, code, args):
        super().__init__(code)
        self.found = code, args


def doubt(good, code, **args):
    if not good:
        raise Doubt(code, named(args))


def named(args):
    """Arguments by name; from_ stands for from, which Python has for itself."""
    return {name.rstrip("_"): value for name, value in args.items()}


class Input:
    def __init__(self, data):
        self.data, self.pos = data, 0

    def head(self, *majors):
        if self.pos >= len(self.data):
            raise Bad("ends too early")
        major, info = self.data[self.pos] >> 5, self.data[self.pos] & 31
        if major not in majors or info > 27:
            raise Bad(f"byte {self.pos}: wrong type")
        width = 1 << info - 24 if info >= 24 else 0
        argument = self.take(1 + width)[1:]
        n = int.from_bytes(argument, "big") if width else info
        if width and n < (24 if width == 1 else 1 << 4 * width):
            raise Bad(f"byte {self.pos}: not in its shortest form")
        return major, n

    def take(self, n):
        if n > len(self.data) - self.pos:
            raise Bad("ends too early")
        self.pos += n
        return self.data[self.pos - n : self.pos]


def within(n, lo, hi):
    if not lo <= n <= hi:
        raise Bad(f"{n} is out of range, want {lo} to {hi}")
    return n


TOP = 2**63 - 1
# What no text holds: controls, what is not seen or orders text anew, what is no character.
UNSEEN = [(0, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
          (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFDD0, 0xFDEF), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
          (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)]


def integer(lo=0, hi=TOP):
    def read(i, _):
        major, n = i.head(0, 1)
        return within(-1 - n if major else n, lo, hi)
    return read


def blob(lo, hi=None):
    return lambda i, _: i.take(within(i.head(2)[1], lo, hi or lo))


def text(lo, hi):
    def read(i, _):
        try:
            s = i.take(within(i.head(3)[1], lo, hi)).decode("utf-8")
        except UnicodeDecodeError:
            raise Bad("text is not UTF-8")
        if any(lo <= ord(c) <= hi for c in s for lo, hi in UNSEEN):
            raise Bad("text holds a control character, or what is not seen")
        return s
    return read


def array(item, lo, hi):
    return lambda i, _: [item(i, None) for _ in range(within(i.head(4)[1], lo, hi))]


def tuple_of(*items):
    def read(i, _):
        within(i.head(4)[1], len(items), len(items))
        return [item(i, None) for item in items]
    return read


def table(fields, optional=()):
    """A map with exactly these keys, those in optional excepted, in ascending order."""
    def read(i, _):
        values, last = {}, -1
        for _ in range(within(i.head(5)[1], 0, len(fields))):
            key = i.head(0)[1]
            if key not in fields or key <= last:
                raise Bad(f"key {key} is unknown, stands twice or out of order")
            values[key], last = fields[key](i, values), key
        missing = [k for k in fields if k not in values and k not in optional]
        if missing:
            raise Bad(f"key {missing[0]} is missing")
        return values
    return read


def decode(data, reader):
    i = Input(data)
    values = reader(i, None)
    if i.pos != len(data):
        raise Bad("bytes after the end")
    return values


# ---- the format: docs/evidence.cddl in Python ------------------------------------------------------------
HASH, ID, LABEL, WORDS, COUNT, SPEED = blob(32), blob(16), text(1, 64), text(1, 256), integer(), integer(0, 99999)
SECONDS, MICROS, SAID, MEASURED = integer(0, 253402300799), integer(0, 253402300799 * 10**6), text(0, 1024), (1, 99)
FRAME_MAX, TRACE_MAX, STATEMENT_MAX = 16 << 20, 64 << 20, 14 << 10
CODE = text(1, 32)
ACT = table({1: LABEL, 2: CODE, 3: CODE, 4: WORDS, 5: WORDS, 6: WORDS, 7: HASH, 8: HASH, 9: CODE, 10: HASH, 11: integer(1),
             12: blob(1, 12 << 10), 13: LABEL}, optional=(4, 5, 6, 7, 8, 10, 11, 12, 13))
ACTS = (5, 6, 10, 11, 12)  # kinds whose body may tell of an act
BODIES = {2: [COUNT] * 4, 3: [SAID, integer(0, 1), SAID], 4: [integer(-TOP - 1), SAID], 5: [blob(1, STATEMENT_MAX), SAID],
          6: [blob(1, STATEMENT_MAX), SAID], 7: [HASH], 8: [COUNT, COUNT], 9: [SAID, SAID], 10: [SAID], 11: [SAID],
          12: [integer(0, 1), SAID], 99: [SAID]}
KINDS = ["", "violation", "heartbeat", "boot", "clock step", "calibration", "configuration", "key change", "eviction",
         "tamper", "operator", "shutdown", "self-test"]
DIRECTIONS = ["unknown", "approaching", "receding"]
STATEMENT = {1: text(0, 64), 2: COUNT, 3: HASH}
CONTACTS = table({1: array(integer(-(10**6), 10**6), 2, 3), 2: array(array(COUNT, 2, 16), 2, 3)})
SECOND = table({1: integer(1, 2), 2: SPEED, 3: SPEED, 4: CONTACTS}, optional=(4,))
RECORD = table({
    1: integer(1, 1), 2: integer(1, 99), 3: ID, 4: integer(1), 5: integer(1), 6: HASH, 7: HASH, 8: ID, 9: COUNT, 10: MICROS,
    11: table({1: LABEL, 2: integer(0, 1), 3: integer(-TOP - 1), 4: COUNT, 5: COUNT}),
    12: tuple_of(COUNT, COUNT),
    13: table({1: LABEL, 2: WORDS, 3: integer(0, 2**32 - 1), 4: integer(-900000000, 900000000),
               5: integer(-1800000000, 1800000000), 6: integer(0, 359), 7: integer(0, 255)}),
    14: table({1: SPEED, 2: SPEED, 3: SPEED, 4: SPEED, 5: SPEED, 6: LABEL, 7: integer(0, 2), 8: integer(0, 255), 9: SPEED,
               10: tuple_of(*[SPEED] * 5), 11: integer(0, 65535), 12: integer(0, 0), 13: COUNT, 14: COUNT, 15: COUNT,
               16: SECOND}, optional=(16,)),
    15: array(table({1: LABEL, 2: LABEL, 3: HASH, 4: integer(1, FRAME_MAX), 5: COUNT, 6: COUNT, 7: integer(0, 60000000),
                     8: integer(1, 4294967295), 10: integer(1)}, optional=(8, 10)), 2, 5),
    16: table({1: HASH, 2: integer(1, TRACE_MAX), 3: LABEL, 4: WORDS, 5: text(0, 256), 6: HASH, 7: COUNT, 8: COUNT, 9: COUNT}),
    17: table({**STATEMENT, 4: SECONDS, 5: text(0, 256), 6: text(0, 256)}),
    18: table(STATEMENT), 19: table({1: WORDS, 2: HASH, 3: HASH}), 20: table({1: HASH, 2: LABEL}),
    21: lambda i, r: table({**dict(enumerate(BODIES.get(r[2], []), 1)), **({9: ACT} if r[2] in ACTS else {})}, optional=(9,))(i, None),
}, optional=(13, 14, 15, 16, 17, 21))
RECEIPT = table({1: integer(1, 1), 2: ID, 3: array(tuple_of(integer(1), integer(1), HASH, COUNT), 1, 1000), 4: integer(1),
                 5: HASH, 6: MICROS})
REGISTER = table({1: integer(1, 1), 2: integer(1), 3: SECONDS, 4: array(table({
    1: integer(1, 3), 2: ID, 3: COUNT, 4: blob(91), 5: HASH, 6: SECONDS, 7: SECONDS, 8: SECONDS}, optional=(8,)), 0, 60000)})
PROOF = table({1: integer(1, 1), 2: COUNT, 3: integer(1), 4: array(HASH, 0, 63)})


def require(good, words):
    if not good:
        raise Bad(words)


ROLES = ["before", "photo", "after"]


def check_record(r):
    kind, measured = r[2], r[2] in MEASURED
    require(kind == 1 or kind in BODIES, "no such kind of record")
    for key in (13, 14, 15, 16, 17):
        require(key in r or not measured, f"key {key} is missing")
        require(key not in r or measured or key in (13, 17), f"key {key} does not fit the kind")
    require((21 in r) == (kind in BODIES), "body missing, or in a violation")
    act = r.get(21, {}).get(9) if kind in ACTS else None
    if act:
        require(all(re.fullmatch("[a-z_]+", act[k]) for k in (2, 3, 9)), "a code of the act is none")
        require((10 in act) == (11 in act), "signer and number of the act belong together")
        require((12 in act) == (13 in act), "answer and media of the act belong together")
    require((r[5] == 1) == (r[6] == bytes(32)), "prev is zero in the first record of an epoch and in no other")
    require(r[12][0] or not r[12][1], "counter without class")
    require(r[20][2] in ("file", "tpm2", "se"), "no such class of key")
    require(r[18][1] or not measured, "configuration without id")
    require(17 not in r or r[17][1], "calibration without id")
    roles = [f[1] for f in r.get(15, [])]
    require(set(roles) <= set(ROLES), "roles of the frames")
    require(not roles or roles == sorted(roles, key=ROLES.index) and roles.count("photo") == 1, "roles of the frames")
    require(all(re.fullmatch("image/jpeg(;source=(yuyv|uyvy|grey))?", f[2]) for f in r.get(15, [])), "media type of a frame")
    second = r.get(14, {}).get(16)
    require(not second or (second[1] == 1) == (4 in second), "what the contacts saw is missing, or there were none")
    if second and 4 in second:
        positions, marks = second[4][1], second[4][2]
        require(len(marks) == len(positions) and len({len(at) for at in marks}) == 1, "the contacts have different numbers of marks")
        require(all(a < b for a, b in zip(positions, positions[1:])), "the nearest contact does not come first")


def check_receipt(r):
    places = [e[:2] for e in r[3]]
    require(all(a < b for a, b in zip(places, places[1:])), "entries out of order")
    require(all(e[3] < r[4] for e in r[3]), "entry beyond the end of the log")


def check_register(r):
    order = [(e[1], e[2], e[3], e[4] if e[1] != 1 else b"") for e in r[4]]
    require(all(a < b for a, b in zip(order, order[1:])), "keys not in ascending order")
    require(len({e[4] for e in r[4]}) == len(r[4]), "a key stands twice")
    for e in r[4]:
        require((e[1] != 1) == (e[3] == 0) == (e[2] == bytes(16)) and e[6] <= e[7], "an entry contradicts itself")
        parse_key(e[4])


class Message:
    """A COSE_Sign1 of the one shape that the format has."""
    def __init__(self, data, name, limit, reader, check):
        content_type = f"application/vnd.ciglio.{name}.v1+cbor".encode()
        header = b"\xa3\x01\x26\x03\x78" + bytes([len(content_type)]) + content_type + b"\x04\x58\x20"
        require(len(data) <= limit, "too large")
        i = Input(data)
        require(i.take(2) == b"\xd2\x84", "not a COSE_Sign1 with tag 18")
        protected = i.take(i.head(2)[1])
        require(len(protected) == len(header) + 32 and protected.startswith(header), "protected header")
        require(i.take(1) == b"\xa0", "unprotected header")
        payload = i.take(i.head(2)[1])
        self.sig = i.take(within(i.head(2)[1], 64, 64))
        require(i.pos == len(data), "bytes after the end")
        require(int.from_bytes(self.sig[32:], "big") <= N // 2, "signature is not in its low-s form")
        self.kid = protected[len(header):]
        size = len(payload)
        length = bytes([0x40 + size]) if size < 24 else b"\x58" + bytes([size]) if size < 256 else \
            b"\x59" + size.to_bytes(2, "big") if size < 65536 else b"\x5a" + size.to_bytes(4, "big")
        self.tbs = b"\x84\x6aSignature1\x58" + bytes([len(protected)]) + protected + b"\x40" + length + payload
        self.values = decode(payload, reader)
        check(self.values)

    def signed_by(self, spki):
        return self.kid == sha256(spki) and signature_good(spki, self.tbs, self.sig)


def open_record(data):
    return Message(data, "record", 16 << 10, RECORD, check_record)


class Trust:
    def __init__(self, data):
        data = data.replace(b"\r\n", b"\n")
        blocks = re.findall(rb"-----BEGIN ([A-Z ]+)-----\n([A-Za-z0-9+/=\n]*)-----END", data)
        require([b[0] for b in blocks] == [b"CIGLIO ROOT KEY", b"CIGLIO DEVICE REGISTER"], "not a root key and a register")
        try:
            root, register = [base64.b64decode(b[1].replace(b"\n", b""), validate=True) for b in blocks]
        except ValueError:
            raise Bad("not plain PEM")
        plain = b""
        for (name, _), der in zip(blocks, (root, register)):
            lines = base64.b64encode(der)
            plain += b"-----BEGIN %s-----\n" % name
            plain += b"".join(lines[k : k + 64] + b"\n" for k in range(0, len(lines), 64)) + b"-----END %s-----\n" % name
        require(plain == data, "more than one root key and one register, or not plain PEM")
        parse_key(root)
        message = Message(register, "register", 16 << 20, REGISTER, check_register)
        require(message.signed_by(root), "the root has not signed the register")
        self.root, self.register = sha256(root), message.values
        self.keys = {sha256(e[4]): e for e in self.register[4]}
        require(self.root not in self.keys, "the register names the root's own key, which seals registers and nothing else")

    def key(self, prefix, kid, role, at_us, device=bytes(16), epoch=0):
        e = self.keys.get(kid)
        doubt(e, prefix + "unknown", key=kid)
        doubt((e[1], e[2], e[3]) == (role, device, epoch), prefix + "foreign", key=kid)
        doubt(e[6] <= at_us // 10**6 <= e[7], prefix + "not_valid", from_=e[6] * 10**6, to=e[7] * 10**6, at=at_us)
        doubt(8 not in e or at_us // 10**6 < e[8], prefix + "revoked", from_=e.get(8, 0) * 10**6)
        return e


# ---- bundles ---------------------------------------------------------------------------------------------
PLACES = {"record.cose": (0, 16 << 10), "device.crt": (7, 16 << 10), "calibration.txt": (8, STATEMENT_MAX),
          "configuration.txt": (9, STATEMENT_MAX), "receipt.cose": (10, 60 << 10), "log.cbor": (11, 4 << 10),
          "verify.html": (12, 1 << 20)}
PLACES.update({f"frames/{n}-{role}.jpg": (n, FRAME_MAX) for n in range(1, 6) for role in ("before", "photo", "after")})
PLACES.update({f"trace.{end}": (6, TRACE_MAX) for end in ("wav", "csv", "jsonl", "bin")})
BUNDLE_MAX = 5 * FRAME_MAX + TRACE_MAX + (2 << 20)
ENDS = {"audio/wav": "wav", "text/csv": "csv", "application/jsonl": "jsonl"}


class Archive:
    """What a bundle's files lay in: changed says in what it is not the original archive. Nothing of it is evidence."""
    def __init__(self, changed="", foreign=()):
        self.changed, self.foreign = changed, sorted(foreign)


def read_bundle(data):
    """Returns the files of a bundle's zip, and what it is: as it was written, or packed anew by another program."""
    require(len(data) <= BUNDLE_MAX, "too large")
    try:
        files, archive = read_original(data), Archive()
    except Bad:
        files, foreign = read_packed(data)
        archive = Archive("packed anew", foreign)
    return fitting(files), archive


def read_original(data):
    """Reads the one spelling of a bundle's zip: known names in order, stored, dated 1980, nothing between."""
    files, directory, pos, last = {}, b"", 0, -1
    while data[pos : pos + 4] == b"PK\x03\x04":
        crc, size = data[pos + 14 : pos + 18], data[pos + 22 : pos + 26]
        name = data[pos + 30 : pos + 30 + min(int.from_bytes(data[pos + 26 : pos + 28], "little"), 64)]
        common = b"\x14\0\0\0\0\0\0\0\x21\0" + crc + size + size + len(name).to_bytes(2, "little") + b"\0\0"
        require(data[pos : pos + 30 + len(name)] == b"PK\x03\x04" + common + name, "compressed, or not written as a bundle is")
        name, length = name.decode("latin-1"), int.from_bytes(size, "little")
        place, limit = PLACES.get(name, (-1, 0))
        require(place > last, f"{name!r}: not a file of a bundle, twice or out of order")
        require(1 <= length <= limit, f"{name}: {length} bytes")
        directory += b"PK\x01\x02\x14\0" + common + bytes(10) + pos.to_bytes(4, "little") + name.encode("latin-1")
        pos += 30 + len(name)
        files[name], pos, last = data[pos : pos + length], pos + length, place
        require(zlib.crc32(files[name]).to_bytes(4, "little") == crc, f"{name}: damaged")
    count = len(files).to_bytes(2, "little")
    directory += b"PK\x05\x06\0\0\0\0" + count + count + len(directory).to_bytes(4, "little") + pos.to_bytes(4, "little") + b"\0\0"
    require(data[pos:] == directory, "the directory of the zip is not the one of its files")
    return files


def plain_name(raw):
    """A name with slashes between folders: some packers of Windows write backslashes, which no name of a bundle has."""
    try:
        return raw.decode("utf-8").replace("\\", "/")
    except UnicodeDecodeError:
        return raw.decode("latin-1").replace("\\", "/")


def seen(name):
    """What every verifier shows of a name: its first 80 characters, what is not seen as a question mark."""
    return "".join("?" if any(lo <= ord(c) <= hi for lo, hi in UNSEEN) else c for c in name[:80])


def read_packed(data):
    """Reads an archive that another program packed, by its directory: the files of a bundle, and the names of all others."""
    def word(at, width):
        return int.from_bytes(data[at : at + width], "little")
    ends = (at for at in range(len(data) - 22, max(len(data) - 22 - 0xFFFF, 0) - 1, -1)
            if data[at : at + 4] == b"PK\5\6" and word(at + 20, 2) == len(data) - at - 22)
    end = next(ends, None)
    require(end is not None, "there is no directory at the end of the zip: it was cut off, or something follows it")
    count, length, start = word(end + 10, 2), word(end + 12, 4), word(end + 16, 4)
    require(not any(data[end + 4 : end + 8]) and word(end + 8, 2) == count, "a zip in several parts")
    require(count <= 1000 and length <= 4 << 20, "too many files in the zip")
    require(start + length == end, "the directory of the zip does not lie where its end says")
    entries, at = [], start
    for _ in range(count):
        name_size, more = word(at + 28, 2), word(at + 30, 2) + word(at + 32, 2)
        require(data[at : at + 4] == b"PK\1\2" and at + 46 + name_size + more <= end, "the directory of the zip is damaged")
        name = data[at + 46 : at + 46 + name_size]
        entry = {"name": plain_name(name), "flags": word(at + 8, 2), "method": word(at + 10, 2), "crc": word(at + 16, 4),
                 "size": word(at + 20, 4), "full": word(at + 24, 4), "offset": word(at + 42, 4)}
        sizes, local = data[at + 16 : at + 28], entry["offset"]
        require(data[local : local + 4] == b"PK\3\4", f"{entry['name']!r}: the data is not where the directory says")
        same = word(local + 26, 2) == name_size and data[local + 30 : local + 30 + name_size] == name
        same = same and word(local + 6, 2) == entry["flags"] and word(local + 8, 2) == entry["method"]
        behind = entry["flags"] & 8 and not any(data[local + 14 : local + 26])
        require(same and (behind or data[local + 14 : local + 26] == sizes), f"{entry['name']!r}: the directory and the data say different things of it")
        entry["data"] = local + 30 + name_size + word(local + 28, 2)
        require(entry["data"] + entry["size"] <= start, f"{entry['name']!r}: ends too early")
        entries.append(entry)
        at += 46 + name_size + more
    require(at == end, "the directory of the zip is damaged")
    folders = {e["name"][: -len("record.cose")] for e in entries if ("/" + e["name"]).endswith("/record.cose")}
    folders = [f for f in folders if f.count("/") == min(other.count("/") for other in folders)]
    require(len(folders) <= 1, f"record.cose stands in {len(folders)} folders: unpack the archive, and check the folder")
    prefix = folders[0] if folders else ""
    files, foreign, taken = {}, [], set()
    for e in entries:
        name = e["name"][len(prefix):] if e["name"].startswith(prefix) else ""
        if e["name"].endswith("/"):
            continue
        if name not in PLACES:
            foreign.append(e["name"])
            continue
        place, limit = PLACES[name]
        require(place not in taken, f"{name}: stands twice, or another file stands in its place")
        require(not e["flags"] & ~0x080E and e["method"] in (0, 8), f"{name}: encrypted, or packed in a way that is not known here")
        require(1 <= e["full"] <= limit and e["size"] <= limit + (64 << 10), f"{name}: {e['full']} bytes")
        packed = data[e["data"] : e["data"] + e["size"]]
        if e["method"] == 8:
            unpack = zlib.decompressobj(-15)
            try:
                packed = unpack.decompress(packed, e["full"] + 1)
            except zlib.error:
                packed = b""
            require(unpack.eof and not unpack.unused_data, f"{name}: damaged: it does not unpack")
        require(len(packed) == e["full"] and zlib.crc32(packed) == e["crc"], f"{name}: damaged")
        taken.add(place)
        files[name] = packed
    entries.sort(key=lambda e: e["offset"])
    require(all(a["data"] + a["size"] <= b["offset"] for a, b in zip(entries, entries[1:])), "two files of the zip overlap")
    return files, foreign


KINDS_OF_FILE = [(stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
                 (stat.S_ISBLK, "a device"), (stat.S_ISCHR, "a device")]


def read_file(path, limit, follow=False):
    """Reads a plain file of 1 to limit bytes. Nothing else is opened: a pipe would never end."""
    mode = (os.stat if follow else os.lstat)(path).st_mode
    kind = next((name for test, name in KINDS_OF_FILE if test(mode)), "of no known kind")
    require(stat.S_ISREG(mode), f"not a plain file: {kind}")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as f:
        data = f.read(limit + 1)
    require(1 <= len(data) <= limit, f"{'more than ' + str(limit) if data else 0} bytes")
    return data


def read_folder(path):
    """Returns the files of a bundle that lie in a folder. What is not one of its names is told and not opened."""
    names = sorted(os.listdir(path))
    if "frames" in names and stat.S_ISDIR(os.lstat(os.path.join(path, "frames")).st_mode):
        names.remove("frames")
        names += ["frames/" + name for name in sorted(os.listdir(os.path.join(path, "frames")))]
    folders = {name for name in names if stat.S_ISDIR(os.lstat(os.path.join(path, *name.split("/"))).st_mode)}
    files, taken = {}, set()
    for name in names:
        if name in PLACES:
            place, limit = PLACES[name]
            require(place not in taken, f"{name}: another file stands in its place")
            taken.add(place)
            try:
                files[name] = read_file(os.path.join(path, *name.split("/")), limit)
            except Bad as e:
                raise Bad(f"{name}: {e}")
    return fitting(files), Archive("a folder", [name + "/" * (name in folders) for name in names if name not in PLACES])


def fitting(files):
    """Checks that the files have the names that the record gives them."""
    require("record.cose" in files, "record.cose is missing")
    try:
        r = open_record(files["record.cose"]).values
    except Bad:
        return files
    for name in files:
        n = int(name[7]) if name.startswith("frames/") else 0
        require(not 0 < n <= len(r.get(15, [])) or name == f"frames/{n}-{r[15][n - 1][1]}.jpg", f"{name}: the record names it otherwise")
        require(not name.startswith("trace.") or 16 not in r or name == "trace." + ENDS.get(r[16][3], "bin"),
                f"{name}: the record names it otherwise")
    return files


# ---- what fits together: the rows of docs/evidence.md, in their order -------------------------------------
# The law in numbers, as in rules.json: id, first day, last day or None, least reduction, per cent.
RULES = [("it-345-2", "1993-01-01", None, 500, 5)]
LEAST, MOST, STEP = 500, 15000, 500  # the speed limits that there are
SEPARATING = ("AGD3", "iSYS-400", "simulated targets")  # sensors that tell vehicles apart
S, MS = 10**9, 10**6  # ns
INSTANT = "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})"


def site_time(us):
    """Local time at the site and its name: central European, by directive 2000/84/EC."""
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)

    def change(month):
        last = datetime.datetime(t.year, month, 31, 1)
        return last - datetime.timedelta(days=last.isoweekday() % 7)
    summer = change(3) <= t < change(10)
    try:
        return t + datetime.timedelta(hours=1 + summer), "CEST" if summer else "CET"
    except OverflowError:  # the last hours of the year 9999
        return t, "UTC"


def read_settings(statement):
    """The quoted values and instants of a statement, by section and key. The first of two counts."""
    found, section = {}, ""
    for line in statement.decode("utf-8", "replace").removeprefix("\ufeff").split("\n"):
        line = line[:-1] if line.endswith("\r") else line
        head = re.fullmatch(r"[ \t]*\[([a-z_]+)\][ \t]*(?:#.*)?", line)
        value = re.fullmatch(r'[ \t]*([a-z_]+)[ \t]*=[ \t]*"([^"\\]*)"[ \t]*(?:#.*)?', line)
        value = value or re.fullmatch(rf"[ \t]*([a-z_]+)[ \t]*=[ \t]*({INSTANT})[ \t]*(?:#.*)?", line)
        if head:
            section = head[1]
        elif value and value[2]:
            found.setdefault(section + "." + value[1], value[2])
    return found


def stated_speed(settings, key):
    m = re.fullmatch(r"([0-9]{1,4})(?:\.([0-9]{1,2}))? ?km/h", settings.get(key, ""))
    return m and int(m[1] + ((m[2] or "") + "00")[:2])


def stated_ns(settings, key):
    m = re.fullmatch(r"([0-9]{1,6})(us|\u00b5s|ms|s)", settings.get(key, ""))
    return m and int(m[1]) * {"us": 1000, "\u00b5s": 1000, "ms": MS, "s": S}[m[2]]


def stated_instant(settings, key):
    """Seconds since 1970 of a date and time with its zone."""
    m = re.fullmatch(INSTANT, settings.get(key, ""))
    try:
        t = m and datetime.datetime.strptime(m[1], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    if not t or m[2] != "Z" and (int(m[2][1:3]) > 23 or int(m[2][4:]) > 59):
        return None
    ahead = 0 if m[2] == "Z" else int(m[2][0] + "1") * (int(m[2][1:3]) * 3600 + int(m[2][4:]) * 60)
    return (t - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1) - ahead


def fits_calibration(r, stated):
    """Compares a record of a measurement with what its calibration statement states."""
    recorded = [(".id", "id", r[17][1]), (".sensor_serial", "sensor", r[16][5]), ("approval.words", "approval", r[17][5]), ("decree.words", "decree", r[17][6])]
    for key, what, got in recorded:
        doubt(stated.get(key, got) == got, "calibration." + what, stated=stated.get(key), recorded=got)
    for section in ("", "approval", "decree", "register"):
        since, to = stated_instant(stated, section + (".from" if section else ".not_before")), stated_instant(stated, section + ".to")
        what = section or "calibration"
        doubt(since is None or r[10] >= since * 10**6, "calibration.not_yet", what=what, from_=since and since * 10**6)
        doubt(to is None or r[10] <= to * 10**6, "calibration.over", what=what, to=to and to * 10**6)
    end, most = stated_instant(stated, ".not_after"), stated_speed(stated, ".uncertainty")
    doubt(end is None or end == r[17][4], "calibration.until", stated=end and end * 10**6, recorded=r[17][4] * 10**6)
    doubt(most is None or r[14][9] <= most, "calibration.uncertainty", most=most, u=r[14][9])


def fits_measurement(r):
    m = r[14]
    speed, indicated, reduction, assessed, limit = (m[k] for k in range(1, 6))
    doubt(indicated == speed - speed % 100, "measurement.indicated", speed=speed, indicated=indicated)
    doubt(assessed == max(indicated - reduction, 0), "measurement.assessed", indicated=indicated, reduction=reduction, assessed=assessed)
    doubt(assessed > limit or r[2] != 1, "measurement.violation", assessed=assessed, limit=limit)
    second = m.get(16)
    doubt(not second or second[3] <= max(1000, speed * 20 // 100), "measurement.second_tolerance")
    if second:
        doubt(second[2] > 0, "measurement.second_none")
        doubt(abs(second[2] - speed) <= second[3], "measurement.second_speed", second=second[2], speed=speed, tolerance=second[3])
    if second and 4 in second:
        positions, marks = second[4][1], second[4][2]
        toward, times = marks[0][0] > marks[-1][0], []
        for leg in zip(*(reversed(marks) if toward else marks)):
            doubt(all(a < b for a, b in zip(leg, leg[1:])), "measurement.contacts_way")
            times.append(leg[-1] - leg[0])
            doubt(times[-1] <= 60 * S, "measurement.contacts_long", most=60 * S)
        saw = 1 if toward else 2
        doubt(m[7] == saw, "measurement.contacts_direction", seen=DIRECTIONS[saw], direction=DIRECTIONS[m[7]])
        gives = min((positions[-1] - positions[0]) * len(times) * 360 * 10**6 // sum(times), 2**31 - 1)
        doubt(gives == second[2], "measurement.contacts_speed", seen=gives, second=second[2])
    doubt(speed <= 35000, "measurement.possible", speed=speed, most=35000)


def fits_times(r):
    m, t, frames = r[14], r[16], r[15]
    start, end, photo, near = m[13], m[14], m[15], 10 * S
    doubt(start < end, "times.track")
    doubt(m[1] == 0 or end - start <= 1000 * 360 * S // m[1], "times.way", speed=m[1], metres=1000)
    doubt(t[8] <= t[9] and 0 < t[7] <= t[2], "times.trace")
    doubt(t[8] <= end and t[9] >= start, "times.trace_and_track")
    doubt(start - near <= photo <= end + near, "times.photo", near=near)
    doubt(abs(r[9] - end) <= 60 * S, "times.clocks", near=60 * S)
    doubt(r[10] <= r[17][4] * 10**6, "times.calibration", calibration=r[17][1], until=r[17][4] * 10**6)
    marks = [at for contact in m.get(16, {}).get(4, {2: []})[2] for at in contact]
    doubt(all(start - near <= at <= end + near for at in marks), "times.marks", near=near)
    for n, (a, b) in enumerate(zip(frames, frames[1:]), 2):
        doubt(a[6] < b[6] and b[6] - a[6] >= a[7] * 1000, "times.pictures_in_order", n=n, before=n - 1)
    for n, f in enumerate(frames, 1):
        most = S // 4 if f[1] == "photo" else 2 * S
        doubt(abs(f[6] - photo) <= most, "times.pictures", n=n, near=most)
    for n, f in enumerate(frames, 1):
        doubt(f[7] <= 250000, "times.exposure", n=n, most=250 * MS)
    fits_strobe("times.strobe", frames, 50 * MS)
    for n, (a, b) in enumerate(zip(frames, frames[1:]), 2):
        doubt((10 in a) == (10 in b), "times.strobe_of_some")
        doubt(10 not in b or a[10] < b[10], "times.strobe_of_each", n=n, before=n - 1)


def fits_strobe(code, frames, bound):
    """Checks that the strobe's return of each picture that has one lies within its exposure, as far as the bound allows."""
    for n, f in enumerate(frames, 1):
        doubt(10 not in f or f[6] - bound <= f[10] <= f[6] + f[7] * 1000 + bound, code, n=n, bound=bound)


def fits_clock(r):
    synchronised, offset, u, age = (r[11][k] for k in range(2, 6))
    doubt(r[2] != 1 or r[11][1] != "simulated", "clock.simulated")
    doubt(synchronised or age, "clock.synchronised")
    doubt(u, "clock.uncertainty")
    doubt(abs(offset) + 2 * u <= 100 * MS, "clock.bound", bound=100 * MS)
    doubt(synchronised or u >= age // 10000, "clock.holdover", age=age)


def fits_counter(r):
    frames = r[15]
    time, count = frames[-1][6] - frames[0][6], frames[-1][5] - frames[0][5]
    for n, (a, b) in enumerate(zip(frames, frames[1:]), 2):
        counted, apart = b[5] - a[5], b[6] - a[6]
        doubt(counted > 0, "counter.back", from_=n - 1, to=n)
        if apart <= 0 or time <= 0 or time > 3600 * S:
            continue
        doubt(count <= 2**31 - 1 and counted <= 250 * apart // S + 1, "counter.fast", from_=n - 1, to=n, counted=counted)
        even = count * apart // time
        doubt(even - even // 2 - 2 <= counted <= even + even // 2 + 2, "counter.uneven", from_=n - 1, to=n, counted=counted, even=even)


def fits_direction(r):
    doubt(r[14][7], "direction.unknown")


def fits_targets(r):
    doubt(not r[14][11] or r[16][4].startswith(SEPARATING), "targets.company", n=r[14][11], model=r[16][4])


def fits_rule(r):
    m = r[14]
    for name, first, last, flat, percent in RULES:
        if name == m[6]:
            today, off = site_time(r[10])[0].strftime("%Y-%m-%d"), m[1] // 100 * 100
            takes = max(flat, off // 100 * percent)
            doubt(first <= today and (last is None or today <= last), "rule.in_force", rule=name, on=r[10])
            doubt(m[3] == takes, "rule.reduction", rule=name, takes=takes, off=off, reduction=m[3])
    doubt(LEAST <= m[5] <= MOST and m[5] % STEP == 0, "rule.limit", limit=m[5])


def fits_uncertainty(r):
    m = r[14]
    doubt(m[9], "uncertainty.stated")
    squares = sum(part**2 for part in m[10])
    doubt(m[9] ** 2 >= squares > 0, "uncertainty.parts", u=m[9])
    doubt(2 * m[9] <= m[3], "uncertainty.below_the_reduction", u=m[9], reduction=m[3])


def fits_settings(r, settings):
    m, clock = r[14], r[11]
    limit, most, bound = stated_speed(settings, "site.limit"), stated_speed(settings, "sensor.maximum"), stated_ns(settings, "clock.bound")
    doubt(limit is None or limit == m[5], "settings.limit", stated=limit, limit=m[5])
    doubt(settings.get("site.id", r[13][1]) == r[13][1], "settings.site", site=r[13][1])
    doubt(settings.get("site.direction", "unknown") in ("unknown", DIRECTIONS[m[7]]), "settings.direction", direction=DIRECTIONS[m[7]])
    doubt(most is None or m[1] <= most, "settings.range", speed=m[1], most=most)
    method = settings.get("second.method")
    number = {"none": 0, "contacts": 1, "frames": 2}.get(method)
    doubt(number is None or number == m.get(16, {1: 0})[1], "settings.second", method=method)
    doubt(bound is None or abs(clock[3]) + 2 * clock[4] <= bound, "settings.clock", bound=bound)
    watched, bound = "camera.strobe_return" in settings, stated_ns(settings, "camera.strobe_bound")
    doubt(not watched or all(10 in f for f in r[15]), "settings.strobe_none")
    if bound is not None:
        fits_strobe("settings.strobe", r[15], bound)


def fits_software(r):
    doubt(any(r[19][2]) and any(r[19][3]), "software.named")


# ---- the checks ------------------------------------------------------------------------------------------
PASS, FAIL, OPEN = "pass", "fail", "not checked"


def date(seconds):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment(us):
    local, zone = site_time(us)
    utc = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)
    layout = "%Y-%m-%d %H:%M:%S.%f" if us % 10**6 else "%Y-%m-%d %H:%M:%S"
    return f"{local.strftime(layout)} {zone} ({utc.strftime(layout)} UTC)"


def milliseconds(ns):
    return f"{ns // MS}.{ns // 1000 % 1000:03d} ms"


def kmh(speed):
    return f"{speed // 100}.{speed % 100:02d} km/h"


def found(status, code, **args):
    return status, code, named(args)


def ask(question):
    """Runs one check: a function that returns a status, a code and arguments, or raises Doubt."""
    try:
        return question()
    except Doubt as e:
        return (FAIL, *e.found)


class Checker:
    def __init__(self, files, archive, trust):
        self.files, self.archive, self.trust, self.entry, self.receipted = files, archive, trust, None, None
        self.frames = {int(n[7]): d for n, d in files.items() if n.startswith("frames/")}
        self.raw = next((d for n, d in files.items() if n.startswith("trace.")), None)

    def run(self):
        try:
            self.message = open_record(self.files["record.cose"])
        except Bad as e:
            sealed = self.files["record.cose"][:2] == b"\xd2\x84"  # as every sealed message begins
            rest = [Check(n, True, *found(OPEN, "format.unread")) for n in ("device key", "signature", "kind")]
            return [Check("format", True, *found(FAIL, "format.wrong" if sealed else "format.foreign", detail=str(e)))] + rest + self.around()
        self.r, self.id = self.message.values, sha256(b"ciglio/rec/v1\0", self.message.tbs)
        measured = self.r[2] in MEASURED
        receipt = ask(self.receipt)
        questions = [("device key", True, self.device_key), ("signature", True, self.signature)]
        questions += [("frames", True, self.check_frames)] if measured or self.frames else []
        questions += [("trace", True, self.check_trace)] if measured or self.raw is not None else []
        told = ["reuse", "measurement", "times", "clock", "counter", "direction", "targets", "rule", "uncertainty"]
        questions += [(name, True, getattr(self, name)) for name in told] + [("settings", False, self.settings)] if measured else []
        questions += [("kind", True, self.kind), ("calibration", False, lambda: self.statement("calibration", 17)),
                      ("configuration", False, lambda: self.statement("configuration", 18)),
                      ("device certificate", False, self.certificate), ("software", False, self.software), ("receipt", False, lambda: receipt), ("log", False, self.log)]
        checks = [Check("format", True, *found(PASS, "format.whole", seq=self.r[5], device=self.r[3], id=self.id))]
        for name, mandatory, question in questions:
            checks.append(Check(name, mandatory, *ask(question)))
        return checks + self.around()

    def around(self):
        """Says what the files lay in. Nothing there is evidence, and so nothing there can fail."""
        if not self.archive:
            return []
        how, names = self.archive.changed, [seen(name) for name in self.archive.foreign]
        if not how:
            answer = found(PASS, "archive.original")
        elif not names:
            answer = found(OPEN, "archive.changed", how=how)
        elif len(names) <= 10:
            answer = found(OPEN, "archive.foreign", how=how, names=names)
        else:
            answer = found(OPEN, "archive.foreign_more", how=how, names=names[:10], more=len(names) - 10)
        page = [Check("page", False, *found(OPEN, "page.apart"))] if "verify.html" in self.files else []
        return [Check("archive", False, *answer)] + page

    def device_key(self):
        if not self.trust:
            return found(OPEN, "key.unasked", key=self.message.kid)
        issued = self.trust.register[3]
        if self.message.kid not in self.trust.keys and not any(e[1] == 1 and e[2] == self.r[3] for e in self.trust.keys.values()):
            return found(FAIL, "key.stranger", issued=issued * 10**6, device=self.r[3], key=self.message.kid)
        e = self.trust.key("key.", self.message.kid, 1, self.r[10], self.r[3], self.r[4])
        doubt(8 not in e or self.receipted and self.receipted[6] < e[8] * 10**6, "key.revoked_later", from_=e.get(8, 0) * 10**6)
        end = e[7] + 1  # the last second counts
        if self.receipted:
            doubt(self.receipted[6] < end * 10**6, "key.over_received", to=e[7] * 10**6, received=self.receipted[6])
        else:
            doubt(issued < end, "key.over", to=e[7] * 10**6)
        self.entry = e
        return found(PASS, "key.vouched", from_=e[6] * 10**6, to=e[7] * 10**6, register=self.trust.register[2], issued=issued * 10**6, root=self.trust.root)

    def signature(self):
        if not self.entry:
            return found(OPEN, "signature.unasked")
        doubt(self.message.signed_by(self.entry[4]), "signature.wrong")
        return found(PASS, "signature.good")

    def check_frames(self):
        named_here = self.r.get(15, [])
        if not self.frames:
            return found(OPEN, "frames.absent", n=len(named_here))
        doubt(max(self.frames) <= len(named_here), "frames.too_many", there=max(self.frames), named=len(named_here))
        for n, f in enumerate(named_here, 1):
            data = self.frames.get(n)
            doubt(data is not None, "frames.missing", n=n, role=f[1])
            doubt(len(data) == f[4], "frames.length", n=n, role=f[1], there=len(data), named=f[4])
            doubt(sha256(data) == f[3], "frames.changed", n=n, role=f[1])
        raw = any(";" in f[2] for f in named_here)
        return found(PASS, "frames.same_raw" if raw else "frames.same", n=len(named_here))

    def check_trace(self):
        if self.raw is None:
            return found(OPEN, "trace.absent")
        doubt(16 in self.r, "trace.unnamed")
        t = self.r[16]
        doubt(len(self.raw) == t[2], "trace.length", there=len(self.raw), named=t[2])
        doubt(sha256(self.raw) == t[1], "trace.changed")
        return found(PASS, "trace.same", format=t[3], length=t[2])

    def reuse(self):
        frames = self.r[15]
        for n, f in enumerate(frames, 1):
            for other in range(1, n):
                doubt(frames[other - 1][3] != f[3], "reuse.twice", n=n, other=other)
            doubt(f[3] != self.r[16][1], "reuse.raw", n=n)
        return found(PASS, "reuse.none")

    def measurement(self):
        fits_measurement(self.r)
        speed, indicated, reduction, assessed, limit = (self.r[14][k] for k in range(1, 6))
        return found(PASS, "measurement.more" if assessed > limit else "measurement.not_more",
                     speed=speed, indicated=indicated, reduction=reduction, assessed=assessed, limit=limit)

    def times(self):
        fits_times(self.r)
        return found(PASS, "times.fit", at=self.r[10], calibration=self.r[17][1], until=self.r[17][4] * 10**6)

    def clock(self):
        fits_clock(self.r)
        return found(PASS, "clock.good", source=self.r[11][1], bound=abs(self.r[11][3]) + 2 * self.r[11][4])

    def counter(self):
        fits_counter(self.r)
        return found(PASS, "counter.even", first=self.r[15][0][5], last=self.r[15][-1][5])

    def direction(self):
        fits_direction(self.r)
        return found(PASS, "direction.known", direction=DIRECTIONS[self.r[14][7]])

    def targets(self):
        fits_targets(self.r)
        n = self.r[14][11]
        return found(PASS, "targets.apart", n=n, model=self.r[16][4]) if n else found(PASS, "targets.alone")

    def rule(self):
        m = self.r[14]
        if m[6] not in [rule[0] for rule in RULES]:
            return found(OPEN, "rule.unknown", rule=m[6])
        fits_rule(self.r)
        return found(PASS, "rule.applied", rule=m[6], takes=m[3], off=m[1] // 100 * 100)

    def uncertainty(self):
        fits_uncertainty(self.r)
        return found(PASS, "uncertainty.good", u=self.r[14][9])

    def settings(self):
        data = self.files.get("configuration.txt")
        if data is None or sha256(data) != self.r[18][3]:
            return found(OPEN, "settings.absent")
        fits_settings(self.r, read_settings(data))
        return found(PASS, "settings.fit")

    def software(self):
        if self.r[2] in MEASURED:
            fits_software(self.r)
        return found(OPEN, "software.approval", version=self.r[19][1], core=self.r[19][2])

    def kind(self):
        if self.r[2] == 99:
            return found(PASS, "kind.test", why=self.r[21][1].removesuffix("."))
        if self.r[2] == 1:
            return found(PASS, "kind.violation")
        return found(PASS, "kind.other", kind=KINDS[self.r[2]])

    def statement(self, name, key):
        data = self.files.get(name + ".txt")
        if data is None:
            return found(OPEN, name + ".absent")
        doubt(key in self.r, name + ".unnamed")
        doubt(sha256(data) == self.r[key][3], name + ".changed")
        if key == 17 and self.r[2] in MEASURED:
            fits_calibration(self.r, read_settings(data))
        return found(PASS, name + ".same", id=self.r[key][1], version=self.r[key][2])

    def certificate(self):
        data = self.files.get("device.crt")
        if data is None:
            return found(OPEN, "certificate.absent")
        doubt(sha256(data) == self.r[20][1], "certificate.changed")
        if not self.entry:
            return found(OPEN, "certificate.untrusted")
        doubt(self.entry[5] in (bytes(32), self.r[20][1]), "certificate.unregistered")
        return found(PASS, "certificate.same")

    def receipt(self):
        data = self.files.get("receipt.cose")
        if data is None:
            return found(OPEN, "receipt.absent")
        try:
            message = Message(data, "receipt", 60 << 10, RECEIPT, check_receipt)
        except Bad as e:
            return found(FAIL, "receipt.unreadable", detail=str(e))
        v = message.values
        doubt(v[2] == self.r[3] and [self.r[4], self.r[5], self.id] in [e[:3] for e in v[3]], "receipt.foreign")
        if not self.trust:
            return found(OPEN, "receipt.unasked")
        doubt(message.signed_by(self.trust.key("receipt.key_", message.kid, 2, v[6])[4]), "receipt.changed")
        doubt(v[6] >= self.r[10] - 10**6, "receipt.older", received=v[6], made=self.r[10])
        self.receipted = v
        return found(PASS, "receipt.good", received=v[6])

    def log(self):
        data = self.files.get("log.cbor")
        if data is None:
            return found(OPEN, "log.absent")
        try:
            require(len(data) <= 4 << 10, "the log proof is too large")
            p = decode(data, PROOF)
            require(p[2] < p[3], "the log proof is of a leaf beyond the end")
        except Bad as e:
            return found(FAIL, "log.unreadable", detail=str(e))
        if not self.receipted:
            return found(OPEN, "log.unproven")
        index = next(e[3] for e in self.receipted[3] if e[2] == self.id)
        doubt((p[2], p[3]) == (index, self.receipted[4]), "log.elsewhere")
        doubt(included(p[2], p[3], sha256(b"\0", self.id), p[4], self.receipted[5]), "log.missing", place=p[2] + 1)
        return found(PASS, "log.stands", place=p[2] + 1, size=p[3])


def included(index, size, leaf, path, root):
    """Whether a path leads from a leaf to the root of a tree of that size: RFC 9162, 2.1.3.2."""
    at, last, node = index, size - 1, leaf
    for sibling in path:
        if not last:
            return False
        if at & 1 or at == last:
            node = sha256(b"\1", sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(b"\1", node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def facts(r):
    """What a record says, as every verifier says it: (name, code, arguments) each."""
    m, site, cal, clock, said = r.get(14), r.get(13), r.get(17), r[11], []

    def add(name, code, **args):
        said.append((name, "value." + code, named(args)))

    def words(name, text):
        add(name, "text", text=text) if text.strip() else add(name, "none")
    add("kind", "term", term="test" if r[2] == 99 else KINDS[r[2]])
    add("time", "moment", at=r[10])
    if site:
        lane = {"lane": site[7]} if site[7] else {}
        add("place", "lane" if lane else "place", road=site[2], km=site[3], **lane)
        add("position", "position", latitude=site[4], longitude=site[5])
    if m:
        add("measured", "speed", speed=m[1])
        add("uncertainty", "uncertainty", u=m[9])
        for key, name in enumerate(("indicated", "reduction", "assessed", "limit"), 2):
            add(name, "speed", speed=m[key])
        add("rule", "text", text=m[6])
        add("direction", "term", term=DIRECTIONS[m[7]])
        add("other targets", "number", n=m[11])
        if 16 in m:
            add("second speed", "second", speed=m[16][2], method="contacts" if m[16][1] == 1 else "pictures")
    if clock[2]:
        add("clock", "clock", source=clock[1], u=clock[4])
    else:
        add("clock", "holdover", age=clock[5], source=clock[1], u=clock[4])
    if cal:
        add("calibration", "calibration", id=cal[1], version=cal[2], until=cal[4] * 10**6)
        words("approval", cal[5])
        words("decree", cal[6])
    add("device", "device", device=r[3])
    add("record", "record", seq=r[5], epoch=r[4])
    add("software", "text", text=r[19][1])
    return said


# ---- words: a text of each code and language; its arguments stand as {name:form} --------------------------
TYPES = {"moment": "instant", "day": "instant", "ms": "span", "tenths": "span", "seconds": "span", "km": "metres",
         "latitude": "degrees", "longitude": "degrees"}  # of the forms that are called otherwise


def forms(code):
    """The form of each argument of a code."""
    text = TEXTS["en"].get(code, "")
    return dict(re.findall(r"{(\w+):(\w+)}", text["other"] if isinstance(text, dict) else text))


def typed(code, args):
    """Arguments as JSON has them: an object of type and value each."""
    kinds = {name: TYPES.get(form, form) for name, form in forms(code).items()}
    return {name: {kinds[name]: value.hex() if isinstance(value, bytes) else value} for name, value in args.items()}


def say(language, code, args={}):
    """The sentence of a code in a language."""
    text = TEXTS[language][code]
    if isinstance(text, dict):
        counts = [name for name, form in forms(code).items() if form == "count"]
        text = text["one" if args[counts[0]] == 1 else "other"]
    return re.sub(r"{(\w+):(\w+)}", lambda m: spell(language, m[2], args[m[1]]), text)


def spell(language, form, v):
    """An argument in a language."""
    def point(text):
        return text if language == "en" else text.replace(".", ",", 1)
    if form == "term":
        return TEXTS[language]["term." + v]
    if form == "names":
        return ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in v)
    if form == "count":
        return str(v) if v < 10000 else f"{v:,}".replace(",", "," if language == "en" else ".")
    if form == "speed":
        return point(kmh(v))
    if form == "hash":
        return v.hex()
    if form == "instant":
        return date(v // 10**6)
    if form == "moment":
        return moment(v)
    if form == "day":
        return site_time(v)[0].strftime("%Y-%m-%d")
    if form == "span":
        size, unit = next((u for u in ((S, "s"), (MS, "ms"), (1000, "\u00b5s")) if v % u[0] == 0), (1, "ns"))
        return f"{v // size} {unit}"
    if form == "ms":
        return point(milliseconds(v))
    if form == "tenths":
        return point(f"{(v + 50000) // 1000000}.{(v + 50000) // 100000 % 10} ms")
    if form == "seconds":
        return f"{v // S} s"
    if form == "km":
        return point(f"{v // 1000}.{v % 1000:03d}")
    if form in ("latitude", "longitude"):
        side = ("NS" if form == "latitude" else "EW")[v < 0]
        return point(f"{abs(v) // 10**7}.{abs(v) % 10**7:07d}\u00b0 {side}")
    return str(v)


# The texts, as in words_*.json, from which a test writes these lines.
TEXTS = {
  "it": {
    "archive.changed": "Non è l'archivio originale: {how:term}. Non è segno di falsificazione. La prova è giudicata dai file che la registrazione nomina.",
    "archive.foreign": "Non è l'archivio originale: {how:term}. Non è segno di falsificazione. La prova è giudicata dai file che la registrazione nomina. Non ne fanno parte: {names:names}.",
    "archive.foreign_more": "Non è l'archivio originale: {how:term}. Non è segno di falsificazione. La prova è giudicata dai file che la registrazione nomina. Non ne fanno parte: {names:names}, e altri {more:number}.",
    "archive.original": "Questo è l'archivio come fu scritto.",
    "bundle.unopened": "Non è stato possibile leggerlo: {detail:detail}.",
    "bundle.unreadable": "Il pacchetto non può essere letto: {detail:detail}.",
    "calibration.absent": "La dichiarazione di taratura non è qui.",
    "calibration.approval": "La registrazione non è come vuole la dichiarazione di taratura: la dichiarazione ha l'approvazione {stated:text}, la registrazione {recorded:text}.",
    "calibration.changed": "La dichiarazione di taratura non è quella che la registrazione nomina: la sua impronta è diversa.",
    "calibration.decree": "La registrazione non è come vuole la dichiarazione di taratura: la dichiarazione ha il decreto {stated:text}, la registrazione {recorded:text}.",
    "calibration.id": "La registrazione non è come vuole la dichiarazione di taratura: la dichiarazione ha l'identificativo {stated:text}, la registrazione {recorded:text}.",
    "calibration.not_yet": "La registrazione non è come vuole la dichiarazione di taratura: {what:term}: in vigore solo dal {from:instant}.",
    "calibration.over": "La registrazione non è come vuole la dichiarazione di taratura: {what:term}: in vigore fino al {to:instant}.",
    "calibration.same": "La dichiarazione di taratura è {id:text}, versione {version:number}, come la registrazione la nomina.",
    "calibration.sensor": "La registrazione non è come vuole la dichiarazione di taratura: la dichiarazione ha il sensore {stated:text}, la registrazione {recorded:text}.",
    "calibration.uncertainty": "La registrazione non è come vuole la dichiarazione di taratura: ammette un'incertezza tipo di {most:speed}, la registrazione ha {u:speed}.",
    "calibration.unnamed": "C'è una dichiarazione di taratura, e la registrazione non ne nomina.",
    "calibration.until": "La registrazione non è come vuole la dichiarazione di taratura: la dichiarazione è in vigore fino al {stated:instant}, la registrazione dice {recorded:instant}.",
    "certificate.absent": "Il certificato del dispositivo non è qui.",
    "certificate.changed": "Il certificato non è quello che la registrazione nomina: la sua impronta è diversa.",
    "certificate.same": "Il certificato è quello che la registrazione e il registro nominano.",
    "certificate.unregistered": "Il certificato non è quello che il registro nomina.",
    "certificate.untrusted": "Il certificato è quello che la registrazione nomina, ma la chiave del dispositivo non è fidata.",
    "check.archive": "archivio",
    "check.bundle": "pacchetto",
    "check.calibration": "taratura",
    "check.chain": "catena",
    "check.clock": "orologio",
    "check.configuration": "configurazione",
    "check.counter": "contatore",
    "check.data bar": "barra dei dati",
    "check.derived picture attested": "immagine derivata attestata",
    "check.derived picture remade": "immagine derivata rifatta",
    "check.device certificate": "certificato disp.",
    "check.device key": "chiave dispositivo",
    "check.direction": "direzione",
    "check.format": "formato",
    "check.frames": "fotografie",
    "check.kind": "tipo",
    "check.log": "registro pubblico",
    "check.measurement": "misura",
    "check.page": "pagina",
    "check.receipt": "ricevuta",
    "check.reuse": "riuso",
    "check.rule": "norma",
    "check.settings": "impostazioni",
    "check.signature": "firma",
    "check.software": "programma",
    "check.source in the record": "originale nella registrazione",
    "check.targets": "altri veicoli",
    "check.times": "tempi",
    "check.trace": "dati grezzi",
    "check.trust": "file di fiducia",
    "check.uncertainty": "incertezza",
    "clock.bound": "L'orologio non era abbastanza buono: può sbagliare di più di {bound:span}.",
    "clock.good": "L'orologio ({source:text}) sbagliava di non più di {bound:ms}.",
    "clock.holdover": "L'orologio non era abbastanza buono: è stato sincronizzato {age:span} prima, e la sua incertezza è quella di uno ancora sincronizzato.",
    "clock.simulated": "L'orologio non era abbastanza buono: l'orologio era simulato, e questo non è un test.",
    "clock.synchronised": "L'orologio non era abbastanza buono: non è mai stato sincronizzato.",
    "clock.uncertainty": "L'orologio non era abbastanza buono: la sua incertezza è 0, che nessun orologio ha.",
    "configuration.absent": "La dichiarazione di configurazione non è qui.",
    "configuration.changed": "La dichiarazione di configurazione non è quella che la registrazione nomina: la sua impronta è diversa.",
    "configuration.same": "La dichiarazione di configurazione è {id:text}, versione {version:number}, come la registrazione la nomina.",
    "counter.back": "Il conteggio delle immagini della telecamera contraddice i loro tempi: non sale dalla fotografia {from:number} alla fotografia {to:number}.",
    "counter.even": "La telecamera ha contato le immagini secondo i loro tempi: da {first:number} a {last:number}.",
    "counter.fast": "Il conteggio delle immagini della telecamera contraddice i loro tempi: dalla fotografia {from:number} alla fotografia {to:number} la telecamera ne ha contate {counted:number}, più in fretta di quanto una telecamera possa.",
    "counter.uneven": "Il conteggio delle immagini della telecamera contraddice i loro tempi: dalla fotografia {from:number} alla fotografia {to:number} la telecamera ne ha contate {counted:number}, e {even:number} sarebbero regolari.",
    "direction.known": "Il veicolo era {direction:term}.",
    "direction.unknown": "La direzione non è prova: non si sa in quale verso andasse il veicolo.",
    "fact.approval": "approvazione",
    "fact.assessed": "accertata",
    "fact.calibration": "taratura",
    "fact.clock": "orologio",
    "fact.decree": "decreto",
    "fact.device": "dispositivo",
    "fact.direction": "direzione",
    "fact.indicated": "indicata",
    "fact.kind": "tipo",
    "fact.limit": "limite",
    "fact.measured": "misurata",
    "fact.other targets": "altri veicoli nel fascio",
    "fact.place": "luogo",
    "fact.position": "posizione",
    "fact.record": "registrazione",
    "fact.reduction": "riduzione",
    "fact.rule": "norma",
    "fact.second speed": "seconda velocità",
    "fact.software": "programma",
    "fact.time": "ora",
    "fact.uncertainty": "incertezza",
    "format.fault": "Questo verificatore non può giudicarla: usarne un altro. ({detail:detail})",
    "format.foreign": "Questa non è una registrazione del profilo 1: non comincia né come registrazione sigillata né come zip; è dunque un altro file, o qualcosa la precede: {detail:detail}.",
    "format.unread": "La registrazione non può essere letta.",
    "format.whole": "La registrazione {seq:number} del dispositivo {device:hash} è completa e scritta come vuole il profilo 1. Il suo identificativo è {id:hash}.",
    "format.wrong": "Questa non è una registrazione del profilo 1: {detail:detail}.",
    "frames.absent": {"one":"La fotografia non è qui.","other":"Le {n:count} fotografie non sono qui."},
    "frames.changed": "La fotografia {n:number} ({role:term}) non è il file che la registrazione nomina: la sua impronta è diversa.",
    "frames.length": "La fotografia {n:number} ({role:term}) ha {there:number} byte, la registrazione ne nomina {named:number}.",
    "frames.missing": "La fotografia {n:number} ({role:term}) manca.",
    "frames.same": {"one":"La fotografia è, byte per byte, quella sigillata.","other":"Tutte le {n:count} fotografie sono, byte per byte, quelle sigillate."},
    "frames.same_raw": {"one":"La fotografia è, byte per byte, quella sigillata. Il dispositivo ha compresso immagini grezze della telecamera: la registrazione dice quali.","other":"Tutte le {n:count} fotografie sono, byte per byte, quelle sigillate. Il dispositivo ha compresso immagini grezze della telecamera: la registrazione dice quali."},
    "frames.too_many": "Ci sono {there:number} fotografie, la registrazione ne nomina {named:number}.",
    "key.foreign": "Il registro non garantisce la chiave: appartiene a un altro dispositivo, epoca o ruolo: {key:hash}.",
    "key.not_valid": "Il registro non garantisce la chiave: non è valida in quel momento: valida dal {from:instant} al {to:instant}, richiesta per il {at:instant}.",
    "key.over": "La chiave era valida fino al {to:instant}, prima dell'emissione del registro, e nessuna ricevuta anteriore prova che la registrazione è più vecchia.",
    "key.over_received": "La chiave era valida fino al {to:instant}, il centro ha ricevuto la registrazione il {received:instant}, e nessuna ricevuta anteriore prova che la registrazione è più vecchia.",
    "key.revoked": "Il registro non garantisce la chiave: è revocata dal {from:instant}.",
    "key.revoked_later": "La chiave è revocata dal {from:instant}, e nessuna ricevuta anteriore prova che la registrazione è più vecchia.",
    "key.stranger": "Il file di fiducia è di un'altra autorità, o più vecchio del dispositivo: il suo registro del {issued:instant} non conosce né il dispositivo {device:hash} né la sua chiave: {key:hash}.",
    "key.unasked": "Senza un file di fiducia nulla dice di chi sia la chiave {key:hash}.",
    "key.unknown": "Il registro non garantisce la chiave: la chiave non è nel registro: {key:hash}.",
    "key.unusable": "Il registro non garantisce la chiave: {detail:detail}.",
    "key.vouched": "La chiave appartiene a questo dispositivo, valida dal {from:instant} al {to:instant}: lo dice il registro numero {register:number} del {issued:instant}, firmato dalla radice {root:hash}.",
    "kind.other": "Questa registrazione è del tipo {kind:term}: non misura alcun veicolo e non accusa nessuno.",
    "kind.test": "TEST, non è prova di una violazione: {why:text}.",
    "kind.violation": "Questa registrazione afferma una violazione del limite di velocità.",
    "log.absent": "Non c'è una prova che la registrazione sia nel registro pubblico del centro.",
    "log.elsewhere": "La prova è di un posto del registro pubblico diverso da quello che la ricevuta nomina.",
    "log.missing": "Il registro pubblico non contiene questa registrazione al posto {place:number}.",
    "log.stands": "La registrazione è al posto {place:number} del registro pubblico del centro, di {size:number} registrazioni.",
    "log.unproven": "Senza una ricevuta verificata non c'è una radice del registro pubblico con cui controllare la prova.",
    "log.unreadable": "Questa non è una prova di registro del profilo 1: {detail:detail}.",
    "measurement.assessed": "Le cifre si contraddicono: {indicated:speed} meno {reduction:speed} non è {assessed:speed}.",
    "measurement.contacts_direction": "Le cifre si contraddicono: ciò che ha attraversato i contatti era {seen:term}, il veicolo {direction:term}.",
    "measurement.contacts_long": "Le cifre si contraddicono: ciò che ha attraversato i contatti ha impiegato più di {most:span}.",
    "measurement.contacts_speed": "Le cifre si contraddicono: ciò che i contatti hanno visto dà {seen:speed}, non {second:speed}.",
    "measurement.contacts_way": "Le cifre si contraddicono: ciò che ha attraversato i contatti non è andato in un solo verso.",
    "measurement.indicated": "Le cifre si contraddicono: {speed:speed} troncato a km/h interi non è {indicated:speed}.",
    "measurement.more": "Misurata {speed:speed}, indicata {indicated:speed}. Dedotta la riduzione di {reduction:speed} restano {assessed:speed}, più del limite di {limit:speed}.",
    "measurement.not_more": "Misurata {speed:speed}, indicata {indicated:speed}. Dedotta la riduzione di {reduction:speed} restano {assessed:speed}, non più del limite di {limit:speed}.",
    "measurement.possible": "Le cifre si contraddicono: {speed:speed} è oltre il campo di ogni sensore, che finisce a {most:speed}.",
    "measurement.second_none": "Le cifre si contraddicono: è nominato un secondo sensore, e non ha velocità.",
    "measurement.second_speed": "Le cifre si contraddicono: la seconda velocità di {second:speed} differisce da {speed:speed} di più di {tolerance:speed}.",
    "measurement.second_tolerance": "Le cifre si contraddicono: una seconda velocità che può differire tanto quanto qui non conferma nulla.",
    "measurement.violation": "Le cifre si contraddicono: {assessed:speed} non supera il limite di {limit:speed}, dunque non c'è violazione.",
    "offset.after": "{by:tenths} dopo la posizione di scatto",
    "offset.at": "alla posizione di scatto",
    "offset.before": "{by:tenths} prima della posizione di scatto",
    "page.apart": "verify.html: questa pagina non fa parte di ciò che è stato verificato: prendere la pagina dall'autorità.",
    "receipt.absent": "Non c'è una ricevuta del centro.",
    "receipt.changed": "La ricevuta è stata modificata dopo il sigillo: la firma non corrisponde.",
    "receipt.foreign": "La ricevuta non nomina questa registrazione.",
    "receipt.good": "Il centro ha ricevuto la registrazione con tutti i suoi file, e lo ha dichiarato il {received:instant}.",
    "receipt.key_foreign": "Il registro non garantisce la chiave della ricevuta: appartiene a un altro dispositivo, epoca o ruolo: {key:hash}.",
    "receipt.key_not_valid": "Il registro non garantisce la chiave della ricevuta: non è valida in quel momento: valida dal {from:instant} al {to:instant}, richiesta per il {at:instant}.",
    "receipt.key_revoked": "Il registro non garantisce la chiave della ricevuta: è revocata dal {from:instant}.",
    "receipt.key_unknown": "Il registro non garantisce la chiave della ricevuta: la chiave non è nel registro: {key:hash}.",
    "receipt.older": "La ricevuta è più vecchia della registrazione: è del {received:instant}, la registrazione del {made:instant}. Uno dei due tempi non è vero.",
    "receipt.unasked": "La ricevuta nomina questa registrazione, ma senza un file di fiducia nulla dice di chi sia.",
    "receipt.unreadable": "Questa non è una ricevuta del profilo 1: {detail:detail}.",
    "report.foreign": "né pacchetto né registrazione, non fa parte di ciò che è stato verificato",
    "report.good": "{good:number} su {all:number} sono buone.",
    "report.together": "tutte insieme",
    "report.verdict": "esito: ",
    "reuse.none": "Nessuna fotografia compare due volte nella registrazione. Altre registrazioni con una di esse emergono se verificate insieme.",
    "reuse.picture_also_picture": "La fotografia {n:number} è anche la fotografia {other:number} della registrazione {seq:number}, epoca {epoch:number}, del dispositivo {device:hash} ({where:names}).",
    "reuse.picture_also_raw": "La fotografia {n:number} sono anche i dati grezzi della registrazione {seq:number}, epoca {epoch:number}, del dispositivo {device:hash} ({where:names}).",
    "reuse.raw": "La fotografia {n:number} sono i dati grezzi.",
    "reuse.raw_also_picture": "I dati grezzi sono anche la fotografia {other:number} della registrazione {seq:number}, epoca {epoch:number}, del dispositivo {device:hash} ({where:names}).",
    "reuse.raw_also_raw": "I dati grezzi sono anche i dati grezzi della registrazione {seq:number}, epoca {epoch:number}, del dispositivo {device:hash} ({where:names}).",
    "reuse.twice": "La fotografia {n:number} è di nuovo la fotografia {other:number}.",
    "rule.applied": "La norma {rule:text} era in vigore e toglie {takes:speed} da {off:speed}.",
    "rule.in_force": "La norma non è stata applicata: la norma {rule:text} non era in vigore il {on:day}.",
    "rule.limit": "La norma non è stata applicata: non esiste un limite di {limit:speed}.",
    "rule.reduction": "La norma non è stata applicata: la norma {rule:text} toglie {takes:speed} da {off:speed}, non {reduction:speed}.",
    "rule.table": "La tabella delle norme non può essere letta: {detail:detail}.",
    "rule.unknown": "La tabella di questo programma non conosce la norma {rule:text}.",
    "settings.absent": "La configurazione che la registrazione nomina non è qui.",
    "settings.clock": "La registrazione non è come vuole la configurazione: l'orologio può sbagliare di più dei {bound:span} della configurazione.",
    "settings.direction": "La registrazione non è come vuole la configurazione: la configurazione ha una direzione diversa dalla registrazione: {direction:term}.",
    "settings.fit": "La registrazione si accorda con quanto la configurazione dichiara.",
    "settings.limit": "La registrazione non è come vuole la configurazione: la configurazione ha un limite di {stated:speed}, la registrazione di {limit:speed}.",
    "settings.range": "La registrazione non è come vuole la configurazione: {speed:speed} è oltre il campo del sensore, che finisce a {most:speed}.",
    "settings.second": "La registrazione non è come vuole la configurazione: la configurazione ha la seconda velocità con il metodo {method:text}, la registrazione ne ha un'altra o nessuna.",
    "settings.site": "La registrazione non è come vuole la configurazione: la configurazione è di un sito diverso da {site:text}.",
    "settings.strobe": "La registrazione non è come vuole la configurazione: il ritorno del flash della fotografia {n:number} è oltre {bound:span} fuori dalla sua esposizione.",
    "settings.strobe_none": "La registrazione non è come vuole la configurazione: la configurazione sorveglia il ritorno del flash, e una fotografia non ne ha.",
    "signature.good": "La registrazione è immutata da quando il dispositivo l'ha sigillata.",
    "signature.unasked": "Non c'è una chiave fidata con cui verificarla.",
    "signature.wrong": "La registrazione è stata modificata dopo il sigillo, o è stata sigillata con un'altra chiave: la firma non corrisponde.",
    "software.approval": "La registrazione nomina il programma {version:text} con il nucleo di misura {core:hash}. Se sia quello approvato, lo dice l'approvazione.",
    "software.named": "Nessuno può dire quale programma abbia misurato: la registrazione non dice quale nucleo di misura l'abbia fatta.",
    "status.fail": "FALLITA",
    "status.not checked": "non fatta",
    "status.pass": "superata",
    "targets.alone": "Nessun altro veicolo era nel fascio.",
    "targets.apart": {"one":"Un altro veicolo era nel fascio. Il sensore {model:text} distingue i veicoli.","other":"{n:count} altri veicoli erano nel fascio. Il sensore {model:text} distingue i veicoli."},
    "targets.company": {"one":"La velocità può essere di un altro veicolo: un altro veicolo era nel fascio, e il sensore {model:text} non distingue i veicoli.","other":"La velocità può essere di un altro veicolo: {n:count} altri veicoli erano nel fascio, e il sensore {model:text} non distingue i veicoli."},
    "term.a folder": "una cartella",
    "term.after": "dopo",
    "term.approaching": "in avvicinamento",
    "term.approval": "approvazione",
    "term.before": "prima",
    "term.boot": "avvio",
    "term.calibration": "taratura",
    "term.clock step": "correzione dell'orologio",
    "term.configuration": "configurazione",
    "term.contacts": "contatti",
    "term.decree": "decreto",
    "term.eviction": "cancellazione",
    "term.heartbeat": "segnale di vita",
    "term.key change": "cambio di chiave",
    "term.operator": "intervento",
    "term.packed anew": "impacchettato di nuovo",
    "term.photo": "scatto",
    "term.pictures": "fotografie",
    "term.receding": "in allontanamento",
    "term.register": "registro",
    "term.self-test": "autodiagnosi",
    "term.shutdown": "arresto",
    "term.tamper": "manomissione",
    "term.test": "test",
    "term.unknown": "sconosciuta",
    "term.violation": "violazione",
    "times.calibration": "I tempi si contraddicono: la taratura {calibration:text} era in vigore fino al {until:instant}.",
    "times.clocks": "I tempi si contraddicono: gli orologi sono stati letti a più di {near:span} dalla traccia.",
    "times.exposure": "I tempi si contraddicono: la fotografia {n:number} è stata esposta per più di {most:span}.",
    "times.fit": "È accaduto il {at:moment}. Traccia, fotografie e dati grezzi si accordano, e la taratura {calibration:text} era in vigore fino al {until:instant}.",
    "times.marks": "I tempi si contraddicono: ciò che ha attraversato i contatti lo ha fatto a più di {near:span} dalla traccia.",
    "times.photo": "I tempi si contraddicono: la posizione di scatto dista più di {near:span} dalla traccia.",
    "times.pictures": "I tempi si contraddicono: la fotografia {n:number} è stata scattata a più di {near:span} dalla posizione di scatto.",
    "times.pictures_in_order": "I tempi si contraddicono: la fotografia {n:number} non è stata scattata dopo la fotografia {before:number}.",
    "times.strobe": "I tempi si contraddicono: il ritorno del flash della fotografia {n:number} è oltre {bound:span} fuori dalla sua esposizione.",
    "times.strobe_of_each": "I tempi si contraddicono: il ritorno del flash della fotografia {n:number} non segue quello della fotografia {before:number}.",
    "times.strobe_of_some": "I tempi si contraddicono: alcune fotografie hanno il ritorno del flash, e altre no.",
    "times.trace": "I tempi si contraddicono: i dati grezzi finiscono prima di cominciare, non contengono nulla, o contengono più di quanti byte hanno.",
    "times.trace_and_track": "I tempi si contraddicono: i dati grezzi sono di un tempo diverso dalla traccia.",
    "times.track": "I tempi si contraddicono: la traccia finisce prima di cominciare, o mentre comincia.",
    "times.way": "I tempi si contraddicono: nel tempo della traccia un veicolo a {speed:speed} percorre più di {metres:number} m.",
    "trace.absent": "I dati grezzi del sensore non sono qui.",
    "trace.changed": "I dati grezzi del sensore non sono il file che la registrazione nomina: la loro impronta è diversa.",
    "trace.length": "I dati grezzi del sensore hanno {there:number} byte, la registrazione ne nomina {named:number}.",
    "trace.same": {"one":"I dati grezzi del sensore ({format:text}, {length:count} byte) sono, byte per byte, quelli sigillati. Non contengono valori certificati.","other":"I dati grezzi del sensore ({format:text}, {length:count} byte) sono, byte per byte, quelli sigillati. Non contengono valori certificati."},
    "trace.unnamed": "Ci sono dati grezzi di un sensore, e la registrazione non ne nomina.",
    "trust.unusable": "Il file di fiducia non è utilizzabile: {detail:detail}.",
    "uncertainty.below_the_reduction": "L'incertezza non è quella di una misura: il doppio dell'incertezza tipo di {u:speed} supera la riduzione di {reduction:speed}.",
    "uncertainty.good": "L'incertezza tipo (k = 1) è {u:speed}, e segue dalle sue componenti.",
    "uncertainty.parts": "L'incertezza non è quella di una misura: l'incertezza tipo di {u:speed} è minore di quanto danno le sue componenti, o non ne ha.",
    "uncertainty.stated": "L'incertezza non è quella di una misura: l'incertezza tipo è 0, che nessuna misura ha.",
    "value.calibration": "{id:text}, versione {version:number}, fino al {until:moment}",
    "value.clock": "sincronizzato ({source:text}), incertezza tipo (k = 1) {u:ms}",
    "value.device": "{device:hash}",
    "value.holdover": "senza sincronizzazione da {age:seconds} ({source:text}), incertezza tipo (k = 1) {u:ms}",
    "value.lane": "{road:text}, km {km:km}, corsia {lane:number}",
    "value.moment": "{at:moment}",
    "value.none": "nessuno",
    "value.number": "{n:number}",
    "value.place": "{road:text}, km {km:km}",
    "value.position": "{latitude:latitude}, {longitude:longitude}",
    "value.record": "numero {seq:number} dell'epoca {epoch:number}",
    "value.second": "{speed:speed}, metodo: {method:term}",
    "value.speed": "{speed:speed}",
    "value.term": "{term:term}",
    "value.text": "{text:text}",
    "value.uncertainty": "{u:speed} (incertezza tipo, k = 1)",
    "verdict.bad": "Non fare affidamento su questa prova.",
    "verdict.good": "Questa prova è autentica e completa.",
    "verdict.open": "Non è stato possibile verificare tutto.",
    "verdict.test": "TEST, non è prova di una violazione. La registrazione è autentica."
  },
  "en": {
    "archive.changed": "Not the original archive: {how:term}. That is no sign of forgery. The evidence is judged by the files that the record names.",
    "archive.foreign": "Not the original archive: {how:term}. That is no sign of forgery. The evidence is judged by the files that the record names. Not part of it: {names:names}.",
    "archive.foreign_more": "Not the original archive: {how:term}. That is no sign of forgery. The evidence is judged by the files that the record names. Not part of it: {names:names}, and {more:number} more.",
    "archive.original": "This is the archive as it was written.",
    "bundle.unopened": "It could not be read: {detail:detail}.",
    "bundle.unreadable": "The bundle cannot be read: {detail:detail}.",
    "calibration.absent": "The calibration statement is not here.",
    "calibration.approval": "The record is not as the calibration statement demands: the statement has the approval {stated:text}, the record {recorded:text}.",
    "calibration.changed": "The calibration statement is not the one that the record names: its hash differs.",
    "calibration.decree": "The record is not as the calibration statement demands: the statement has the decree {stated:text}, the record {recorded:text}.",
    "calibration.id": "The record is not as the calibration statement demands: the statement has the id {stated:text}, the record {recorded:text}.",
    "calibration.not_yet": "The record is not as the calibration statement demands: {what:term}: it is in force from {from:instant} only.",
    "calibration.over": "The record is not as the calibration statement demands: {what:term}: it was in force until {to:instant}.",
    "calibration.same": "The calibration statement is {id:text}, version {version:number}, as the record names it.",
    "calibration.sensor": "The record is not as the calibration statement demands: the statement has sensor {stated:text}, the record {recorded:text}.",
    "calibration.uncertainty": "The record is not as the calibration statement demands: it allows a standard uncertainty of {most:speed}, the record has {u:speed}.",
    "calibration.unnamed": "There is a calibration statement, and the record names none.",
    "calibration.until": "The record is not as the calibration statement demands: the statement is in force until {stated:instant}, the record says {recorded:instant}.",
    "certificate.absent": "The device's certificate is not here.",
    "certificate.changed": "The certificate is not the one that the record names: its hash differs.",
    "certificate.same": "The certificate is the one that the record and the register name.",
    "certificate.unregistered": "The certificate is not the one that the register names.",
    "certificate.untrusted": "The certificate is the one that the record names, but the device's key is not trusted.",
    "check.archive": "archive",
    "check.bundle": "bundle",
    "check.calibration": "calibration",
    "check.chain": "chain",
    "check.clock": "clock",
    "check.configuration": "configuration",
    "check.counter": "counter",
    "check.data bar": "data bar",
    "check.derived picture attested": "derived picture attested",
    "check.derived picture remade": "derived picture remade",
    "check.device certificate": "device certificate",
    "check.device key": "device key",
    "check.direction": "direction",
    "check.format": "format",
    "check.frames": "frames",
    "check.kind": "kind",
    "check.log": "log",
    "check.measurement": "measurement",
    "check.page": "page",
    "check.receipt": "receipt",
    "check.reuse": "reuse",
    "check.rule": "rule",
    "check.settings": "settings",
    "check.signature": "signature",
    "check.software": "software",
    "check.source in the record": "source in the record",
    "check.targets": "targets",
    "check.times": "times",
    "check.trace": "trace",
    "check.trust": "trust",
    "check.uncertainty": "uncertainty",
    "clock.bound": "The clock was not good enough: the clock may be off by more than {bound:span}.",
    "clock.good": "The clock ({source:text}) was off by no more than {bound:ms}.",
    "clock.holdover": "The clock was not good enough: the clock was last synchronised {age:span} before, and its uncertainty is that of one that still is.",
    "clock.simulated": "The clock was not good enough: the clock was a simulated one, and this is no test.",
    "clock.synchronised": "The clock was not good enough: the clock was never synchronised.",
    "clock.uncertainty": "The clock was not good enough: the uncertainty of the clock is 0, which no clock has.",
    "configuration.absent": "The configuration statement is not here.",
    "configuration.changed": "The configuration statement is not the one that the record names: its hash differs.",
    "configuration.same": "The configuration statement is {id:text}, version {version:number}, as the record names it.",
    "counter.back": "The camera's count of its pictures contradicts their times: the camera's count does not go up from picture {from:number} to picture {to:number}.",
    "counter.even": "The camera counted its pictures as their times are: from {first:number} to {last:number}.",
    "counter.fast": "The camera's count of its pictures contradicts their times: from picture {from:number} to picture {to:number} the camera counted {counted:number}, faster than a camera is.",
    "counter.uneven": "The camera's count of its pictures contradicts their times: from picture {from:number} to picture {to:number} the camera counted {counted:number}, and {even:number} would be even.",
    "direction.known": "The vehicle was {direction:term}.",
    "direction.unknown": "The direction is no evidence: which way the vehicle went is unknown.",
    "fact.approval": "approval",
    "fact.assessed": "assessed",
    "fact.calibration": "calibration",
    "fact.clock": "clock",
    "fact.decree": "decree",
    "fact.device": "device",
    "fact.direction": "direction",
    "fact.indicated": "indicated",
    "fact.kind": "kind",
    "fact.limit": "limit",
    "fact.measured": "measured",
    "fact.other targets": "other targets",
    "fact.place": "place",
    "fact.position": "position",
    "fact.record": "record",
    "fact.reduction": "reduction",
    "fact.rule": "rule",
    "fact.second speed": "second speed",
    "fact.software": "software",
    "fact.time": "time",
    "fact.uncertainty": "uncertainty",
    "format.fault": "This verifier cannot judge it: ask for another. ({detail:detail})",
    "format.foreign": "This is not a record of profile 1: it begins neither as a sealed record nor as a zip, so it is another file, or something stands before it: {detail:detail}.",
    "format.unread": "The record cannot be read.",
    "format.whole": "Record {seq:number} of device {device:hash} is complete and written as profile 1 demands. Its id is {id:hash}.",
    "format.wrong": "This is not a record of profile 1: {detail:detail}.",
    "frames.absent": {"one":"The picture is not here.","other":"The {n:count} pictures are not here."},
    "frames.changed": "Picture {n:number} ({role:term}) is not the file that the record names: its hash differs.",
    "frames.length": "Picture {n:number} ({role:term}) has {there:number} bytes, the record names {named:number}.",
    "frames.missing": "Picture {n:number} ({role:term}) is missing.",
    "frames.same": {"one":"The picture is, byte for byte, the one that was sealed.","other":"All {n:count} pictures are, byte for byte, those that were sealed."},
    "frames.same_raw": {"one":"The picture is, byte for byte, the one that was sealed. The device compressed raw pictures of the camera: the record says which.","other":"All {n:count} pictures are, byte for byte, those that were sealed. The device compressed raw pictures of the camera: the record says which."},
    "frames.too_many": "There are {there:number} pictures, the record names {named:number}.",
    "key.foreign": "The register does not vouch for the key: the key belongs to another device, epoch or role: {key:hash}.",
    "key.not_valid": "The register does not vouch for the key: the key is not valid at this time: valid from {from:instant} to {to:instant}, asked for {at:instant}.",
    "key.over": "The key was valid to {to:instant}, before the register was issued, and no receipt from before proves that the record is older.",
    "key.over_received": "The key was valid to {to:instant}, the centre received the record on {received:instant}, and no receipt from before proves that the record is older.",
    "key.revoked": "The register does not vouch for the key: the key is revoked from {from:instant} on.",
    "key.revoked_later": "The key is revoked from {from:instant} on, and no receipt from before proves that the record is older.",
    "key.stranger": "The trust file is of another authority, or older than the device: its register of {issued:instant} knows neither device {device:hash} nor its key: the key is not in the register: {key:hash}.",
    "key.unasked": "Without a trust file nothing says whose key {key:hash} is.",
    "key.unknown": "The register does not vouch for the key: the key is not in the register: {key:hash}.",
    "key.unusable": "The register does not vouch for the key: {detail:detail}.",
    "key.vouched": "The key belongs to this device, valid from {from:instant} to {to:instant}, says register number {register:number} of {issued:instant}, signed by the root {root:hash}.",
    "kind.other": "This record is of kind {kind:term}: it measures no vehicle and accuses nobody.",
    "kind.test": "TEST, not evidence of a violation: {why:text}.",
    "kind.violation": "This record states a violation of the speed limit.",
    "log.absent": "There is no proof that the record stands in the centre's log.",
    "log.elsewhere": "The proof is of another place in the log than the receipt names.",
    "log.missing": "The log does not hold this record at place {place:number}.",
    "log.stands": "The record stands at place {place:number} of the centre's log of {size:number} records.",
    "log.unproven": "Without a verified receipt there is no log root to check the proof against.",
    "log.unreadable": "This is not a log proof of profile 1: {detail:detail}.",
    "measurement.assessed": "The figures contradict each other: {indicated:speed} less {reduction:speed} is not {assessed:speed}.",
    "measurement.contacts_direction": "The figures contradict each other: what crossed the contacts was {seen:term}, the vehicle {direction:term}.",
    "measurement.contacts_long": "The figures contradict each other: what crossed the contacts took more than {most:span}.",
    "measurement.contacts_speed": "The figures contradict each other: what the contacts saw gives {seen:speed}, not {second:speed}.",
    "measurement.contacts_way": "The figures contradict each other: what crossed the contacts did not go one way.",
    "measurement.indicated": "The figures contradict each other: {speed:speed} truncated to whole km/h is not {indicated:speed}.",
    "measurement.more": "Measured {speed:speed}, indicated {indicated:speed}. Less the reduction of {reduction:speed} this is {assessed:speed}, which is more than the limit of {limit:speed}.",
    "measurement.not_more": "Measured {speed:speed}, indicated {indicated:speed}. Less the reduction of {reduction:speed} this is {assessed:speed}, which is not more than the limit of {limit:speed}.",
    "measurement.possible": "The figures contradict each other: {speed:speed} is beyond every sensor's range, which ends at {most:speed}.",
    "measurement.second_none": "The figures contradict each other: a second sensor is named, and it has no speed.",
    "measurement.second_speed": "The figures contradict each other: the second speed of {second:speed} differs from {speed:speed} by more than {tolerance:speed}.",
    "measurement.second_tolerance": "The figures contradict each other: a second speed that may differ by as much as it does here confirms nothing.",
    "measurement.violation": "The figures contradict each other: {assessed:speed} is not more than the limit of {limit:speed}, so this is no violation.",
    "offset.after": "{by:tenths} after the photo position",
    "offset.at": "at the photo position",
    "offset.before": "{by:tenths} before the photo position",
    "page.apart": "verify.html: this page is not part of what was checked: take the page from the authority.",
    "receipt.absent": "There is no receipt of the centre.",
    "receipt.changed": "The receipt was changed after it was sealed: the signature does not match.",
    "receipt.foreign": "The receipt does not name this record.",
    "receipt.good": "The centre received the record with all its files, and said so on {received:instant}.",
    "receipt.key_foreign": "The register does not vouch for the receipt's key: the key belongs to another device, epoch or role: {key:hash}.",
    "receipt.key_not_valid": "The register does not vouch for the receipt's key: the key is not valid at this time: valid from {from:instant} to {to:instant}, asked for {at:instant}.",
    "receipt.key_revoked": "The register does not vouch for the receipt's key: the key is revoked from {from:instant} on.",
    "receipt.key_unknown": "The register does not vouch for the receipt's key: the key is not in the register: {key:hash}.",
    "receipt.older": "The receipt is older than the record: it is of {received:instant}, the record of {made:instant}. One of the two times is not true.",
    "receipt.unasked": "The receipt names this record, but without a trust file nothing says whose receipt it is.",
    "receipt.unreadable": "This is not a receipt of profile 1: {detail:detail}.",
    "report.foreign": "not a bundle nor a record, not part of what was checked",
    "report.good": "{good:number} of {all:number} are good.",
    "report.together": "all together",
    "report.verdict": "verdict: ",
    "reuse.none": "No picture stands twice in the record. Other records with one of them show when they are checked together.",
    "reuse.picture_also_picture": "Picture {n:number} is also picture {other:number} of record {seq:number}, epoch {epoch:number}, of device {device:hash} ({where:names}).",
    "reuse.picture_also_raw": "Picture {n:number} is also the raw data of record {seq:number}, epoch {epoch:number}, of device {device:hash} ({where:names}).",
    "reuse.raw": "Picture {n:number} is the raw data.",
    "reuse.raw_also_picture": "The raw data is also picture {other:number} of record {seq:number}, epoch {epoch:number}, of device {device:hash} ({where:names}).",
    "reuse.raw_also_raw": "The raw data is also the raw data of record {seq:number}, epoch {epoch:number}, of device {device:hash} ({where:names}).",
    "reuse.twice": "Picture {n:number} is picture {other:number} once more.",
    "rule.applied": "Rule {rule:text} was in force and takes {takes:speed} off {off:speed}.",
    "rule.in_force": "The law was not applied: rule {rule:text} was not in force on {on:day}.",
    "rule.limit": "The law was not applied: there is no limit of {limit:speed}.",
    "rule.reduction": "The law was not applied: rule {rule:text} takes {takes:speed} off {off:speed}, not {reduction:speed}.",
    "rule.table": "The table of rules cannot be read: {detail:detail}.",
    "rule.unknown": "This program's table knows no rule {rule:text}.",
    "settings.absent": "The configuration that the record names is not here.",
    "settings.clock": "The record is not as the configuration demands: the clock may be off by more than the configuration's {bound:span}.",
    "settings.direction": "The record is not as the configuration demands: the configuration has another direction than the record: {direction:term}.",
    "settings.fit": "What the configuration states, the record fits.",
    "settings.limit": "The record is not as the configuration demands: the configuration has a limit of {stated:speed}, the record {limit:speed}.",
    "settings.range": "The record is not as the configuration demands: {speed:speed} is beyond the sensor's range, which ends at {most:speed}.",
    "settings.second": "The record is not as the configuration demands: the configuration has the second speed by {method:text}, the record has another or none.",
    "settings.site": "The record is not as the configuration demands: the configuration is of another site than {site:text}.",
    "settings.strobe": "The record is not as the configuration demands: the strobe's return of picture {n:number} lies more than {bound:span} outside of its exposure.",
    "settings.strobe_none": "The record is not as the configuration demands: the configuration watches the strobe's return, and a picture has none.",
    "signature.good": "The record is unchanged since the device sealed it.",
    "signature.unasked": "There is no trusted key to check it with.",
    "signature.wrong": "The record was changed after it was sealed, or another key sealed it: the signature does not match.",
    "software.approval": "The record names program {version:text} with measuring core {core:hash}. Whether that is the approved one, the approval says.",
    "software.named": "Nobody can say which program measured: the record does not say which measuring core made it.",
    "status.fail": "fail",
    "status.not checked": "not checked",
    "status.pass": "pass",
    "targets.alone": "No other vehicle was in the beam.",
    "targets.apart": {"one":"{n:count} other vehicle was in the beam. Sensor {model:text} tells vehicles apart.","other":"{n:count} other vehicles were in the beam. Sensor {model:text} tells vehicles apart."},
    "targets.company": {"one":"The speed may be another vehicle's: {n:count} other vehicle was in the beam, and sensor {model:text} does not tell vehicles apart.","other":"The speed may be another vehicle's: {n:count} other vehicles were in the beam, and sensor {model:text} does not tell vehicles apart."},
    "term.a folder": "a folder",
    "term.after": "after",
    "term.approaching": "approaching",
    "term.approval": "approval",
    "term.before": "before",
    "term.boot": "boot",
    "term.calibration": "calibration",
    "term.clock step": "clock step",
    "term.configuration": "configuration",
    "term.contacts": "contacts",
    "term.decree": "decree",
    "term.eviction": "eviction",
    "term.heartbeat": "heartbeat",
    "term.key change": "key change",
    "term.operator": "operator",
    "term.packed anew": "packed anew",
    "term.photo": "photo",
    "term.pictures": "pictures",
    "term.receding": "receding",
    "term.register": "register",
    "term.self-test": "self-test",
    "term.shutdown": "shutdown",
    "term.tamper": "tamper",
    "term.test": "test",
    "term.unknown": "unknown",
    "term.violation": "violation",
    "times.calibration": "The times contradict each other: calibration {calibration:text} was in force until {until:instant}.",
    "times.clocks": "The times contradict each other: the clocks were read more than {near:span} from the track.",
    "times.exposure": "The times contradict each other: picture {n:number} was exposed for more than {most:span}.",
    "times.fit": "It happened on {at:moment}. Track, pictures and raw data belong together, and calibration {calibration:text} was in force until {until:instant}.",
    "times.marks": "The times contradict each other: what crossed the contacts did so more than {near:span} from the track.",
    "times.photo": "The times contradict each other: the photo position lies more than {near:span} from the track.",
    "times.pictures": "The times contradict each other: picture {n:number} was taken more than {near:span} from the photo position.",
    "times.pictures_in_order": "The times contradict each other: picture {n:number} was not taken after picture {before:number}.",
    "times.strobe": "The times contradict each other: the strobe's return of picture {n:number} lies more than {bound:span} outside of its exposure.",
    "times.strobe_of_each": "The times contradict each other: the strobe's return of picture {n:number} is not after that of picture {before:number}.",
    "times.strobe_of_some": "The times contradict each other: some pictures have the strobe's return, and some have none.",
    "times.trace": "The times contradict each other: the raw data ends before it begins, holds nothing, or holds more than it has bytes.",
    "times.trace_and_track": "The times contradict each other: the raw data is of another time than the track.",
    "times.track": "The times contradict each other: the track ends before it begins, or as it begins.",
    "times.way": "The times contradict each other: in the time of the track a vehicle of {speed:speed} drives more than {metres:number} m.",
    "trace.absent": "The sensor's raw data is not here.",
    "trace.changed": "The sensor's raw data is not the file that the record names: its hash differs.",
    "trace.length": "The sensor's raw data has {there:number} bytes, the record names {named:number}.",
    "trace.same": {"one":"The sensor's raw data ({format:text}, {length:count} byte) is, byte for byte, what was sealed. It holds no certified values.","other":"The sensor's raw data ({format:text}, {length:count} bytes) is, byte for byte, what was sealed. It holds no certified values."},
    "trace.unnamed": "There is raw data of a sensor, and the record names none.",
    "trust.unusable": "The trust file cannot be used: {detail:detail}.",
    "uncertainty.below_the_reduction": "The uncertainty is not that of a measurement: twice the standard uncertainty of {u:speed} is more than the reduction of {reduction:speed}.",
    "uncertainty.good": "The standard uncertainty (k = 1) is {u:speed}, and follows from its parts.",
    "uncertainty.parts": "The uncertainty is not that of a measurement: the standard uncertainty of {u:speed} is less than its parts give, or has none.",
    "uncertainty.stated": "The uncertainty is not that of a measurement: the standard uncertainty is 0, which no measurement has.",
    "value.calibration": "{id:text}, version {version:number}, until {until:moment}",
    "value.clock": "synchronised ({source:text}), standard uncertainty (k = 1) {u:ms}",
    "value.device": "{device:hash}",
    "value.holdover": "in holdover for {age:seconds} ({source:text}), standard uncertainty (k = 1) {u:ms}",
    "value.lane": "{road:text}, km {km:km}, lane {lane:number}",
    "value.moment": "{at:moment}",
    "value.none": "none",
    "value.number": "{n:number}",
    "value.place": "{road:text}, km {km:km}",
    "value.position": "{latitude:latitude}, {longitude:longitude}",
    "value.record": "number {seq:number} of epoch {epoch:number}",
    "value.second": "{speed:speed} by {method:term}",
    "value.speed": "{speed:speed}",
    "value.term": "{term:term}",
    "value.text": "{text:text}",
    "value.uncertainty": "{u:speed} (standard uncertainty, k = 1)",
    "verdict.bad": "Do not rely on this evidence.",
    "verdict.good": "This evidence is genuine and complete.",
    "verdict.open": "Not everything could be checked.",
    "verdict.test": "TEST, not evidence of a violation. The record is genuine."
  },
  "de": {
    "archive.changed": "Nicht das ursprüngliche Archiv: {how:term}. Das ist kein Zeichen einer Fälschung. Beurteilt wird das Beweismittel nach den Dateien, die die Aufzeichnung nennt.",
    "archive.foreign": "Nicht das ursprüngliche Archiv: {how:term}. Das ist kein Zeichen einer Fälschung. Beurteilt wird das Beweismittel nach den Dateien, die die Aufzeichnung nennt. Nicht dazu gehören: {names:names}.",
    "archive.foreign_more": "Nicht das ursprüngliche Archiv: {how:term}. Das ist kein Zeichen einer Fälschung. Beurteilt wird das Beweismittel nach den Dateien, die die Aufzeichnung nennt. Nicht dazu gehören: {names:names}, und {more:number} weitere.",
    "archive.original": "Das ist das Archiv, wie es geschrieben wurde.",
    "bundle.unopened": "Es konnte nicht gelesen werden: {detail:detail}.",
    "bundle.unreadable": "Das Paket ist nicht lesbar: {detail:detail}.",
    "calibration.absent": "Die Eichbescheinigung ist nicht hier.",
    "calibration.approval": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: Die Bescheinigung hat die Zulassung {stated:text}, die Aufzeichnung {recorded:text}.",
    "calibration.changed": "Die Eichbescheinigung ist nicht die, die die Aufzeichnung nennt: Ihr Hash ist ein anderer.",
    "calibration.decree": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: Die Bescheinigung hat das Dekret {stated:text}, die Aufzeichnung {recorded:text}.",
    "calibration.id": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: Die Bescheinigung hat die Kennung {stated:text}, die Aufzeichnung {recorded:text}.",
    "calibration.not_yet": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: {what:term}: in Kraft erst ab {from:instant}.",
    "calibration.over": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: {what:term}: in Kraft bis {to:instant}.",
    "calibration.same": "Die Eichbescheinigung ist {id:text}, Version {version:number}, wie die Aufzeichnung sie nennt.",
    "calibration.sensor": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: Die Bescheinigung hat den Sensor {stated:text}, die Aufzeichnung {recorded:text}.",
    "calibration.uncertainty": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: Sie erlaubt eine Standardunsicherheit von {most:speed}, die Aufzeichnung hat {u:speed}.",
    "calibration.unnamed": "Es gibt eine Eichbescheinigung, und die Aufzeichnung nennt keine.",
    "calibration.until": "Die Aufzeichnung ist nicht so, wie die Eichbescheinigung es verlangt: Die Bescheinigung gilt bis {stated:instant}, die Aufzeichnung sagt {recorded:instant}.",
    "certificate.absent": "Das Zertifikat des Geräts ist nicht hier.",
    "certificate.changed": "Das Zertifikat ist nicht das, das die Aufzeichnung nennt: Sein Hash ist ein anderer.",
    "certificate.same": "Das Zertifikat ist das, das Aufzeichnung und Register nennen.",
    "certificate.unregistered": "Das Zertifikat ist nicht das, das das Register nennt.",
    "certificate.untrusted": "Das Zertifikat ist das, das die Aufzeichnung nennt, aber dem Schlüssel des Geräts wird nicht vertraut.",
    "check.archive": "Archiv",
    "check.bundle": "Paket",
    "check.calibration": "Eichung",
    "check.chain": "Kette",
    "check.clock": "Uhr",
    "check.configuration": "Konfiguration",
    "check.counter": "Zähler",
    "check.data bar": "Datenleiste",
    "check.derived picture attested": "abgeleitetes Bild bestätigt",
    "check.derived picture remade": "abgeleitetes Bild nachgemacht",
    "check.device certificate": "Gerätezertifikat",
    "check.device key": "Geräteschlüssel",
    "check.direction": "Richtung",
    "check.format": "Format",
    "check.frames": "Bilder",
    "check.kind": "Art",
    "check.log": "öffentl. Log",
    "check.measurement": "Messung",
    "check.page": "Seite",
    "check.receipt": "Quittung",
    "check.reuse": "Wiederverwendung",
    "check.rule": "Vorschrift",
    "check.settings": "Einstellungen",
    "check.signature": "Signatur",
    "check.software": "Programm",
    "check.source in the record": "Original in der Aufzeichnung",
    "check.targets": "andere Fahrzeuge",
    "check.times": "Zeiten",
    "check.trace": "Rohdaten",
    "check.trust": "Vertrauensdatei",
    "check.uncertainty": "Unsicherheit",
    "clock.bound": "Die Uhr war nicht gut genug: Sie kann um mehr als {bound:span} falsch gehen.",
    "clock.good": "Die Uhr ({source:text}) ging um nicht mehr als {bound:ms} falsch.",
    "clock.holdover": "Die Uhr war nicht gut genug: Sie wurde zuletzt {age:span} vorher synchronisiert, und ihre Unsicherheit ist die einer Uhr, die es noch ist.",
    "clock.simulated": "Die Uhr war nicht gut genug: Sie war simuliert, und das ist kein Test.",
    "clock.synchronised": "Die Uhr war nicht gut genug: Sie wurde nie synchronisiert.",
    "clock.uncertainty": "Die Uhr war nicht gut genug: Ihre Unsicherheit ist 0, und das hat keine Uhr.",
    "configuration.absent": "Die Konfigurationserklärung ist nicht hier.",
    "configuration.changed": "Die Konfigurationserklärung ist nicht die, die die Aufzeichnung nennt: Ihr Hash ist ein anderer.",
    "configuration.same": "Die Konfigurationserklärung ist {id:text}, Version {version:number}, wie die Aufzeichnung sie nennt.",
    "counter.back": "Die Bildzählung der Kamera widerspricht den Zeiten: Sie steigt von Bild {from:number} zu Bild {to:number} nicht.",
    "counter.even": "Die Kamera zählte ihre Bilder so, wie ihre Zeiten sind: von {first:number} bis {last:number}.",
    "counter.fast": "Die Bildzählung der Kamera widerspricht den Zeiten: Von Bild {from:number} zu Bild {to:number} zählte die Kamera {counted:number}, schneller als eine Kamera ist.",
    "counter.uneven": "Die Bildzählung der Kamera widerspricht den Zeiten: Von Bild {from:number} zu Bild {to:number} zählte die Kamera {counted:number}, gleichmäßig wären {even:number}.",
    "direction.known": "Fahrtrichtung des Fahrzeugs: {direction:term}.",
    "direction.unknown": "Die Richtung ist kein Beweis: Wohin das Fahrzeug fuhr, ist unbekannt.",
    "fact.approval": "Zulassung",
    "fact.assessed": "vorwerfbar",
    "fact.calibration": "Eichung",
    "fact.clock": "Uhr",
    "fact.decree": "Dekret",
    "fact.device": "Gerät",
    "fact.direction": "Richtung",
    "fact.indicated": "angezeigt",
    "fact.kind": "Art",
    "fact.limit": "Grenzwert",
    "fact.measured": "gemessen",
    "fact.other targets": "andere Fahrzeuge im Strahl",
    "fact.place": "Ort",
    "fact.position": "Position",
    "fact.record": "Aufzeichnung",
    "fact.reduction": "Abzug",
    "fact.rule": "Vorschrift",
    "fact.second speed": "zweite Geschwindigkeit",
    "fact.software": "Programm",
    "fact.time": "Zeit",
    "fact.uncertainty": "Unsicherheit",
    "format.fault": "Dieses Prüfprogramm kann sie nicht beurteilen: ein anderes verwenden. ({detail:detail})",
    "format.foreign": "Das ist keine Aufzeichnung nach Profil 1: Sie beginnt weder als versiegelte Aufzeichnung noch als Zip, ist also eine andere Datei, oder etwas steht davor: {detail:detail}.",
    "format.unread": "Die Aufzeichnung ist nicht lesbar.",
    "format.whole": "Aufzeichnung {seq:number} des Geräts {device:hash} ist vollständig und so geschrieben, wie Profil 1 es verlangt. Ihre Kennung ist {id:hash}.",
    "format.wrong": "Das ist keine Aufzeichnung nach Profil 1: {detail:detail}.",
    "frames.absent": {"one":"Das Bild ist nicht hier.","other":"Die {n:count} Bilder sind nicht hier."},
    "frames.changed": "Bild {n:number} ({role:term}) ist nicht die Datei, die die Aufzeichnung nennt: Sein Hash ist ein anderer.",
    "frames.length": "Bild {n:number} ({role:term}) hat {there:number} Byte, die Aufzeichnung nennt {named:number}.",
    "frames.missing": "Bild {n:number} ({role:term}) fehlt.",
    "frames.same": {"one":"Das Bild ist Byte für Byte das versiegelte.","other":"Alle {n:count} Bilder sind Byte für Byte die versiegelten."},
    "frames.same_raw": {"one":"Das Bild ist Byte für Byte das versiegelte. Das Gerät hat Rohbilder der Kamera komprimiert: Die Aufzeichnung sagt, welche.","other":"Alle {n:count} Bilder sind Byte für Byte die versiegelten. Das Gerät hat Rohbilder der Kamera komprimiert: Die Aufzeichnung sagt, welche."},
    "frames.too_many": "Es sind {there:number} Bilder, die Aufzeichnung nennt {named:number}.",
    "key.foreign": "Das Register bürgt nicht für den Schlüssel: Er gehört zu einem anderen Gerät, einer anderen Epoche oder Rolle: {key:hash}.",
    "key.not_valid": "Das Register bürgt nicht für den Schlüssel: Er ist zu dieser Zeit nicht gültig: gültig von {from:instant} bis {to:instant}, gefragt war {at:instant}.",
    "key.over": "Der Schlüssel war bis {to:instant} gültig, bevor das Register ausgestellt wurde, und keine frühere Quittung beweist, dass die Aufzeichnung älter ist.",
    "key.over_received": "Der Schlüssel war bis {to:instant} gültig, die Zentrale erhielt die Aufzeichnung am {received:instant}, und keine frühere Quittung beweist, dass die Aufzeichnung älter ist.",
    "key.revoked": "Das Register bürgt nicht für den Schlüssel: Er ist ab {from:instant} widerrufen.",
    "key.revoked_later": "Der Schlüssel ist ab {from:instant} widerrufen, und keine frühere Quittung beweist, dass die Aufzeichnung älter ist.",
    "key.stranger": "Die Vertrauensdatei ist von einer anderen Behörde oder älter als das Gerät: Ihr Register vom {issued:instant} kennt weder das Gerät {device:hash} noch seinen Schlüssel: {key:hash}.",
    "key.unasked": "Ohne Vertrauensdatei sagt nichts, wessen Schlüssel {key:hash} ist.",
    "key.unknown": "Das Register bürgt nicht für den Schlüssel: Er steht nicht im Register: {key:hash}.",
    "key.unusable": "Das Register bürgt nicht für den Schlüssel: {detail:detail}.",
    "key.vouched": "Der Schlüssel gehört zu diesem Gerät, gültig von {from:instant} bis {to:instant}: So sagt es Register Nummer {register:number} vom {issued:instant}, unterschrieben von der Wurzel {root:hash}.",
    "kind.other": "Diese Aufzeichnung ist von der Art {kind:term}: Sie misst kein Fahrzeug und beschuldigt niemanden.",
    "kind.test": "TEST, kein Beweis eines Verstoßes: {why:text}.",
    "kind.violation": "Diese Aufzeichnung stellt einen Verstoß gegen den Grenzwert fest.",
    "log.absent": "Es gibt keinen Nachweis, dass die Aufzeichnung im Log der Zentrale steht.",
    "log.elsewhere": "Der Nachweis ist für eine andere Stelle des Logs, als die Quittung nennt.",
    "log.missing": "Das Log enthält diese Aufzeichnung an Stelle {place:number} nicht.",
    "log.stands": "Die Aufzeichnung steht an Stelle {place:number} des Logs der Zentrale mit {size:number} Aufzeichnungen.",
    "log.unproven": "Ohne geprüfte Quittung gibt es keine Wurzel des Logs, gegen die der Nachweis zu prüfen wäre.",
    "log.unreadable": "Das ist kein Lognachweis nach Profil 1: {detail:detail}.",
    "measurement.assessed": "Die Zahlen widersprechen sich: {indicated:speed} weniger {reduction:speed} ist nicht {assessed:speed}.",
    "measurement.contacts_direction": "Die Zahlen widersprechen sich: Was über die Kontakte fuhr, war {seen:term}, das Fahrzeug {direction:term}.",
    "measurement.contacts_long": "Die Zahlen widersprechen sich: Was über die Kontakte fuhr, brauchte mehr als {most:span}.",
    "measurement.contacts_speed": "Die Zahlen widersprechen sich: Was die Kontakte sahen, ergibt {seen:speed}, nicht {second:speed}.",
    "measurement.contacts_way": "Die Zahlen widersprechen sich: Was über die Kontakte fuhr, fuhr nicht in einer Richtung.",
    "measurement.indicated": "Die Zahlen widersprechen sich: {speed:speed}, auf ganze km/h abgeschnitten, ist nicht {indicated:speed}.",
    "measurement.more": "Gemessen {speed:speed}, angezeigt {indicated:speed}. Nach dem Abzug von {reduction:speed} sind das {assessed:speed}, mehr als der Grenzwert von {limit:speed}.",
    "measurement.not_more": "Gemessen {speed:speed}, angezeigt {indicated:speed}. Nach dem Abzug von {reduction:speed} sind das {assessed:speed}, nicht mehr als der Grenzwert von {limit:speed}.",
    "measurement.possible": "Die Zahlen widersprechen sich: {speed:speed} liegt jenseits des Bereichs jedes Sensors, der bei {most:speed} endet.",
    "measurement.second_none": "Die Zahlen widersprechen sich: Ein zweiter Sensor ist genannt, und er hat keine Geschwindigkeit.",
    "measurement.second_speed": "Die Zahlen widersprechen sich: Die zweite Geschwindigkeit von {second:speed} weicht von {speed:speed} um mehr als {tolerance:speed} ab.",
    "measurement.second_tolerance": "Die Zahlen widersprechen sich: Eine zweite Geschwindigkeit, die so weit abweichen darf wie hier, bestätigt nichts.",
    "measurement.violation": "Die Zahlen widersprechen sich: {assessed:speed} ist nicht mehr als der Grenzwert von {limit:speed}, also ist das kein Verstoß.",
    "offset.after": "{by:tenths} nach der Fotoposition",
    "offset.at": "an der Fotoposition",
    "offset.before": "{by:tenths} vor der Fotoposition",
    "page.apart": "verify.html: Diese Seite ist nicht Teil dessen, was geprüft wurde: die Seite von der Behörde nehmen.",
    "receipt.absent": "Es gibt keine Quittung der Zentrale.",
    "receipt.changed": "Die Quittung wurde nach dem Versiegeln verändert: Die Signatur passt nicht.",
    "receipt.foreign": "Die Quittung nennt diese Aufzeichnung nicht.",
    "receipt.good": "Die Zentrale hat die Aufzeichnung mit allen Dateien erhalten und es am {received:instant} bestätigt.",
    "receipt.key_foreign": "Das Register bürgt nicht für den Schlüssel der Quittung: Er gehört zu einem anderen Gerät, einer anderen Epoche oder Rolle: {key:hash}.",
    "receipt.key_not_valid": "Das Register bürgt nicht für den Schlüssel der Quittung: Er ist zu dieser Zeit nicht gültig: gültig von {from:instant} bis {to:instant}, gefragt war {at:instant}.",
    "receipt.key_revoked": "Das Register bürgt nicht für den Schlüssel der Quittung: Er ist ab {from:instant} widerrufen.",
    "receipt.key_unknown": "Das Register bürgt nicht für den Schlüssel der Quittung: Er steht nicht im Register: {key:hash}.",
    "receipt.older": "Die Quittung ist älter als die Aufzeichnung: Sie ist vom {received:instant}, die Aufzeichnung vom {made:instant}. Eine der beiden Zeiten stimmt nicht.",
    "receipt.unasked": "Die Quittung nennt diese Aufzeichnung, aber ohne Vertrauensdatei sagt nichts, wessen Quittung sie ist.",
    "receipt.unreadable": "Das ist keine Quittung nach Profil 1: {detail:detail}.",
    "report.foreign": "weder Paket noch Aufzeichnung, nicht Teil dessen, was geprüft wurde",
    "report.good": "{good:number} von {all:number} sind gut.",
    "report.together": "alle zusammen",
    "report.verdict": "Ergebnis: ",
    "reuse.none": "Kein Bild steht zweimal in der Aufzeichnung. Andere Aufzeichnungen mit einem davon zeigen sich, wenn sie zusammen geprüft werden.",
    "reuse.picture_also_picture": "Bild {n:number} ist auch Bild {other:number} von Aufzeichnung {seq:number}, Epoche {epoch:number}, des Geräts {device:hash} ({where:names}).",
    "reuse.picture_also_raw": "Bild {n:number} sind auch die Rohdaten von Aufzeichnung {seq:number}, Epoche {epoch:number}, des Geräts {device:hash} ({where:names}).",
    "reuse.raw": "Bild {n:number} sind die Rohdaten.",
    "reuse.raw_also_picture": "Die Rohdaten sind auch Bild {other:number} von Aufzeichnung {seq:number}, Epoche {epoch:number}, des Geräts {device:hash} ({where:names}).",
    "reuse.raw_also_raw": "Die Rohdaten sind auch die Rohdaten von Aufzeichnung {seq:number}, Epoche {epoch:number}, des Geräts {device:hash} ({where:names}).",
    "reuse.twice": "Bild {n:number} ist noch einmal Bild {other:number}.",
    "rule.applied": "Die Vorschrift {rule:text} galt und zieht von {off:speed} {takes:speed} ab.",
    "rule.in_force": "Das Gesetz wurde nicht angewandt: Die Vorschrift {rule:text} galt am {on:day} nicht.",
    "rule.limit": "Das Gesetz wurde nicht angewandt: Einen Grenzwert von {limit:speed} gibt es nicht.",
    "rule.reduction": "Das Gesetz wurde nicht angewandt: Die Vorschrift {rule:text} zieht von {off:speed} {takes:speed} ab, nicht {reduction:speed}.",
    "rule.table": "Die Tabelle der Vorschriften ist nicht lesbar: {detail:detail}.",
    "rule.unknown": "Die Tabelle dieses Programms kennt keine Vorschrift {rule:text}.",
    "settings.absent": "Die Konfiguration, die die Aufzeichnung nennt, ist nicht hier.",
    "settings.clock": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Uhr kann um mehr als die {bound:span} der Konfiguration falsch gehen.",
    "settings.direction": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Konfiguration hat eine andere Richtung als die Aufzeichnung: {direction:term}.",
    "settings.fit": "Die Aufzeichnung passt zu dem, was die Konfiguration angibt.",
    "settings.limit": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Konfiguration hat den Grenzwert {stated:speed}, die Aufzeichnung {limit:speed}.",
    "settings.range": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: {speed:speed} liegt jenseits des Bereichs des Sensors, der bei {most:speed} endet.",
    "settings.second": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Konfiguration hat die zweite Geschwindigkeit nach {method:text}, die Aufzeichnung eine andere oder keine.",
    "settings.site": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Konfiguration ist von einem anderen Standort als {site:text}.",
    "settings.strobe": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Rückmeldung des Blitzes von Bild {n:number} liegt mehr als {bound:span} außerhalb seiner Belichtung.",
    "settings.strobe_none": "Die Aufzeichnung ist nicht so, wie die Konfiguration es verlangt: Die Konfiguration überwacht die Rückmeldung des Blitzes, und ein Bild hat keine.",
    "signature.good": "Die Aufzeichnung ist unverändert, seit das Gerät sie versiegelt hat.",
    "signature.unasked": "Es gibt keinen vertrauten Schlüssel, mit dem sie zu prüfen wäre.",
    "signature.wrong": "Die Aufzeichnung wurde nach dem Versiegeln verändert oder mit einem anderen Schlüssel versiegelt: Die Signatur passt nicht.",
    "software.approval": "Die Aufzeichnung nennt das Programm {version:text} mit dem Messkern {core:hash}. Ob es das zugelassene ist, sagt die Zulassung.",
    "software.named": "Niemand kann sagen, welches Programm gemessen hat: Die Aufzeichnung nennt ihren Messkern nicht.",
    "status.fail": "GESCHEITERT",
    "status.not checked": "nicht geprüft",
    "status.pass": "bestanden",
    "targets.alone": "Kein anderes Fahrzeug war im Strahl.",
    "targets.apart": {"one":"Ein anderes Fahrzeug war im Strahl. Sensor {model:text} unterscheidet Fahrzeuge.","other":"{n:count} andere Fahrzeuge waren im Strahl. Sensor {model:text} unterscheidet Fahrzeuge."},
    "targets.company": {"one":"Die Geschwindigkeit kann die eines anderen Fahrzeugs sein: Ein anderes Fahrzeug war im Strahl, und Sensor {model:text} unterscheidet Fahrzeuge nicht.","other":"Die Geschwindigkeit kann die eines anderen Fahrzeugs sein: {n:count} andere Fahrzeuge waren im Strahl, und Sensor {model:text} unterscheidet Fahrzeuge nicht."},
    "term.a folder": "ein Ordner",
    "term.after": "danach",
    "term.approaching": "herankommend",
    "term.approval": "Zulassung",
    "term.before": "davor",
    "term.boot": "Start",
    "term.calibration": "Eichung",
    "term.clock step": "Uhrumstellung",
    "term.configuration": "Konfiguration",
    "term.contacts": "Kontakte",
    "term.decree": "Dekret",
    "term.eviction": "Verdrängung",
    "term.heartbeat": "Lebenszeichen",
    "term.key change": "Schlüsselwechsel",
    "term.operator": "Eingriff",
    "term.packed anew": "neu gepackt",
    "term.photo": "Foto",
    "term.pictures": "Bilder",
    "term.receding": "wegfahrend",
    "term.register": "Register",
    "term.self-test": "Selbsttest",
    "term.shutdown": "Abschaltung",
    "term.tamper": "Manipulation",
    "term.test": "Test",
    "term.unknown": "unbekannt",
    "term.violation": "Verstoß",
    "times.calibration": "Die Zeiten widersprechen sich: Die Eichung {calibration:text} galt bis {until:instant}.",
    "times.clocks": "Die Zeiten widersprechen sich: Die Uhren wurden mehr als {near:span} von der Spur entfernt gelesen.",
    "times.exposure": "Die Zeiten widersprechen sich: Bild {n:number} wurde länger als {most:span} belichtet.",
    "times.fit": "Es geschah am {at:moment}. Spur, Bilder und Rohdaten gehören zusammen, und die Eichung {calibration:text} galt bis {until:instant}.",
    "times.marks": "Die Zeiten widersprechen sich: Was über die Kontakte fuhr, tat es mehr als {near:span} von der Spur entfernt.",
    "times.photo": "Die Zeiten widersprechen sich: Die Fotoposition liegt mehr als {near:span} von der Spur entfernt.",
    "times.pictures": "Die Zeiten widersprechen sich: Bild {n:number} wurde mehr als {near:span} von der Fotoposition entfernt aufgenommen.",
    "times.pictures_in_order": "Die Zeiten widersprechen sich: Bild {n:number} wurde nicht nach Bild {before:number} aufgenommen.",
    "times.strobe": "Die Zeiten widersprechen sich: Die Rückmeldung des Blitzes von Bild {n:number} liegt mehr als {bound:span} außerhalb seiner Belichtung.",
    "times.strobe_of_each": "Die Zeiten widersprechen sich: Die Rückmeldung des Blitzes von Bild {n:number} kommt nicht nach der von Bild {before:number}.",
    "times.strobe_of_some": "Die Zeiten widersprechen sich: Einige Bilder haben die Rückmeldung des Blitzes, andere nicht.",
    "times.trace": "Die Zeiten widersprechen sich: Die Rohdaten enden, bevor sie beginnen, enthalten nichts oder mehr, als sie Byte haben.",
    "times.trace_and_track": "Die Zeiten widersprechen sich: Die Rohdaten sind aus einer anderen Zeit als die Spur.",
    "times.track": "Die Zeiten widersprechen sich: Die Spur endet, bevor sie beginnt, oder indem sie beginnt.",
    "times.way": "Die Zeiten widersprechen sich: In der Zeit der Spur fährt ein Fahrzeug mit {speed:speed} mehr als {metres:number} m.",
    "trace.absent": "Die Rohdaten des Sensors sind nicht hier.",
    "trace.changed": "Die Rohdaten des Sensors sind nicht die Datei, die die Aufzeichnung nennt: Ihr Hash ist ein anderer.",
    "trace.length": "Die Rohdaten des Sensors haben {there:number} Byte, die Aufzeichnung nennt {named:number}.",
    "trace.same": {"one":"Die Rohdaten des Sensors ({format:text}, {length:count} Byte) sind Byte für Byte die versiegelten. Sie enthalten keine geeichten Werte.","other":"Die Rohdaten des Sensors ({format:text}, {length:count} Byte) sind Byte für Byte die versiegelten. Sie enthalten keine geeichten Werte."},
    "trace.unnamed": "Es gibt Rohdaten eines Sensors, und die Aufzeichnung nennt keine.",
    "trust.unusable": "Die Vertrauensdatei ist nicht verwendbar: {detail:detail}.",
    "uncertainty.below_the_reduction": "Die Unsicherheit ist nicht die einer Messung: Das Doppelte der Standardunsicherheit von {u:speed} ist mehr als der Abzug von {reduction:speed}.",
    "uncertainty.good": "Die Standardunsicherheit (k = 1) ist {u:speed} und folgt aus ihren Teilen.",
    "uncertainty.parts": "Die Unsicherheit ist nicht die einer Messung: Die Standardunsicherheit von {u:speed} ist kleiner, als ihre Teile ergeben, oder hat keine.",
    "uncertainty.stated": "Die Unsicherheit ist nicht die einer Messung: Die Standardunsicherheit ist 0, und das hat keine Messung.",
    "value.calibration": "{id:text}, Version {version:number}, bis {until:moment}",
    "value.clock": "synchronisiert ({source:text}), Standardunsicherheit (k = 1) {u:ms}",
    "value.device": "{device:hash}",
    "value.holdover": "seit {age:seconds} nicht synchronisiert ({source:text}), Standardunsicherheit (k = 1) {u:ms}",
    "value.lane": "{road:text}, km {km:km}, Spur {lane:number}",
    "value.moment": "{at:moment}",
    "value.none": "keine",
    "value.number": "{n:number}",
    "value.place": "{road:text}, km {km:km}",
    "value.position": "{latitude:latitude}, {longitude:longitude}",
    "value.record": "Nummer {seq:number} der Epoche {epoch:number}",
    "value.second": "{speed:speed}, Verfahren: {method:term}",
    "value.speed": "{speed:speed}",
    "value.term": "{term:term}",
    "value.text": "{text:text}",
    "value.uncertainty": "{u:speed} (Standardunsicherheit, k = 1)",
    "verdict.bad": "Auf dieses Beweismittel ist kein Verlass.",
    "verdict.good": "Dieses Beweismittel ist echt und vollständig.",
    "verdict.open": "Nicht alles konnte geprüft werden.",
    "verdict.test": "TEST, kein Beweis eines Verstoßes. Die Aufzeichnung ist echt."
  }
}
# end of the texts


class Check:
    """One question put to a bundle, and the answer: a code and its arguments."""
    def __init__(self, name, mandatory, status, code, args):
        self.name, self.mandatory, self.status, self.code, self.args = name, mandatory, status, code, args


class Judged:
    """The verdict on one bundle or record: its checks, and the record where it can be read."""
    def __init__(self, path, checks, checker=None):
        self.path, self.checks = path, checks
        self.r, self.id = getattr(checker, "r", None), getattr(checker, "id", None)

    def word(self):
        if any(c.status == FAIL for c in self.checks):
            return "bad"
        if not self.checks or any(c.mandatory and c.status == OPEN for c in self.checks):
            return "open"
        return "test" if self.r and self.r[2] == 99 else "good"

    def line(self, language):
        """The verdict in a sentence, with its likely cause: the others follow from it as often as not."""
        word = self.word()
        causes = [say(language, c.code, c.args) for c in self.checks if c.status == FAIL or word == "open" and c.mandatory and c.status == OPEN]
        return " ".join([say(language, "verdict." + word)] + (causes[:1] if word in ("bad", "open") else []))

    def signed(self):
        return any(c.name == "signature" and c.status == PASS for c in self.checks)

    def json(self, language):
        return {"path": self.path, "ok": self.word() in ("good", "test"), "verdict": self.word(), "line": self.line(language),
                "facts": [{"name": name, "value": say(language, code, args), "code": code, "args": typed(code, args)}
                          for name, code, args in (facts(self.r) if self.r else [])],
                "checks": [{"name": c.name, "status": c.status, "mandatory": c.mandatory, "code": c.code, "args": typed(c.code, c.args),
                            "words": say(language, c.code, c.args)} for c in self.checks]}


def verify(data, trust, path=""):
    """Judges a bundle's zip, a record, or (files, archive) of a folder. It never raises."""
    try:
        files, archive = data if isinstance(data, tuple) else read_bundle(data) if data[:2] == b"PK" else ({"record.cose": data}, None)
    except Bad as e:
        return Judged(path, [Check("bundle", True, *found(FAIL, "bundle.unreadable", detail=str(e)))])
    checker = Checker(files, archive, trust)
    try:
        return Judged(path, checker.run(), checker)
    except Exception as e:  # a fault of this program must not take the rest of a batch with it
        return Judged(path, [Check("format", True, *found(FAIL, "format.fault", detail=type(e).__name__))])


def together(all_judged):
    """Fails the reuse check of every record that names a file of another one. Where keys are known, only signed records count."""
    trusted = any(j.signed() for j in all_judged)
    seen_files = {}
    for j in all_judged:
        if j.r and (j.signed() or not trusted):
            uses = [(f[3], {"n": n}) for n, f in enumerate(j.r.get(15, []), 1)] + ([(j.r[16][1], {})] if 16 in j.r else [])
            for digest, what in uses:
                seen_files.setdefault(digest, {}).setdefault(j.id, (what, j))
    for uses in seen_files.values():
        for record, (what, _) in uses.items():
            others = [use for r, use in uses.items() if r != record]
            if others:
                other, at = others[0]
                code = f"reuse.{'picture' if what else 'raw'}_also_{'picture' if other else 'raw'}"
                args = {**what, **({"other": other["n"]} if other else {}), "seq": at.r[5], "epoch": at.r[4], "device": at.r[3], "where": [seen(at.path)]}
                for judged in all_judged:  # the same record may have been given twice
                    for c in judged.checks:
                        if judged.id == record and c.name == "reuse" and c.status != FAIL:
                            c.status, c.code, c.args = FAIL, code, args


def find(path, depth=0):
    """Yields the bundles and records that a path names: (path, data or None, why it cannot be read)."""
    try:
        if not os.path.isdir(path) or depth and os.path.islink(path):
            yield path, read_file(path, BUNDLE_MAX, follow=not depth), None
        elif os.path.lexists(os.path.join(path, "record.cose")):
            yield path, read_folder(path), None
        elif depth > 8:
            yield path, None, "folders in folders in folders"
        else:
            for name in sorted(os.listdir(path)):
                inner = os.path.join(path, name)
                mode = os.lstat(inner).st_mode
                if not stat.S_ISREG(mode) or name.endswith((".zip", ".cose")):
                    yield from find(inner, depth + 1)
                else:
                    print(f"{ascii(inner)}: not a bundle, not part of what was checked", file=sys.stderr)
    except (Bad, OSError) as e:
        yield path, None, str(e) if isinstance(e, Bad) else e.strerror


def locale_language():
    """The language of the environment, where it is one of ours."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    tag = re.split("[-_.@]", next(filter(None, names), "").lower())[0]
    return tag if tag in TEXTS else "en"


def main():
    options = argparse.ArgumentParser(description="Verifies Ciglio evidence offline.")
    options.add_argument("--trust", metavar="FILE", help="the root key and the device register")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--each", action="store_true", help="judge each alone: do not look for files that two records name")
    options.add_argument("bundle", nargs="+", help="a bundle (.zip), a sealed record, or a folder of a bundle or of several")
    options.add_argument("--lang", choices=sorted(TEXTS), default=locale_language(), help="the language (default that of LANG, else en)")
    args = options.parse_args()
    for stream in (sys.stdout, sys.stderr):  # what this terminal cannot show must not end a batch
        stream.reconfigure(errors="backslashreplace")
    trust, refused = None, None
    if args.trust:
        try:
            trust = Trust(read_file(args.trust, 24 << 20, follow=True))
        except (Bad, OSError) as e:
            refused = Check("trust", True, *found(FAIL, "trust.unusable", detail=str(e)))
    results = []
    for path, data, fault in (found for path in args.bundle for found in find(path)):
        if refused:
            results.append(Judged(path, [refused]))
        elif data is None:
            results.append(Judged(path, [Check("bundle", True, *found(FAIL, "bundle.unreadable", detail=fault))]))
        else:
            results.append(verify(data, trust, path))
    if not args.each:
        together(results)
    good = sum(j.word() in ("good", "test") for j in results)
    if args.json:
        print(json.dumps([j.json(args.lang) for j in results], indent=2))
    else:
        for j in results:
            print(ascii(j.path)[1:-1])
            for name, code, values in facts(j.r) if j.r else []:
                print(f"  {say(args.lang, 'fact.' + name):24}  {say(args.lang, code, values)}")
            for c in j.checks:
                print(f"  {say(args.lang, 'status.' + c.status):11}  {say(args.lang, 'check.' + c.name):18}  {say(args.lang, c.code, c.args)}")
            print(f"  {say(args.lang, 'report.verdict')}{j.line(args.lang)}")
        if len(results) != 1:
            print(say(args.lang, "report.verdict") + say(args.lang, "report.good", {"good": good, "all": len(results)}))
    return 0 if results and good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
