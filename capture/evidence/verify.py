#!/usr/bin/env python3
"""Verifies Ciglio evidence with nothing but the Python standard library (3.9 or later).

    verify.py --trust FILE [--json] BUNDLE...

A BUNDLE is a bundle's .zip or a single sealed record. The trust file holds the root's key and the device
register that the root has signed; compare the printed root with the one that the authority publishes.
Exit code: 0 when every bundle is good, 1 when one is not, 2 for wrong use. It is one of three independent
verifiers; docs/evidence.md says what each check means.
"""
import argparse, base64, datetime, hashlib, json, re, sys, unicodedata, zlib

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
        if any(unicodedata.category(c) == "Cc" for c in s):
            raise Bad("text holds a control character")
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
BODIES = {2: [COUNT] * 4, 3: [SAID, integer(0, 1), SAID], 4: [integer(-TOP - 1), SAID], 5: [blob(1, STATEMENT_MAX), SAID],
          6: [blob(1, STATEMENT_MAX), SAID], 7: [HASH], 8: [COUNT, COUNT], 9: [SAID, SAID], 10: [SAID], 11: [SAID],
          12: [integer(0, 1), SAID], 99: [SAID]}
KINDS = ["", "violation", "heartbeat", "boot", "clock step", "calibration", "configuration", "key change", "eviction",
         "tamper", "operator", "shutdown", "self-test"]
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
    15: array(table({1: LABEL, 2: LABEL, 3: HASH, 4: integer(1, FRAME_MAX), 5: COUNT, 6: COUNT, 7: integer(0, 60000000)}), 2, 5),
    16: table({1: HASH, 2: integer(1, TRACE_MAX), 3: LABEL, 4: WORDS, 5: text(0, 256), 6: HASH, 7: COUNT, 8: COUNT, 9: COUNT}),
    17: table({**STATEMENT, 4: SECONDS, 5: text(0, 256), 6: text(0, 256)}),
    18: table(STATEMENT), 19: table({1: WORDS, 2: HASH, 3: HASH}), 20: table({1: HASH, 2: LABEL}),
    21: lambda i, r: table(dict(enumerate(BODIES.get(r[2], []), 1)))(i, None),
}, optional=(13, 14, 15, 16, 17, 21))
RECEIPT = table({1: integer(1, 1), 2: ID, 3: array(tuple_of(integer(1), integer(1), HASH, COUNT), 1, 1000), 4: integer(1),
                 5: HASH, 6: MICROS})
REGISTER = table({1: integer(1, 1), 2: integer(1), 3: SECONDS, 4: array(table({
    1: integer(1, 2), 2: ID, 3: COUNT, 4: blob(91), 5: HASH, 6: SECONDS, 7: SECONDS, 8: SECONDS}, optional=(8,)), 0, 60000)})
PROOF = table({1: integer(1, 1), 2: COUNT, 3: integer(1), 4: array(HASH, 0, 63)})


def require(good, words):
    if not good:
        raise Bad(words)


NEAR = 10 * 10**9  # ns


def check_record(r):
    kind, measured = r[2], r[2] in MEASURED
    require(kind == 1 or kind in BODIES, "no such kind of record")
    for key in (13, 14, 15, 16, 17):
        require(key in r or not measured, f"key {key} is missing")
        require(key not in r or measured or key in (13, 17), f"key {key} does not fit the kind")
    require((21 in r) == (kind in BODIES), "body missing, or in a violation")
    require((r[5] == 1) == (r[6] == bytes(32)), "prev is zero in the first record of an epoch and in no other")
    require(r[12][0] or not r[12][1], "counter without class")
    require(r[20][2] in ("file", "tpm2", "se"), "no such class of key")
    require(r[18][1] or not measured, "configuration without id")
    require(17 not in r or r[17][1], "calibration without id")
    roles = [f[1] for f in r.get(15, [])]
    require(not roles or re.fullmatch("(before )*photo (after )*", "".join(x + " " for x in roles)), "roles of the frames")
    require(all(re.fullmatch("image/jpeg(;source=(yuyv|uyvy|grey))?", f[2]) for f in r.get(15, [])), "media type of a frame")
    second = r.get(14, {}).get(16)
    require(not second or (second[1] == 1) == (4 in second), "what the contacts saw is missing, or there were none")
    if second and 4 in second:
        positions, marks = second[4][1], second[4][2]
        require(len(marks) == len(positions) and len({len(at) for at in marks}) == 1, "the contacts have different numbers of marks")
        require(all(a < b for a, b in zip(positions, positions[1:])), "the nearest contact does not come first")


