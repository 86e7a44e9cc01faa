"""What an isolated process runs before it becomes the program: a small root of its own, and a watch over all it starts.

``preop.engines.processes`` starts this file as a script (``python -I -S sandbox.py SPECIFICATION``), with nothing but
Python's standard library. In namespaces there are three processes: the outermost waits; the first inside (number 1, whose
end ends everything inside) watches over memory and processes; the third becomes the program. Without namespaces there are
two, and whatever the program started is found by who started it.

Sources: user_namespaces(7), mount_namespaces(7), pivot_root(2), mount_setattr(2), pid_namespaces(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

PROCESS_LIMIT = 4096
OWN_PROCESSES = "pid"
SPACES = {  # sched.h
    "user": 0x10000000,
    "mount": 0x00020000,
    "net": 0x40000000,
    "ipc": 0x08000000,
    OWN_PROCESSES: 0x20000000,
}
END_ALL = signal.SIGHUP
"""Asks the outermost process of a run without namespaces to end with all that the program started."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/sys")
_SETTINGS = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "passwd", "group", "nsswitch.conf"),
    *("localtime", "timezone", "ssl", "fonts", "mime.types", "OpenCL"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_POLL_S = 0.1
_KILLED = 128 + signal.SIGKILL

# sys/mount.h, linux/mount.h, linux/prctl.h, linux/capability.h, linux/sockios.h
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID = 1, 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_SETATTR = 442  # the same number on every architecture
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


@dataclass(frozen=True)
class Specification:
    """What to run, and what it may see and take.

    Attributes
    ----------
    command, environment, directory
        The program, all of its variables, and where it starts.
    data_limit_bytes
        Its largest data segment.
    memory_limit_bytes
        What it may take with all that it starts and all shared memory.
    spaces
        Which namespaces of ``SPACES`` it gets; with ``mount`` also a root of its own.
    root
        An empty folder on which that root is made.
    read_only, writable
        Files and folders of this machine, by the places where it finds them.
    devices
        Further devices that it may use.
    """

    command: list[str]
    environment: dict[str, str]
    directory: str
    data_limit_bytes: int
    memory_limit_bytes: int
    spaces: list[str] = field(default_factory=list)
    root: str = ""
    read_only: dict[str, str] = field(default_factory=dict)
    writable: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)

    def launcher(self, python: str) -> list[str]:
        """Give the command that runs it so."""
        return [python, "-I", "-S", __file__, json.dumps(asdict(self))]


def main(specification: Specification) -> int:
    """Run the program and give its exit code; a signal that ended it counts as 128 and its number."""
    for number in (signal.SIGTERM, signal.SIGINT):  # the whole session gets them: the program answers, we wait for it
        signal.signal(number, lambda *_: None)
    if not specification.spaces:
        signal.signal(END_ALL, _end_all)
        _prctl(_PR_SET_PDEATHSIG, END_ALL)
        return _supervise(specification)
    users = os.getuid(), os.getgid()
    _checked(_libc().unshare(sum(SPACES[name] for name in specification.spaces)), "unshare")
    if "user" in specification.spaces:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{users[0]} {users[0]} 1")
        Path("/proc/self/gid_map").write_text(f"{users[1]} {users[1]} 1")
    _raise_loopback()
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return _KILLED
    inside = _forked(lambda: _supervise_inside(specification))
    return _exit_code(os.waitpid(inside, 0)[1])


def descendants(ancestor: int) -> list[int]:
    """Give the processes that a process started, they and all theirs, as far as they are there now."""
    children: dict[int, list[int]] = {}
    for pid in _processes():
        with suppress(OSError, IndexError, ValueError):
            status = Path(f"/proc/{pid}/stat").read_text()
            children.setdefault(int(status.rpartition(")")[2].split()[1]), []).append(pid)
    found, look_at = [], [ancestor]
    while look_at:
        below = children.get(look_at.pop(), [])
        found += below
        look_at += below
    return found


