"""Makes the golden files beside it from docs/FORMAT.md sections 2 to 4 alone, and prints the values that
`golden_tests.rs` holds as literals. Needs `cryptography` and `argon2-cffi`; shares no code with cryptfs."""
import hashlib
import hmac
import json
import pathlib
import struct

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TEXTS = ("tcti_hint", "bank", "recipient")
HERE = pathlib.Path(__file__).parent


def expand(key, info):
    return HKDFExpand(hashes.SHA256(), 32, info).derive(key)


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def u64(number):
    return struct.pack("<Q", number)


def lp(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def argon2id(secret, length):
    return hash_secret_raw(secret, SALT, 3, 65536, 1, length, Type.ID)


def digits(number, count):
    return "".join(CROCKFORD[number >> 5 * i & 31] for i in reversed(range(count)))


def save(name, value):
    (HERE / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


IDENTITY, EPOCH_1, EPOCH_2 = (bytes(range(start, start + 32)) for start in (0, 32, 64))
UUID, SALT = bytes(range(0xA0, 0xB0)), bytes(range(0x10, 0x30))
KEYRING = b"\1" + IDENTITY + b"\2" + struct.pack("<I", 1) + EPOCH_1 + struct.pack("<I", 2) + EPOCH_2
CREATED = 1700000001


def slot(kind, label, own, key, first):
    """`own`: the type's own members in order; ids and nonces count up from `first`."""
    slot_id, nonce = bytes(range(first, first + 16)), bytes(range(first, first + 12))
    values = [value if isinstance(value, bytes) else u64(value) for _, value in own]
    fields = lp(b"cryptfs v1 slot", UUID, slot_id, kind.encode(), label.encode(), u64(CREATED), *values)
    digest = hashlib.sha256(fields).digest()
    commitment = expand(key, b"cryptfs v1 slot commit" + digest + nonce)
    wrapped = AESGCM(expand(key, b"cryptfs v1 slot wrap" + digest)).encrypt(nonce, KEYRING, fields)
    members = {"format": "cryptfs-slot", "version": 1, "id": slot_id.hex(), "type": kind, "label": label}
    members["created"] = CREATED
    for name, value in own:
        is_text = name in TEXTS
        members[name] = value if isinstance(value, int) else value.decode() if is_text else value.hex()
    save(kind + ".json", members | {"nonce": nonce.hex(), "commitment": commitment.hex(), "wrapped": wrapped.hex()})


header_key = expand(IDENTITY, b"cryptfs v1 header")
print("name key      ", expand(IDENTITY, b"cryptfs v1 name").hex())
print("header key    ", header_key.hex())
print("content root 1", expand(EPOCH_1, b"cryptfs v1 content").hex())
print("content root 2", expand(EPOCH_2, b"cryptfs v1 content").hex())
print("fingerprint   ", expand(mac(IDENTITY, EPOCH_2), b"cryptfs v1 fingerprint")[:16].hex())
print("keyring       ", KEYRING.hex())

header = lp(b"cryptfs v1 header", UUID, b"aes-256-gcm", u64(4194304), u64(1700000000))
header_members = {"format": "cryptfs", "version": 1, "uuid": UUID.hex(), "cipher": "aes-256-gcm"}
header_members |= {"chunk_size": 4194304, "created": 1700000000, "critical": []}
save("cryptfs.json", header_members | {"mac": mac(header_key, header).hex()})

stretch = [("salt", SALT), ("memory", 65536), ("passes", 3), ("lanes", 1)]
slot("passphrase", "Passwort “zu Hause”", stretch, argon2id("Grüße".encode(), 32), 0)

recovery = bytes(range(0x40, 0x60))
slot("recovery", "paper", [], expand(recovery, b"cryptfs v1 recovery"), 16)
checksum = int.from_bytes(hashlib.sha256(b"cryptfs v1 recovery" + recovery).digest()[:3], "big") >> 4
text = digits(int.from_bytes(recovery, "big") << 4, 52) + digits(checksum, 4)
print("recovery key  ", "-".join(text[i : i + 4] for i in range(0, 56, 4)))

halves = argon2id(b"1234", 64)
print("k2            ", halves[32:].hex())
sealed = [("tcti_hint", b"device:/dev/tpmrm0"), ("parent", 0x81000001), ("template", 1)]
sealed += [("srk_name", b"\0\x0b" + bytes(32)), ("bank", b"sha256"), ("pcrs", 1 << 7), ("policy", bytes(range(32)))]
sealed += [("pin", 1), *stretch, ("public", b"\1\2"), ("private", b"\3")]
info = b"cryptfs tpm2 v1" + UUID + bytes(range(32, 48))
key = HKDF(hashes.SHA256(), 32, None, info).derive(bytes(range(0x80, 0xA0)) + halves[:32])
slot("tpm2", "laptop", sealed, key, 32)

secret = bytes(range(0x60, 0x80))
slot("recipient", "sister", [("recipient", b"ssh-ed25519 AAAA"), ("stanza", b"age")], secret, 48)