def check_contacts(contacts, direction, speed):
    """Checks that a speed follows from what the contacts saw, and the direction too."""
    positions, marks = contacts[1], contacts[2]
    toward = marks[0][0] > marks[-1][0]
    for leg in zip(*(reversed(marks) if toward else marks)):
        require(all(a < b for a, b in zip(leg, leg[1:])), "what crossed the contacts did not go one way")
    times = [abs(last - first) for first, last in zip(marks[0], marks[-1])]
    require(max(times) <= 6 * NEAR, "what crossed the contacts took more than a minute")
    require(direction == (1 if toward else 2), "what crossed the contacts went the other way")
    require((positions[-1] - positions[0]) * len(times) * 360 * 10**6 // sum(times) == speed, "the contacts give another speed")


def check_receipt(r):
    places = [e[:2] for e in r[3]]
    require(all(a < b for a, b in zip(places, places[1:])), "entries out of order")
    require(all(e[3] < r[4] for e in r[3]), "entry beyond the end of the log")


def check_register(r):
    order = [(e[1], e[2], e[3], e[4] if e[1] == 2 else b"") for e in r[4]]
    require(all(a < b for a, b in zip(order, order[1:])), "keys not in ascending order")
    require(len({e[4] for e in r[4]}) == len(r[4]), "a key stands twice")
    for e in r[4]:
        require((e[1] == 2) == (e[3] == 0) == (e[2] == bytes(16)) and e[6] <= e[7], "an entry contradicts itself")
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
ENDS = {"audio/wav": "wav", "text/csv": "csv", "application/jsonl": "jsonl"}


def read_zip(data):
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


# ---- the checks ------------------------------------------------------------------------------------------
PASS, FAIL, OPEN = "pass", "fail", "not checked"


def date(seconds):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S UTC")


def kmh(speed):
    return f"{speed // 100}.{speed % 100:02d} km/h"


def ask(question):
    """Runs one check: a function that returns a status and words, or raises Bad."""
    try:
        return question()
    except Bad as e:
        return FAIL, f"{e}."[0].upper() + f"{e}."[1:]


class Checker:
    def __init__(self, files, trust):
        self.files, self.trust, self.entry, self.receipted = files, trust, None, None
        self.frames = {int(n[7]): d for n, d in files.items() if n.startswith("frames/")}
        self.raw = next((d for n, d in files.items() if n.startswith("trace.")), None)

    def run(self):
        try:
            self.message = open_record(self.files["record.cose"])
        except Bad as e:
            rest = [(n, OPEN, True, "The record cannot be read.") for n in ("device key", "signature", "kind")]
            return [("format", FAIL, True, f"This is not a record of profile 1: {e}.")] + rest
        self.r, self.id = self.message.values, sha256(b"ciglio/rec/v1\0", self.message.tbs)
        measured = self.r[2] in MEASURED
        receipt = ask(self.receipt)
        questions = [("device key", True, self.device_key), ("signature", True, self.signature)]
        questions += [("frames", True, self.check_frames)] if measured or self.frames else []
        questions += [("trace", True, self.check_trace)] if measured or self.raw is not None else []
        questions += [("measurement", True, self.measurement), ("times", True, self.times)] if measured else []
        questions += [("kind", True, self.kind), ("calibration", False, lambda: self.statement("calibration", 17)),
                      ("configuration", False, lambda: self.statement("configuration", 18)),
                      ("device certificate", False, self.certificate), ("receipt", False, lambda: receipt), ("log", False, self.log)]
        words = f"Record {self.r[5]} of device {self.r[3].hex()} is written as profile 1 demands. Its id is {self.id.hex()}."
        checks = [("format", PASS, True, words)]
        for name, mandatory, question in questions:
            status, words = ask(question)
            checks.append((name, status, mandatory, words))
        return checks

    def device_key(self):
        if not self.trust:
            return OPEN, "Without a trust file nothing says whose key it is."
        e = self.trust.key(self.message.kid, 1, self.r[10], self.r[3], self.r[4])
        require(8 not in e or self.receipted and self.receipted[6] // 10**6 < e[8],
                "the key was revoked, and no receipt from before proves that the record is older")
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

    def measurement(self):
        m = self.r[14]
        speed, indicated, reduction, assessed, limit = (m[k] for k in range(1, 6))
        require(indicated == speed - speed % 100, "the indicated speed is not the measured one truncated to whole km/h")
        require(assessed == max(indicated - reduction, 0), "the assessed speed is not the indicated one less the reduction")
        require(assessed > limit or self.r[2] != 1, "the assessed speed is not more than the limit")
        require(not m[6].startswith("it-") or reduction >= 500 and reduction * 20 >= indicated, "less than 5 km/h or 5 % is taken off")
        require(m[9] ** 2 >= sum(part**2 for part in m[10]), "the uncertainty is less than its parts give")
        require(16 not in m or abs(m[16][2] - speed) <= m[16][3], "the second speed disagrees")
        if 4 in m.get(16, {}):
            check_contacts(m[16][4], m[7], m[16][2])
        than = "more" if assessed > limit else "not more"
        return PASS, (f"Measured {kmh(speed)}, indicated {kmh(indicated)}. Less the reduction of {kmh(reduction)} this is "
                      f"{kmh(assessed)}, which is {than} than the limit of {kmh(limit)}.")

    def times(self):
        m, t, near, frames = self.r[14], self.r[16], NEAR, [f[6] for f in self.r[15]]
        start, end, photo = m[13], m[14], m[15]
        require(start <= end, "the track ends before it begins")
        require(t[8] <= t[9], "the raw data ends before it begins")
        require(t[8] <= end and t[9] >= start, "the raw data is of another time than the track")
        require(start - near <= photo <= end + near, "the photo position lies far from the track")
        require(abs(self.r[9] - end) <= 6 * near, "the clocks were read far from the track")
        require(self.r[10] <= self.r[17][4] * 10**6, f"the calibration was in force until {date(self.r[17][4])}")
        marks = [at for contact in m.get(16, {}).get(4, {2: []})[2] for at in contact]
        require(all(start - near <= at <= end + near for at in marks), "what crossed the contacts did so far from the track")
        require(all(a < b for a, b in zip(frames, frames[1:])), "the pictures were taken in another order")
        require(all(abs(f - photo) <= near for f in frames), "a picture was taken far from the photo position")
        return PASS, f"It happened on {date(self.r[10] // 10**6)}. The calibration was in force until {date(self.r[17][4])}."

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
        return PASS, f"The record stands at place {p[2]} of the centre's log of {p[3]} records."


def verify(data, trust):
    """Returns the checks of a bundle or a record: (name, status, mandatory, words) each."""
    files = {"record.cose": data}
    if data[:2] == b"PK":
        try:
            files = read_zip(data)
        except Bad as e:
            return [("bundle", FAIL, True, f"The bundle cannot be read: {e}.")]
    return Checker(files, trust).run()


def main():
    options = argparse.ArgumentParser(description="Verifies Ciglio evidence offline.")
    options.add_argument("--trust", metavar="FILE", help="the root key and the device register")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("bundle", nargs="+", help="a bundle (.zip) or a sealed record")
    args = options.parse_args()
    results, trust, refused = [], None, None
    if args.trust:
        try:
            with open(args.trust, "rb") as f:
                trust = Trust(f.read())
        except (Bad, OSError) as e:
            refused = [("trust", FAIL, True, f"The trust file cannot be used: {e}.")]
    for path in args.bundle:
        try:
            with open(path, "rb") as f:
                checks = refused or verify(f.read(160 << 20), trust)
        except OSError as e:
            checks = [("bundle", FAIL, True, f"The bundle cannot be read: {e}.")]
        good = all(status == PASS or status == OPEN and not mandatory for _, status, mandatory, _ in checks)
        results.append({"path": path, "ok": good, "checks": [dict(zip(("name", "status", "mandatory", "words"), c)) for c in checks]})
        if not args.json:
            print(path)
            for name, status, _, words in checks:
                print(f"  {status:11}  {name:18}  {words}")
    if args.json:
        print(json.dumps(results, indent=2))
    return 0 if all(r["ok"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
