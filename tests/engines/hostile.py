"""A program that tries to get out: each attempt gives a word for what came of it.

It runs as ``/input/attempts.json`` says: the names of attempts and what each of them is given.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from preop.engines import running
from preop.engines.base import Engine
from preop.engines.programs import Program
from preop.engines.running import Run

Attempt = tuple[str, str | int | float | None]

PROBE = r"""
import ctypes, json, mmap, os, pathlib, signal, socket, subprocess, sys, time

roots = {"PREOP_INPUT": "/input", "PREOP_OUTPUT": "/output"}
source, target = (pathlib.Path(os.environ.get(name, place)) for name, place in roots.items())
wanted = json.loads((source / "attempts.json").read_text())
libc = ctypes.CDLL(None, use_errno=True)


def talk_to_a_socket(path):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        return "answered: " + link.recv(100).decode()


def reach_an_abstract_socket(name):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect("\0" + name)
        return "answered: " + link.recv(100).decode()


def read(path):
    return "read: " + pathlib.Path(path).read_text()


def write(folder):
    (pathlib.Path(folder) / "planted").write_text("by the probe")
    return "written"


def write_where_all_may(_):
    places = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock"]
    for place in places:
        try:
            (pathlib.Path(place) / "preop-hostile-probe").write_text("by the probe")
        except OSError:
            pass
    return "done"


def change_a_setting_of_the_kernel(_):
    path = pathlib.Path("/proc/sys/kernel/core_pattern")
    path.write_text(path.read_text())
    return "written"


def signal_another_process(pid):
    os.kill(pid, 0)
    return "reached"


def see_another_process(pid):
    return "seen" if pathlib.Path(f"/proc/{pid}/cmdline").exists() else "not seen"


def make_the_input_writable(_):
    if libc.mount(None, str(source).encode(), None, ctypes.c_ulong(4096 | 32), None):
        raise OSError(ctypes.get_errno(), "mount")
    return "remounted"


def uncover_what_lies_below(_):
    if libc.umount2(b"/tmp", 2) and libc.umount2(b"/", 2):
        raise OSError(ctypes.get_errno(), "umount")
    return "uncovered"


def become_root_in_a_namespace(path):
    words = "mount -o remount,bind,rw /usr && touch /usr/planted; umount -l / ; cat " + path
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", words], capture_output=True, text=True)
    return "read: " + done.stdout if done.stdout else "refused"


def make_a_device(_):
    os.mknod(str(target / "disk"), 0o660 | 0o060000, os.makedev(8, 0))
    return "made"


def open_the_first_process(_):
    return "opened" if os.listdir("/proc/1/root/root") is not None else ""


def stop_the_watch(_):
    os.kill(1, signal.SIGKILL)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.3)
    return "asked"


