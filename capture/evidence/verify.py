#!/usr/bin/env python3
"""Verifies Ciglio evidence with nothing but the Python standard library (3.9 or later).

    verify.py --trust FILE [--json] [--each] BUNDLE...

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
    pass


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

    def key(self, kid, role, at_us, device=bytes(16), epoch=0):
        e = self.keys.get(kid)
        require(e, "the key is not in the register")
        require((e[1], e[2], e[3]) == (role, device, epoch), "the key belongs to another device, epoch or role")
        require(e[6] <= at_us // 10**6 <= e[7], f"the key is valid from {date(e[6])} to {date(e[7])}")
        require(8 not in e or at_us // 10**6 < e[8], f"the key is revoked from {date(e.get(8, 0))} on")
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


def quoted(name):
    """A name as every verifier quotes it: what is not seen does not show."""
    return '"' + "".join("?" if any(lo <= ord(c) <= hi for lo, hi in UNSEEN) else "\\" + c if c in '"\\' else c for c in name[:80]) + '"'


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
    named = [(".id", r[17][1]), (".sensor_serial", r[16][5]), ("approval.words", r[17][5]), ("decree.words", r[17][6])]
    for key, got in named:
        require(stated.get(key, got) == got, f"the calibration statement has {key.strip('.')} {stated.get(key)}, the record {got}")
    for section in ("", "approval", "decree", "register"):
        since, to = stated_instant(stated, section + (".from" if section else ".not_before")), stated_instant(stated, section + ".to")
        require(since is None or r[10] >= since * 10**6, f"the calibration statement has {section or 'calibration'} in force only later")
        require(to is None or r[10] <= to * 10**6, f"the calibration statement has {section or 'calibration'} in force only before")
    end, most = stated_instant(stated, ".not_after"), stated_speed(stated, ".uncertainty")
    require(end is None or end == r[17][4], "the calibration statement is in force until another time than the record says")
    require(most is None or r[14][9] <= most, f"the calibration statement allows a standard uncertainty of {most and kmh(most)}, the record has {kmh(r[14][9])}")


def fits_measurement(r):
    m = r[14]
    speed, indicated, reduction, assessed, limit = (m[k] for k in range(1, 6))
    require(indicated == speed - speed % 100, "the indicated speed is not the measured one truncated to whole km/h")
    require(assessed == max(indicated - reduction, 0), "the assessed speed is not the indicated one less the reduction")
    require(assessed > limit or r[2] != 1, "the assessed speed is not more than the limit, so this is no violation")
    second = m.get(16)
    require(not second or second[3] <= max(1000, speed * 20 // 100), "a second speed that may differ by as much as it does here confirms nothing")
    require(not second or second[2] > 0, "a second sensor is named, and it has no speed")
    require(not second or abs(second[2] - speed) <= second[3], "the second speed disagrees")
    if second and 4 in second:
        positions, marks = second[4][1], second[4][2]
        toward = marks[0][0] > marks[-1][0]
        for leg in zip(*(reversed(marks) if toward else marks)):
            require(all(a < b for a, b in zip(leg, leg[1:])), "what crossed the contacts did not go one way")
        times = [abs(last - first) for first, last in zip(marks[0], marks[-1])]
        require(max(times) <= 60 * S, "what crossed the contacts took more than a minute")
        require(m[7] == (1 if toward else 2), "what crossed the contacts went the other way")
        require((positions[-1] - positions[0]) * len(times) * 360 * 10**6 // sum(times) == second[2], "the contacts give another speed")
    require(speed <= 35000, f"{kmh(speed)} is beyond every sensor's range")


def fits_times(r):
    m, t, frames = r[14], r[16], r[15]
    start, end, photo, near = m[13], m[14], m[15], 10 * S
    require(start < end, "the track ends before it begins, or as it begins")
    require(m[1] == 0 or end - start <= 1000 * 360 * S // m[1], "in the time of the track the vehicle drives more than 1000 m")
    require(t[8] <= t[9] and 0 < t[7] <= t[2], "the raw data ends before it begins, holds nothing, or holds more than it has bytes")
    require(t[8] <= end and t[9] >= start, "the raw data is of another time than the track")
    require(start - near <= photo <= end + near, "the photo position lies more than 10 s from the track")
    require(abs(r[9] - end) <= 60 * S, "the clocks were read more than a minute from the track")
    require(r[10] <= r[17][4] * 10**6, f"the calibration was in force until {date(r[17][4])}")
    marks = [at for contact in m.get(16, {}).get(4, {2: []})[2] for at in contact]
    require(all(start - near <= at <= end + near for at in marks), "what crossed the contacts did so more than 10 s from the track")
    for n, (a, b) in enumerate(zip(frames, frames[1:]), 2):
        require(a[6] < b[6] and b[6] - a[6] >= a[7] * 1000, f"picture {n} was not taken after picture {n - 1}")
    for n, f in enumerate(frames, 1):
        most = S // 4 if f[1] == "photo" else 2 * S
        require(abs(f[6] - photo) <= most, f"picture {n} was taken far from the photo position")
    for n, f in enumerate(frames, 1):
        require(f[7] <= 250000, f"picture {n} was exposed for more than 250 ms")
    fits_strobe(frames, 50 * MS)
    for n, (a, b) in enumerate(zip(frames, frames[1:]), 2):
        require((10 in a) == (10 in b), "some pictures have the strobe's return, and some have none")
        require(10 not in b or a[10] < b[10], f"the strobe's return of picture {n} is not after that of picture {n - 1}")


def fits_strobe(frames, bound):
    """Checks that the strobe's return of each picture that has one lies within its exposure, as far as the bound allows."""
    for n, f in enumerate(frames, 1):
        require(10 not in f or f[6] - bound <= f[10] <= f[6] + f[7] * 1000 + bound,
                f"the strobe's return of picture {n} lies more than {bound // 1000} us outside of its exposure")


