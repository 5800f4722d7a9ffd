"""The filter of system calls, read as the kernel reads it, for each machine that it knows."""

import errno

import pytest

from xyn_reconciler.action.seccomp import MACHINES, Machine, program

ALLOW, KILL = 0x7FFF0000, 0x80000000
X32 = 0x40000000


def decided(known: Machine, number: int, first: int = 0, arch: int | None = None) -> int:
    """Run the filter over one call (linux/seccomp.h, struct seccomp_data)."""
    data = {0: number, 4: known.audit if arch is None else arch, 16: first}
    rules, at, value = program(known), 0, 0
    while True:
        code, when_true, when_false, operand = rules[at]
        match code:
            case 0x20:
                value = data[operand]
                at += 1
            case 0x06:
                return operand
            case _:
                holds = {0x15: value == operand, 0x35: value >= operand, 0x45: value & operand}
                at += 1 + (when_true if holds[code] else when_false)


def error(number: int) -> int:
    return 0x00050000 | number


@pytest.fixture(params=sorted(MACHINES))
def known(request: pytest.FixtureRequest) -> Machine:
    return MACHINES[request.param]


def test_what_is_listed_is_refused_and_all_else_allowed(known: Machine) -> None:
    special = {435, known.clone, known.prlimit}
    for number in range(600):
        if number not in special:
            refused = number in known.refused
            assert decided(known, number) == (error(errno.EPERM) if refused else ALLOW)


def test_nothing_is_listed_twice(known: Machine) -> None:
    assert len(known.refused) == len({*known.refused})


def test_the_calls_of_another_machine_end_the_program(known: Machine) -> None:
    for other in MACHINES.values():
        if other is not known:
            assert decided(known, 0, arch=other.audit) == KILL
    assert decided(known, 0, arch=0x40000003) == KILL  # 32 bit x86


def test_x32_ends_the_program() -> None:
    assert decided(MACHINES["x86_64"], X32 | 41) == KILL


def test_processes_and_threads_are_made_and_namespaces_are_not(known: Machine) -> None:
    fork, thread = 0x01200011, 0x003D0F00

    assert decided(known, known.clone, fork) == ALLOW
    assert decided(known, known.clone, thread) == ALLOW
    for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 1 << 30):
        assert decided(known, known.clone, fork | flag) == error(errno.EPERM)
    assert decided(known, 435) == error(errno.ENOSYS)


def test_limits_are_set_of_oneself_alone(known: Machine) -> None:
    assert decided(known, known.prlimit, 0) == ALLOW
    assert decided(known, known.prlimit, 1) == error(errno.EPERM)