def memory_of(pids: Iterable[int], shared_bytes: int, *, shares: bool) -> int:
    """Sum the memory of processes, in bytes, with the files that they hold in memory.

    Parameters
    ----------
    shares
        Count what several of them use once: exact, and slow. Else an upper bound.
    """
    own, mapped = 0, 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            if shares:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
                kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
                own += 1024 * kilobytes.get("Pss_Anon", kilobytes.get("Pss", 0))
                mapped += 1024 * kilobytes.get("Pss_Shmem", 0)
            else:
                own += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return own + max(mapped, shared_bytes)


def _supervise_inside(specification: Specification) -> int:
    """Make the root, then run and watch the program as the first process of its namespace."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _enter_root(specification)
    return _supervise(specification)


def _supervise(specification: Specification) -> int:
    """Run the program, watch over it, and end whatever it leaves behind."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    program = _forked(lambda: _become(specification))
    _prctl(_PR_SET_DUMPABLE, 0)  # after the fork: the program shall not look into this process
    watched = sys.platform == "linux"
    next_exact = 0.0
    try:
        while True:
            if (code := _ended(program)) is not None:
                return code
            if watched:
                next_exact, problem = _check(specification, next_exact)
                if problem is not None:
                    print(problem, file=sys.stderr, flush=True)
                    return _KILLED
            _wait_for_a_child(_POLL_S)
    finally:
        _kill_members(specification)


def _wait_for_a_child(seconds: float) -> None:
    """Wait until a child ends, but no longer than so many seconds; SIGCHLD is blocked, and so waits for us."""
    if sys.platform == "linux":
        signal.sigtimedwait([signal.SIGCHLD], seconds)
    else:
        time.sleep(seconds)


def _ended(program: int) -> int | None:
    """Take leave of every child that ended; give the exit code of the program if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == program:
            return _exit_code(status)
        if pid == 0:
            return None


def _check(specification: Specification, next_exact: float) -> tuple[float, str | None]:
    """Say in a sentence which limit is passed, if one is; exact sums are made seldom, for they take time."""
    members = _members(specification)
    shared = _shared_bytes(specification) + _unmapped_bytes(members, specification.spaces)
    limit = specification.memory_limit_bytes
    if len(members) > PROCESS_LIMIT:
        return next_exact, f"The program has {len(members)} processes; expected at most {PROCESS_LIMIT}."
    start = time.monotonic()
    if start < next_exact or memory_of(members, shared, shares=False) <= limit:
        return next_exact, None
    exact = memory_of(members, shared, shares=True)
    problem = (
        f"The program and all that it started take {exact / 2**30:.1f} GiB of memory, shared memory included; "
        f"expected at most {limit / 2**30:g} GiB."
    )
    took = time.monotonic() - start
    return time.monotonic() + 10 * took, problem if exact > limit else None


def _members(specification: Specification) -> list[int]:
    own = os.getpid()
    if OWN_PROCESSES in specification.spaces:
        return [pid for pid in _processes() if pid != own]
    return descendants(own)


def _shared_bytes(specification: Specification) -> int:
    """Size of the files in shared memory, where it is not everybody's."""
    if "mount" not in specification.spaces:
        return 0
    found = os.statvfs("/dev/shm")  # noqa: S108 - of this namespace
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _unmapped_bytes(members: Iterable[int], spaces: Collection[str]) -> int:
    """Size of what lies in memory though no process need have mapped it: files without a name, and System V segments."""
    found = {}
    for pid in members:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()).startswith("/memfd:"):
                        status = descriptor.stat()
                        found[status.st_dev, status.st_ino] = 512 * status.st_blocks
    segments = 0
    if "ipc" in spaces:  # else they are everybody's
        with suppress(OSError):
            titles, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
            segments = sum(int(row.split()[titles.split().index("rss")]) for row in rows)
    return sum(found.values()) + segments


