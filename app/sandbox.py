"""Linux's Landlock: a process gives up files and the network for good. Where the kernel has none, nothing happens."""

from __future__ import annotations

import ctypes
import os
from typing import Final

CREATE_RULESET, RESTRICT_SELF = 444, 446  # system calls, the same on every architecture
VERSION: Final = 1
SET_NO_NEW_PRIVS: Final = 38
# Of include/uapi/linux/landlock.h, by the version that brought them: rights on files, TCP, and scopes.
FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
TCP: Final = 0b11
SCOPES: Final = 0b11


def restrict() -> bool:
    """Allow this process no file that is not open yet, no TCP, no signals to others; whether the kernel can do so."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(VERSION))
    if version < 1:
        return False
    rights = [(1 << FILE_RIGHTS.get(version, 16)) - 1]
    rights += [TCP] if version >= 4 else []
    rights += [SCOPES] if version >= 6 else []
    attributes = (ctypes.c_uint64 * len(rights))(*rights)
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(ctypes.sizeof(attributes)), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    try:
        # No rule is added: everything that the set handles is denied.
        if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            return False
        return not libc.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint(0))
    finally:
        os.close(ruleset)
