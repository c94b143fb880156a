"""Makes the golden files beside it from docs/FORMAT.md sections 2 to 4 alone, and prints the values that
`golden_tests.rs` holds as literals. Needs `cryptography` and `argon2-cffi`; shares no code with cryptfs."""
import hashlib
import hmac
import json
import pathlib
import struct

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

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
CREATED, GENERATION = 1700000001, 3


def epoch_id(number, key):
    return struct.pack(">Q", number) + expand(key, b"cryptfs v2 epoch")[:16]


SEED, NEXT_SEED = bytes(range(0xC0, 0xE0)), bytes(range(0xD0, 0xF0))
OWNER, NEXT = (Ed25519PrivateKey.from_private_bytes(seed) for seed in (SEED, NEXT_SEED))
PUBLIC, NEXT_PUBLIC = (key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (OWNER, NEXT))
IDENTITY_ID = expand(IDENTITY, b"cryptfs v2 identity")[:16]
EPOCHS = epoch_id(1, EPOCH_1) + epoch_id(2, EPOCH_2)
PARTS = b"\2" + u64(1) + EPOCH_1 + u64(2) + EPOCH_2
KEYRINGS = (b"\2\0" + IDENTITY + PUBLIC + PARTS, b"\2\1" + IDENTITY + PUBLIC + SEED + PARTS)
HEADER = lp(b"cryptfs v2 header", UUID, b"aes-256-gcm", u64(4194304), u64(1700000000), IDENTITY_ID, PUBLIC)
VOLUME = hashlib.sha256(HEADER).digest()


def slot(kind, label, own, key, first, owners=1):
    """`own`: the type's own members in order; ids and nonces count up from `first`."""
    slot_id, nonce = bytes(range(first, first + 16)), bytes(range(first, first + 12))
    values = [value if isinstance(value, bytes) else u64(value) for _, value in own]
    fields = lp(b"cryptfs v2 slot", VOLUME, slot_id, kind.encode(), label.encode(), u64(CREATED), u64(GENERATION),
                u64(owners), EPOCHS, *values)
    digest = hashlib.sha256(fields).digest()
    commitment = expand(key, b"cryptfs v2 slot commit" + digest + nonce)
    wrapped = AESGCM(expand(key, b"cryptfs v2 slot wrap" + digest)).encrypt(nonce, KEYRINGS[owners], fields)
    signature = OWNER.sign(lp(b"cryptfs v2 signed slot") + fields + lp(nonce, commitment, wrapped))
    members = {"format": "cryptfs-slot", "version": 2, "id": slot_id.hex(), "type": kind, "label": label}
    members |= {"created": CREATED, "generation": GENERATION, "owner": owners, "epochs": EPOCHS.hex()}
    for name, value in own:
        is_text = name in TEXTS
        members[name] = value if isinstance(value, int) else value.decode() if is_text else value.hex()
    members |= {"nonce": nonce.hex(), "commitment": commitment.hex(), "wrapped": wrapped.hex()}
    save(kind + ".json", members | {"signature": signature.hex()})


print("name key      ", expand(IDENTITY, b"cryptfs v2 name").hex())
print("identity id   ", IDENTITY_ID.hex())
print("owner         ", PUBLIC.hex())
print("epochs        ", EPOCHS.hex())
print("content root 1", expand(EPOCH_1, b"cryptfs v2 content").hex())
print("content root 2", expand(EPOCH_2, b"cryptfs v2 content").hex())
print("fingerprint   ", hashlib.sha256(b"cryptfs v2 owner" + PUBLIC).digest()[:16].hex())
print("digest        ", VOLUME.hex())
print("keyring       ", KEYRINGS[1].hex())

header_members = {"format": "cryptfs", "version": 2, "uuid": UUID.hex(), "cipher": "aes-256-gcm"}
header_members |= {"chunk_size": 4194304, "created": 1700000000, "critical": [], "identity": IDENTITY_ID.hex()}
save("cryptfs.json", header_members | {"owner": PUBLIC.hex(), "signature": OWNER.sign(HEADER).hex()})

list_id, revoked = bytes(range(64, 80)), bytes(range(80, 96)) + struct.pack(">Q", 1)
succession = PUBLIC + NEXT_PUBLIC
succession += OWNER.sign(lp(b"cryptfs v2 succession", VOLUME, PUBLIC, NEXT_PUBLIC))
message = lp(b"cryptfs v2 list", VOLUME, list_id, u64(4), NEXT_PUBLIC, u64(1), EPOCHS, revoked, succession)
list_members = {"format": "cryptfs-list", "version": 2, "id": list_id.hex(), "generation": 4}
list_members |= {"owner": NEXT_PUBLIC.hex(), "floor": 1, "epochs": EPOCHS.hex(), "revoked": revoked.hex()}
save("list.json", list_members | {"successions": succession.hex(), "signature": NEXT.sign(message).hex()})

stretch = [("salt", SALT), ("memory", 65536), ("passes", 3), ("lanes", 1)]
slot("passphrase", "Passwort “zu Hause”", stretch, argon2id("Grüße".encode(), 32), 0)

recovery = bytes(range(0x40, 0x60))
slot("recovery", "paper", [], expand(recovery, b"cryptfs v2 recovery"), 16)
checksum = int.from_bytes(hashlib.sha256(b"cryptfs v2 recovery" + recovery).digest()[:3], "big") >> 4
text = digits(int.from_bytes(recovery, "big") << 4, 52) + digits(checksum, 4)
print("recovery key  ", "-".join(text[i : i + 4] for i in range(0, 56, 4)))

halves = argon2id(b"1234", 64)
print("k2            ", halves[32:].hex())
sealed = [("tcti_hint", b"device:/dev/tpmrm0"), ("parent", 0x81000001), ("template", 1)]
sealed += [("srk_name", b"\0\x0b" + bytes(32)), ("bank", b"sha256"), ("pcrs", 1 << 7), ("policy", bytes(range(32)))]
sealed += [("pin", 1), *stretch, ("public", b"\1\2"), ("private", b"\3")]
info = b"cryptfs v2 tpm2" + VOLUME + bytes(range(32, 48))
key = HKDF(hashes.SHA256(), 32, None, info).derive(bytes(range(0x80, 0xA0)) + halves[:32])
slot("tpm2", "laptop", sealed, key, 32)

secret = bytes(range(0x60, 0x80))
slot("recipient", "sister", [("recipient", b"ssh-ed25519 AAAA"), ("stanza", b"age")], secret, 48, owners=0)
