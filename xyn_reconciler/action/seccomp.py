"""System calls that a confined program has no business with, refused by a seccomp filter.

Landlock knows files, TCP and (lately) signals. Left to close are the doors beside it: Unix
sockets by path (Postgres has one), UDP, io_uring, looking into or limiting other processes,
changing modes and owners (which Landlock does not ask about), shared memory, namespaces.
The filter is data (:func:`program`); :func:`install` hands it to the kernel, for good.
The trap: numbers of system calls differ by machine, and an unknown machine has no filter.
"""

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple


class Machine(NamedTuple):
    """What the calls are called on one kind of machine."""

    audit: int
    """AUDIT_ARCH_*, which the kernel hands to the filter with each call."""
    refused: tuple[int, ...]
    clone: int
    prlimit: int


# fmt: off
_EVERYWHERE: Final = (
    425, 426, 427,       # io_uring_setup, _enter, _register: opens and connects past this filter
    438, 440,            # pidfd_getfd, process_madvise
    447,                 # memfd_secret
    452, 463, 466,       # fchmodat2, setxattrat, removexattrat
)
MACHINES: Final = {
    "x86_64": Machine(0xC000003E, (
        41,                        # socket
        101, 310, 311, 312,        # ptrace, process_vm_readv, process_vm_writev, kcmp
        90, 91, 268,               # chmod, fchmod, fchmodat
        92, 93, 94, 260,           # chown, fchown, lchown, fchownat
        188, 189, 190,             # setxattr, lsetxattr, fsetxattr
        197, 198, 199,             # removexattr, lremovexattr, fremovexattr
        29, 30, 31,                # shmget, shmat, shmctl
        64, 65, 66, 220,           # semget, semop, semctl, semtimedop
        68, 69, 70, 71, 240,       # msgget, msgsnd, msgrcv, msgctl, mq_open
        250, 248, 249,             # keyctl, add_key, request_key
        321, 298, 323,             # bpf, perf_event_open, userfaultfd
        319,                       # memfd_create: memory that no limit counts
        141, 142, 144, 203, 314,   # setpriority, sched_set: param, scheduler, affinity, attr
        251, 256, 279,             # ioprio_set, migrate_pages, move_pages
        272, 308,                  # unshare, setns
        303, 304,                  # name_to_handle_at, open_by_handle_at
        *_EVERYWHERE,
    ), clone=56, prlimit=302),
    "aarch64": Machine(0xC00000B7, (
        198,                       # socket
        117, 270, 271, 272,        # ptrace, process_vm_readv, process_vm_writev, kcmp
        52, 53,                    # fchmod, fchmodat
        54, 55,                    # fchownat, fchown
        5, 6, 7,                   # setxattr, lsetxattr, fsetxattr
        14, 15, 16,                # removexattr, lremovexattr, fremovexattr
        194, 195, 196,             # shmget, shmctl, shmat
        190, 191, 192, 193,        # semget, semctl, semtimedop, semop
        186, 187, 188, 189, 180,   # msgget, msgctl, msgrcv, msgsnd, mq_open
        219, 217, 218,             # keyctl, add_key, request_key
        280, 241, 282,             # bpf, perf_event_open, userfaultfd
        279,                       # memfd_create: memory that no limit counts
        140, 118, 119, 122, 274,   # setpriority, sched_set: param, scheduler, affinity, attr
        30, 238, 239,              # ioprio_set, migrate_pages, move_pages
        97, 268,                   # unshare, setns
        264, 265,                  # name_to_handle_at, open_by_handle_at
        *_EVERYWHERE,
    ), clone=220, prlimit=261),
}
# fmt: on

_CLONE3: Final = 435
_NEW_NAMESPACES: Final = 0x7E020080
"""CLONE_NEW* of ``clone``'s flags."""
_X32: Final = 0x40000000

# linux/bpf_common.h, linux/seccomp.h; struct seccomp_data: nr, arch, ip, args[6].
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def machine() -> Machine | None:
    """What is known of this machine."""
    return MACHINES.get(os.uname().machine)


def program(known: Machine) -> list[Instruction]:
    """Give the filter: refuse what is listed, allow what is left."""
    rules: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL),  # the calls of another machine have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL if known.audit == MACHINES["x86_64"].audit else _ALLOW),
    ]
    for number in known.refused:
        rules += _when_called(number, [(_RETURN, 0, 0, _ERRNO | errno.EPERM)])
    # Its flags are in memory, where no filter looks; who is told that it is missing takes clone.
    rules += _when_called(_CLONE3, [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)])
    rules += _when_called(
        known.clone,
        [
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    # Its own limits alone: 0 is the caller.
    rules += _when_called(
        known.prlimit,
        [
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    return [*rules, (_RETURN, 0, 0, _ALLOW)]


def _when_called(number: int, then: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(then), number), *then]


def install() -> None:
    """Hold this process, and all that it starts, to the filter; raises ``OSError``.

    The caller has set ``no_new_privs``.
    """
    known = machine()
    if known is None:
        raise OSError("seccomp: this machine's system calls are not known")
    code = b"".join(struct.pack("=HBBI", *rule) for rule in program(known))
    held = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("@HP", len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, filter_, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
