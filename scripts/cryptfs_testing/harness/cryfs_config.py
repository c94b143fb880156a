"""CryFS's configuration file, sealed anew under the cheapest key derivation that its format has."""

import hashlib
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER = b"cryfs.config;1;scrypt\0"
INNER_HEADER = b"cryfs.config.inner;0\0aes-256-gcm\0"
# Lengths that CryFS pads to.
INNER_LENGTH, OUTER_LENGTH = 900, 1024


def with_cheap_scrypt(config: bytes, passphrase: bytes) -> bytes:
    """A `cryfs.config` of AES-256-GCM, under the same passphrase with an scrypt factor of 2."""
    length = struct.unpack_from("<Q", config, len(HEADER))[0]
    parameters, outer = config[len(HEADER) + 8 :][:length], config[len(HEADER) + 8 + length :]
    factor, size, lanes = struct.unpack_from("<QII", parameters)
    salt = parameters[16:]

    def keys(factor: int) -> tuple[AESGCM, AESGCM]:
        limit = (1 << 31) - 2
        key = hashlib.scrypt(passphrase, salt=salt, n=factor, r=size, p=lanes, maxmem=limit, dklen=88)
        return AESGCM(key[:32]), AESGCM(key[32:64])

    (outer_key, inner_key), (cheap_outer_key, cheap_inner_key) = keys(factor), keys(2)
    plain = _unseal(inner_key, _unseal(outer_key, outer).removeprefix(INNER_HEADER))
    inner = INNER_HEADER + _seal(cheap_inner_key, plain, INNER_LENGTH)
    parameters = struct.pack("<QII", 2, size, lanes) + salt
    return HEADER + struct.pack("<Q", length) + parameters + _seal(cheap_outer_key, inner, OUTER_LENGTH)


def _unseal(cipher: AESGCM, sealed: bytes) -> bytes:
    padded = cipher.decrypt(sealed[:16], sealed[16:], None)
    return padded[4 : 4 + int.from_bytes(padded[:4], "little")]


def _seal(cipher: AESGCM, plain: bytes, length: int) -> bytes:
    nonce = os.urandom(16)
    padded = struct.pack("<I", len(plain)) + plain
    return nonce + cipher.encrypt(nonce, padded.ljust(length, b"\0"), None)