def fits_clock(r):
    synchronised, offset, u, age = (r[11][k] for k in range(2, 6))
    require(r[2] != 1 or r[11][1] != "simulated", "the clock was a simulated one, and this is no test")
    require(synchronised or age, "the clock was never synchronised")
    require(u, "the uncertainty of the clock is 0, which no clock has")
    require(abs(offset) + 2 * u <= 100 * MS, "the clock may be off by more than 100 ms")
    require(synchronised or u >= age // 10000, "the clock was last synchronised long before, and its uncertainty is that of one that still is")


def fits_counter(r):
    frames = r[15]
    time, count = frames[-1][6] - frames[0][6], frames[-1][5] - frames[0][5]
    for n, (a, b) in enumerate(zip(frames, frames[1:]), 2):
        counted, apart = b[5] - a[5], b[6] - a[6]
        require(counted > 0, f"the camera's count does not go up from picture {n - 1} to picture {n}")
        if apart <= 0 or time <= 0 or time > 3600 * S:
            continue
        require(count <= 2**31 - 1 and counted <= 250 * apart // S + 1, f"from picture {n - 1} to picture {n} the camera counted {counted}, faster than a camera is")
        even = count * apart // time
        require(even - even // 2 - 2 <= counted <= even + even // 2 + 2, f"from picture {n - 1} to picture {n} the camera counted {counted}, and {even} would be even")


def fits_direction(r):
    require(r[14][7], "which way the vehicle went is unknown")


def fits_targets(r):
    require(not r[14][11] or r[16][4].startswith(SEPARATING), f"{r[14][11]} other vehicles were in the beam, and the sensor does not tell vehicles apart")


def fits_rule(r):
    m = r[14]
    for name, first, last, flat, percent in RULES:
        if name == m[6]:
            today, reduction = site_time(r[10])[0].strftime("%Y-%m-%d"), max(flat, m[1] // 100 * percent)
            require(first <= today and (last is None or today <= last), f"rule {name} was not in force on {today}")
            require(m[3] == reduction, f"rule {name} takes {kmh(reduction)}, not {kmh(m[3])}")
    require(LEAST <= m[5] <= MOST and m[5] % STEP == 0, f"there is no limit of {kmh(m[5])}")


def fits_uncertainty(r):
    m = r[14]
    require(m[9], "the standard uncertainty is 0, which no measurement has")
    squares = sum(part**2 for part in m[10])
    require(m[9] ** 2 >= squares > 0, f"the standard uncertainty of {kmh(m[9])} is less than its parts give, or has none")
    require(2 * m[9] <= m[3], f"twice the standard uncertainty of {kmh(m[9])} is more than the reduction of {kmh(m[3])}")


def fits_settings(r, settings):
    m, clock = r[14], r[11]
    limit, most, bound = stated_speed(settings, "site.limit"), stated_speed(settings, "sensor.maximum"), stated_ns(settings, "clock.bound")
    require(limit is None or limit == m[5], "the configuration has another limit")
    require(settings.get("site.id", r[13][1]) == r[13][1], "the configuration is of another site")
    require(settings.get("site.direction", "unknown") in ("unknown", DIRECTIONS[m[7]]), "the configuration has another direction")
    require(most is None or m[1] <= most, f"{kmh(m[1])} is beyond the sensor's range")
    method = {"none": 0, "contacts": 1, "frames": 2}.get(settings.get("second.method"))
    require(method is None or method == m.get(16, {1: 0})[1], "the configuration has another second speed, or one where the record has none")
    require(bound is None or abs(clock[3]) + 2 * clock[4] <= bound, "the clock may be off by more than the configuration's bound")
    watched, bound = "camera.strobe_return" in settings, stated_ns(settings, "camera.strobe_bound")
    require(not watched or all(10 in f for f in r[15]), "the configuration watches the strobe's return, and a picture has none")
    if bound is not None:
        fits_strobe(r[15], bound)


def fits_software(r):
    require(any(r[19][2]) and any(r[19][3]), "the record does not say which measuring core made it")


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


def ask(question):
    """Runs one check: a function that returns a status and words, or raises Bad."""
    try:
        return question()
    except Bad as e:
        return FAIL, f"{e}."[0].upper() + f"{e}."[1:]


class Checker:
    def __init__(self, files, archive, trust):
        self.files, self.archive, self.trust, self.entry, self.receipted = files, archive, trust, None, None
        self.frames = {int(n[7]): d for n, d in files.items() if n.startswith("frames/")}
        self.raw = next((d for n, d in files.items() if n.startswith("trace.")), None)

    def run(self):
        try:
            self.message = open_record(self.files["record.cose"])
        except Bad as e:
            if self.files["record.cose"][:2] != b"\xd2\x84":  # as every sealed message begins
                e = "it begins neither as a sealed record nor as a zip, so it is another file, or something stands before it"
            rest = [(n, OPEN, True, "The record cannot be read.") for n in ("device key", "signature", "kind")]
            return [("format", FAIL, True, f"This is not a record of profile 1: {e}.")] + rest + self.around()
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
        words = f"Record {self.r[5]} of device {self.r[3].hex()} is written as profile 1 demands. Its id is {self.id.hex()}."
        checks = [("format", PASS, True, words)]
        for name, mandatory, question in questions:
            status, words = ask(question)
            checks.append((name, status, mandatory, words))
        return checks + self.around()

    def around(self):
        """Says what the files lay in. Nothing there is evidence, and so nothing there can fail."""
        if not self.archive:
            return []
        changed, foreign = self.archive.changed, self.archive.foreign
        words = "This is the archive as it was written."
        if changed:
            words = (f"Not the original archive: {changed}. That is no sign of forgery. "
                     "The evidence is judged by the files that the record names.")
        if foreign:
            words += " Not part of it: " + ", ".join(quoted(n) for n in foreign[:10])
            words += f", and {len(foreign) - 10} more." if len(foreign) > 10 else "."
        checks = [("archive", OPEN if changed or foreign else PASS, False, words)]
        if "verify.html" in self.files:
            checks.append(("page", OPEN, False, "verify.html: this page is not part of what was checked. Take the page from the authority."))
        return checks

    def device_key(self):
        if not self.trust:
            return OPEN, "Without a trust file nothing says whose key it is."
        if self.message.kid not in self.trust.keys and not any(e[1] == 1 and e[2] == self.r[3] for e in self.trust.register[4]):
            raise Bad(f"the trust file is of another authority, or older than the device: its register of {date(self.trust.register[3])} "
                      f"knows neither device {self.r[3].hex()} nor its key")
        e = self.trust.key(self.message.kid, 1, self.r[10], self.r[3], self.r[4])
        # The holder of a key that no longer counts could date records back: only a receipt from before helps.
        received = self.receipted and self.receipted[6]
        require(8 not in e or received and received < e[8] * 10**6, "the key was revoked, and no receipt from before proves that the record is older")
        require((received if received else self.trust.register[3] * 10**6) < (e[7] + 1) * 10**6,
                f"the key was valid to {date(e[7])}, and no receipt from before proves that the record is older")
        self.entry = e
        reg = self.trust.register
        return PASS, (f"The key belongs to this device, says register number {reg[2]} of {date(reg[3])}, "
                      f"signed by the root {self.trust.root.hex()}.")

    def signature(self):
        if not self.entry:
            return OPEN, "There is no trusted key to check it with."
        require(self.message.signed_by(self.entry[4]), "the record was changed after it was sealed, or another key sealed it")
        return PASS, "The record is unchanged since the device sealed it."

    def check_frames(self):
        named = self.r.get(15, [])
        if not self.frames:
            return OPEN, "The pictures are not here."
        require(max(self.frames) <= len(named), f"there are {max(self.frames)} pictures, the record names {len(named)}")
        for n, f in enumerate(named, 1):
            data = self.frames.get(n)
            require(data is not None, f"picture {n} is missing")
            require(len(data) == f[4] and sha256(data) == f[3], f"picture {n} is not the one that was sealed")
        raw = " The device compressed raw pictures of the camera: the record says which." if any(";" in f[2] for f in named) else ""
        return PASS, f"All {len(named)} pictures are, byte for byte, those that were sealed.{raw}"

    def check_trace(self):
        if self.raw is None:
            return OPEN, "The sensor's raw data is not here."
        require(16 in self.r, "there is raw data of a sensor, and the record names none")
        require(len(self.raw) == self.r[16][2] and sha256(self.raw) == self.r[16][1], "the raw data is not what was sealed")
        return PASS, "The sensor's raw data is, byte for byte, what was sealed. It holds no certified values."

    def reuse(self):
        frames = self.r[15]
        for n, f in enumerate(frames, 1):
            for other in range(n - 1):
                require(frames[other][3] != f[3], f"picture {n} is picture {other + 1} once more")
            require(f[3] != self.r[16][1], f"picture {n} is the raw data")
        return PASS, "No picture stands twice in the record. Other records with one of them show when they are checked together."

    def measurement(self):
        fits_measurement(self.r)
        speed, indicated, reduction, assessed, limit = (self.r[14][k] for k in range(1, 6))
        than = "more" if assessed > limit else "not more"
        return PASS, (f"Measured {kmh(speed)}, indicated {kmh(indicated)}. Less the reduction of {kmh(reduction)} this is "
                      f"{kmh(assessed)}, which is {than} than the limit of {kmh(limit)}.")

    def times(self):
        fits_times(self.r)
        return PASS, (f"It happened on {moment(self.r[10])}. Track, pictures and raw data belong together, and calibration "
                      f"{self.r[17][1]} was in force until {date(self.r[17][4])}.")

    def clock(self):
        fits_clock(self.r)
        return PASS, f"The clock ({self.r[11][1]}) was off by no more than {milliseconds(abs(self.r[11][3]) + 2 * self.r[11][4])}."

    def counter(self):
        fits_counter(self.r)
        return PASS, f"The camera counted its pictures as their times are: from {self.r[15][0][5]} to {self.r[15][-1][5]}."

    def direction(self):
        fits_direction(self.r)
        return PASS, f"The vehicle was {DIRECTIONS[self.r[14][7]]}."

    def targets(self):
        fits_targets(self.r)
        n = self.r[14][11]
        return PASS, f"{n} other vehicles were in the beam. Sensor {self.r[16][4]} tells vehicles apart." if n else "No other vehicle was in the beam."

    def rule(self):
        if self.r[14][6] not in [rule[0] for rule in RULES]:
            return OPEN, f"This program's table knows no rule {self.r[14][6]}."
        fits_rule(self.r)
        return PASS, f"Rule {self.r[14][6]} was in force and takes {kmh(self.r[14][3])} off {kmh(self.r[14][1] // 100 * 100)}."

    def uncertainty(self):
        fits_uncertainty(self.r)
        return PASS, f"The standard uncertainty (k = 1) is {kmh(self.r[14][9])}, and follows from its parts."

    def settings(self):
        data = self.files.get("configuration.txt")
        if data is None or sha256(data) != self.r[18][3]:
            return OPEN, "The configuration that the record names is not here."
        fits_settings(self.r, read_settings(data))
        return PASS, "What the configuration states, the record fits."

    def software(self):
        if self.r[2] in MEASURED:
            fits_software(self.r)
        return OPEN, (f"The record names program {self.r[19][1]} with measuring core {self.r[19][2].hex()}. "
                      "Whether that is the approved one, the approval says.")

    def kind(self):
        if self.r[2] == 99:
            return PASS, f"TEST, not evidence of a violation: {self.r[21][1]}."
        if self.r[2] == 1:
            return PASS, "This record states a violation of the speed limit."
        return PASS, f"This record is of kind {KINDS[self.r[2]]}: it measures no vehicle and accuses nobody."

    def statement(self, name, key):
        data = self.files.get(name + ".txt")
        if data is None:
            return OPEN, f"The {name} statement is not here."
        require(key in self.r and sha256(data) == self.r[key][3], f"the {name} statement is not one that the record names")
        if key == 17 and self.r[2] in MEASURED:
            fits_calibration(self.r, read_settings(data))
        return PASS, f"The {name} statement is {self.r[key][1]}, version {self.r[key][2]}, as the record names it."

    def certificate(self):
        data = self.files.get("device.crt")
        if data is None:
            return OPEN, "The device's certificate is not here."
        require(sha256(data) == self.r[20][1], "the certificate is not the one that the record names")
        if not self.entry:
            return OPEN, "The device's key is not trusted."
        require(self.entry[5] in (bytes(32), self.r[20][1]), "the certificate is not the one that the register names")
        return PASS, "The certificate is the one that the record and the register name."

    def receipt(self):
        data = self.files.get("receipt.cose")
        if data is None:
            return OPEN, "There is no receipt of the centre."
        message = Message(data, "receipt", 60 << 10, RECEIPT, check_receipt)
        v = message.values
        require(v[2] == self.r[3] and [self.r[4], self.r[5], self.id] in [e[:3] for e in v[3]], "the receipt does not name this record")
        if not self.trust:
            return OPEN, "Without a trust file nothing says whose receipt it is."
        require(message.signed_by(self.trust.key(message.kid, 2, v[6])[4]), "the receipt was changed after it was sealed")
        require(v[6] >= self.r[10] - 10**6, f"the receipt is older than the record: it is of {date(v[6] // 10**6)}, "
                f"the record of {date(self.r[10] // 10**6)}. One of the two times is not true")
        self.receipted = v
        return PASS, f"The centre received the record with all its files, and said so on {date(v[6] // 10**6)}."

    def log(self):
        data = self.files.get("log.cbor")
        if data is None:
            return OPEN, "There is no proof that the record stands in the centre's log."
        require(len(data) <= 4 << 10, "the log proof is too large")
        p = decode(data, PROOF)
        require(p[2] < p[3], "the log proof is of a leaf beyond the end")
        if not self.receipted:
            return OPEN, "Without a verified receipt there is no log root to check the proof against."
        index = next(e[3] for e in self.receipted[3] if e[2] == self.id)
        require((p[2], p[3]) == (index, self.receipted[4]), "the log proof is of another place than the receipt names")
        at, last, node = p[2], p[3] - 1, sha256(b"\0", self.id)
        for sibling in p[4]:
            require(last, "the log proof is too long")
            if at & 1 or at == last:
                node = sha256(b"\1", sibling, node)
                while not at & 1 and at:
                    at, last = at >> 1, last >> 1
            else:
                node = sha256(b"\1", node, sibling)
            at, last = at >> 1, last >> 1
        require(last == 0 and node == self.receipted[5], "the log does not hold this record")
        return PASS, f"The record stands at place {p[2] + 1} of the centre's log of {p[3]} records."


def facts(r):
    """What a record says, in the words, numbers and roundings in which every verifier says it: (name, value) each."""
    m, site, cal, clock = r.get(14), r.get(13), r.get(17), r[11]

    def degrees(n, plus, minus):
        return f"{abs(n) // 10**7}.{abs(n) % 10**7:07d}\u00b0 {minus if n < 0 else plus}"
    said = [("kind", "test" if r[2] == 99 else KINDS[r[2]]), ("time", moment(r[10]))]
    if site:
        lane = f", lane {site[7]}" if site[7] else ""
        said += [("place", f"{site[2]}, km {site[3] // 1000}.{site[3] % 1000:03d}{lane}"),
                 ("position", f"{degrees(site[4], 'N', 'S')}, {degrees(site[5], 'E', 'W')}")]
    if m:
        said += [("measured", kmh(m[1])), ("uncertainty", f"{kmh(m[9])} (standard uncertainty, k = 1)"), ("indicated", kmh(m[2])),
                 ("reduction", kmh(m[3])), ("assessed", kmh(m[4])), ("limit", kmh(m[5])), ("rule", m[6]),
                 ("direction", DIRECTIONS[m[7]]), ("other targets", str(m[11]))]
        if 16 in m:
            method = "contacts" if m[16][1] == 1 else "pictures"
            said += [("second speed", f"{kmh(m[16][2])} by {method}")]
    state = "synchronised" if clock[2] else f"in holdover for {clock[5] // S} s"
    said += [("clock", f"{state} ({clock[1]}), standard uncertainty (k = 1) {milliseconds(clock[4])}")]
    if cal:
        said += [("calibration", f"{cal[1]}, version {cal[2]}, until {moment(cal[4] * 10**6)}"), ("approval", cal[5].strip() and cal[5] or "none"),
                 ("decree", cal[6].strip() and cal[6] or "none")]
    return said + [("device", r[3].hex()), ("record", f"number {r[5]} of epoch {r[4]}"), ("software", r[19][1])]


class Judged:
    """The verdict on one bundle or record: checks of (name, status, mandatory, words), and the record where it can be read."""
    def __init__(self, path, checks, checker=None):
        self.path, self.checks = path, checks
        self.r, self.id = getattr(checker, "r", None), getattr(checker, "id", None)

    def word(self):
        if any(status == FAIL for _, status, _, _ in self.checks):
            return "bad"
        if not self.checks or any(mandatory and status == OPEN for _, status, mandatory, _ in self.checks):
            return "open"
        return "test" if self.r and self.r[2] == 99 else "good"

    def line(self):
        """The verdict in a sentence, with its likely cause: the others follow from it as often as not."""
        word = self.word()
        causes = [words for _, status, mandatory, words in self.checks if status == FAIL or word == "open" and mandatory and status == OPEN]
        return " ".join([LINES[word]] + (causes[:1] if word in ("bad", "open") else []))

    def status(self, name):
        return next((status for n, status, _, _ in self.checks if n == name), None)


LINES = {"good": "This evidence is genuine and complete.", "test": "TEST, not evidence of a violation. The record is genuine.",
         "bad": "Do not rely on this evidence.", "open": "Not everything could be checked."}


def verify(data, trust, path=""):
    """Judges a bundle's zip, a record, or (files, archive) of a folder. It never raises."""
    try:
        files, archive = data if isinstance(data, tuple) else read_bundle(data) if data[:2] == b"PK" else ({"record.cose": data}, None)
    except Bad as e:
        return Judged(path, [("bundle", FAIL, True, f"The bundle cannot be read: {e}.")])
    checker = Checker(files, archive, trust)
    try:
        return Judged(path, checker.run(), checker)
    except Exception as e:  # a fault of this program must not take the rest of a batch with it
        return Judged(path, [("format", FAIL, True, f"This verifier cannot judge it ({type(e).__name__}): ask for another.")])


def together(all_judged):
    """Fails the reuse check of every record that names a file of another one. Where keys are known, only signed records count."""
    trusted = any(j.status("signature") == PASS for j in all_judged)
    seen = {}
    for j in all_judged:
        if j.r and (j.status("signature") == PASS or not trusted):
            named = [(f[3], f"picture {n}") for n, f in enumerate(j.r.get(15, []), 1)] + ([(j.r[16][1], "the raw data")] if 16 in j.r else [])
            for digest, what in named:
                seen.setdefault(digest, {}).setdefault(j.id, (what, j))
    for uses in seen.values():
        for record, (what, j) in uses.items():
            others = [(w, o) for r, (w, o) in uses.items() if r != record]
            if others:
                other, at = others[0]
                words = (f"{what[0].upper()}{what[1:]} is also {other} of record {at.r[5]}, epoch {at.r[4]}, of device {at.r[3].hex()}"
                         f" ({ascii(at.path)}).")
                for judged in all_judged:  # the same record may have been given twice
                    if judged.id == record and judged.status("reuse") != FAIL:
                        judged.checks = [(n, FAIL, m, words) if n == "reuse" else (n, s, m, w) for n, s, m, w in judged.checks]


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


def main():
    options = argparse.ArgumentParser(description="Verifies Ciglio evidence offline.")
    options.add_argument("--trust", metavar="FILE", help="the root key and the device register")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--each", action="store_true", help="judge each alone: do not look for files that two records name")
    options.add_argument("bundle", nargs="+", help="a bundle (.zip), a sealed record, or a folder of a bundle or of several")
    args = options.parse_args()
    for stream in (sys.stdout, sys.stderr):  # what this terminal cannot show must not end a batch
        stream.reconfigure(errors="backslashreplace")
    trust, refused = None, None
    if args.trust:
        try:
            trust = Trust(read_file(args.trust, 24 << 20, follow=True))
        except (Bad, OSError) as e:
            refused = f"The trust file cannot be used: {e}."
    results = []
    for path, data, fault in (found for path in args.bundle for found in find(path)):
        if refused:
            results.append(Judged(path, [("trust", FAIL, True, refused)]))
        elif data is None:
            results.append(Judged(path, [("bundle", FAIL, True, f"The bundle cannot be read: {fault}.")]))
        else:
            results.append(verify(data, trust, path))
    if not args.each:
        together(results)
    good = sum(j.word() in ("good", "test") for j in results)
    if args.json:
        print(json.dumps([{"path": j.path, "ok": j.word() in ("good", "test"), "verdict": j.word(), "line": j.line(), "facts": facts(j.r) if j.r else [],
                           "checks": [dict(zip(("name", "status", "mandatory", "words"), c)) for c in j.checks]} for j in results], indent=2))
    else:
        for j in results:
            print(ascii(j.path)[1:-1])
            for name, value in facts(j.r) if j.r else []:
                print(f"  {name:24}  {value}")
            for name, status, _, words in j.checks:
                print(f"  {status:11}  {name:18}  {words}")
            print(f"  verdict: {j.line()}")
        if len(results) != 1:
            print(f"verdict: {good} of {len(results)} are good.")
    return 0 if results and good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