def outlive(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            devnull = os.open(os.devnull, os.O_RDWR)
            os.dup2(devnull, 1), os.dup2(devnull, 2)
            os.execvp(sys.executable, [sys.executable, "-c", "import time; time.sleep(47.11)"])
        os._exit(0)
    time.sleep(0.3)
    return "left one behind"


def fill_shared_memory(gigabytes):
    with open("/dev/shm/preop-hostile-probe", "wb") as file:
        for _ in range(int(gigabytes * 1024)):
            file.write(bytes(2**20))
    return "filled"


def leave_it_in_segments(gigabytes):
    size, library = 2**28, ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    numbers = [library.shmget(0, ctypes.c_size_t(size), 0o1600) for _ in range(int(gigabytes * 4))]
    for number in numbers:
        address = library.shmat(number, None, 0)
        ctypes.memset(address, 1, size)
        library.shmdt(ctypes.c_void_p(address))
    time.sleep(1)
    for number in numbers:
        library.shmctl(number, 0, None)
    return "filled"


def share_pages(gigabytes):
    pages = mmap.mmap(-1, int(gigabytes * 2**30))
    for start in range(0, len(pages), 2**20):
        pages[start : start + 2**20] = b"1" * 2**20
    time.sleep(2)
    return "filled"


def hide_it_in_a_file_without_a_name(gigabytes):
    file = os.memfd_create("hidden")
    for _ in range(int(gigabytes * 1024)):
        os.write(file, b"1" * 2**20)
    time.sleep(1)
    return "filled"


def share_it_out_among_children(gigabytes):
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            kept = []
            for _ in range(int(gigabytes * 8)):
                kept.append(b"1" * 2**27)
            time.sleep(2)
            os._exit(0)
        children.append(pid)
    return "all ended well" if all(os.waitpid(pid, 0)[1] == 0 for pid in children) else "a child was killed"


results = {}
for name, given in wanted:
    try:
        results[name] = globals()[name](given)
    except Exception as error:
        results[name] = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
    (target / "results.json").write_text(json.dumps(results))
"""

HARMLESS = (
    "talk_to_a_socket",
    "reach_an_abstract_socket",
    "read",
    "write",
    "signal_another_process",
    "see_another_process",
)
"""What can be tried without namespaces, too: where it succeeds, nothing but a file in a folder for it is changed."""
MEMORY: Sequence[Attempt] = (
    ("fill_shared_memory", 1.5),
    ("hide_it_in_a_file_without_a_name", 1.5),
    ("leave_it_in_segments", 1.5),
    ("share_pages", 1.5),
    ("share_it_out_among_children", 0.8),
)
"""More than a program of 1 GiB may take, in GiB: in its shared memory, in a file in memory that has no name, in System V
segments, in pages that processes share, and in each of three children."""


def hostile_program(root: Path) -> Program:
    """Write the probe into a folder, as a program with 1 GiB of memory."""
    folder = root / "hostile"
    folder.mkdir()
    (folder / "inference.py").write_text(PROBE)
    return Program("hostile", "Hostile", "0.0.1", "hostile.inference", folder, root, "imaging", 1, time_limit_s=60)


def attempt(engine: Engine, program: Program, folder: Path, *attempts: Attempt) -> tuple[Run, dict[str, str]]:
    """Let the probe try, and give how its run ended and what came of each attempt that it could tell of."""
    (folder / "input").mkdir(exist_ok=True)
    (folder / "input/attempts.json").write_text(json.dumps(attempts))
    result = running.run(engine, program, input=folder / "input", output=folder / "output")
    told = folder / "output/results.json"
    return result, json.loads(told.read_text()) if told.exists() else {}


@contextmanager
def ways_out(outside: Path) -> Iterator[list[Attempt]]:
    """Give what there is to try, with a secret and a server of this machine in a folder for it."""
    (outside / "secret").write_text("secret")
    name = f"preop-hostile-{os.getpid()}"
    with listening(str(outside / "socket")), listening(f"\0{name}"):
        yield [
            ("talk_to_a_socket", str(outside / "socket")),
            ("reach_an_abstract_socket", name),
            ("read", str(outside / "secret")),
            ("write", str(outside)),
            ("write_where_all_may", None),
            ("change_a_setting_of_the_kernel", None),
            ("signal_another_process", os.getpid()),
            ("see_another_process", os.getpid()),
            ("make_the_input_writable", None),
            ("uncover_what_lies_below", None),
            ("become_root_in_a_namespace", str(outside / "secret")),
            ("make_a_device", None),
            ("open_the_first_process", None),
            ("stop_the_watch", None),
        ]


@contextmanager
def listening(address: str) -> Iterator[None]:
    """A server of this machine at a Unix socket, such as docker's."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(0.1)
        done = threading.Event()

        def answer() -> None:
            while not done.is_set():
                try:
                    link, _ = server.accept()
                except TimeoutError:
                    continue
                with link:
                    link.sendall(b"here I am")

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        done.set()
        thread.join()