def _kill_members(specification: Specification) -> None:
    """Kill all that the program started: what is being started meanwhile is found the next time round."""
    for _ in range(200):
        members = _members(specification)
        if not members:
            return
        for pid in members:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _end_all(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_KILLED)  # _supervise kills on its way out


def _become(specification: Specification) -> int:
    """Give up all power and become the program."""
    for number in (signal.SIGTERM, signal.SIGINT, END_ALL):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    limit, highest = specification.data_limit_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit if highest == resource.RLIM_INFINITY else min(limit, highest)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if specification.spaces:
        capability = 0
        while _libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:  # fails at the first that does not exist
            capability += 1
        none = struct.pack("=6I", *[0] * 6)
        _checked(_libc().capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), none), "capset")
        _checked(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.chdir(specification.directory)
    os.execve(specification.command[0], specification.command, specification.environment)  # noqa: S606 - that is the point


def _enter_root(specification: Specification) -> None:
    """Make a root that holds what was specified and what every program needs, and shut the old one off for good."""
    root = specification.root
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=16m")
    for folder in ("proc", "dev", "tmp", "run", "etc"):
        Path(root, folder).mkdir()
    for folder in (*_SYSTEM, *(f"/etc/{name}" for name in _SETTINGS)):
        here = Path(folder)
        if here.is_symlink():
            Path(root + folder).symlink_to(here.readlink())
        elif here.exists():
            _bind(folder, root + folder, read_only=True)
    _make_devices(f"{root}/dev", specification)
    if OWN_PROCESSES in specification.spaces:
        _mount("proc", f"{root}/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        _set_attributes(f"{root}/proc", _ATTR_RDONLY)
    else:
        _bind("/proc", f"{root}/proc", read_only=True)
    for place, source in sorted({**specification.read_only, **specification.writable}.items()):  # parents come first
        _bind(source, root + place, read_only=place in specification.read_only)
    os.chdir(root)
    _checked(_libc().pivot_root(b".", b"."), "pivot_root")
    _checked(_libc().umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")
    _set_attributes("/", _ATTR_RDONLY, recursive=False)


def _make_devices(folder: str, specification: Specification) -> None:
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID, "mode=755,size=1m")
    for device in (*(f"/dev/{name}" for name in _DEVICES), *specification.devices):
        if Path(device).exists():
            _bind(device, f"{folder}/{device.removeprefix('/dev/')}", read_only=False)
    Path(folder, "fd").symlink_to("/proc/self/fd")
    Path(folder, "shm").mkdir()
    shared = specification.memory_limit_bytes // 2
    _mount("tmpfs", f"{folder}/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=1777,size={shared}")
    _set_attributes(folder, _ATTR_RDONLY, recursive=False)


def _bind(source: str, target: str, *, read_only: bool) -> None:
    """Let a file or folder be found in another place too."""
    place = Path(target)
    place.parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    _mount(source, target, None, _MS_BIND | _MS_REC)
    _set_attributes(target, _ATTR_NOSUID | (_ATTR_RDONLY if read_only else 0))


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_libc().mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")


def _set_attributes(target: str, attributes: int, *, recursive: bool = True) -> None:
    """Add attributes to a mount, with all below it, and leave those that it has."""
    argument = struct.pack("=4Q", attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    done = _libc().syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), flags, argument, len(argument))
    _checked(done, f"mount_setattr {target}")


def _raise_loopback() -> None:
    """Switch the loopback device of a new network namespace on."""
    with socket.socket() as link:
        fcntl.ioctl(link, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


def _forked(action: Callable[[], int]) -> int:
    """Do something in a child, and give its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = action()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
        print(f"The isolated process could not be prepared: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _processes() -> list[int]:
    try:
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _checked(_libc().prctl(option, value, 0, 0, 0), "prctl")


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _run(arguments: Sequence[str]) -> int:
    try:
        return main(Specification(**json.loads(arguments[0])))
    except OSError as error:
        print(f"The isolated process could not be prepared: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
