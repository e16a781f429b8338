"""Tries what the kernel offers to reach a server from inside of a box. Prints {probe: 'leak' or a reason} as JSON."""

import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys

targets = json.loads(sys.argv[1])
kernel = ctypes.CDLL(None, use_errno=True)
found = {}


def probe(name, look):
    try:
        found[name] = "leak" if look() else "nothing"
    except OSError as error:
        found[name] = str(error.errno)
    except Exception as error:
        found[name] = type(error).__name__


def call(number, *arguments):
    result = kernel.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20)


def is_server(pid):
    line = read(f"/proc/{pid}/cmdline")
    # What runs this is told the same words.
    return targets["commandLine"].encode() in line and b"system-probes" not in line


def may_write(path):
    os.close(os.open(path, os.O_WRONLY))
    return True


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(address)
        return True


def in_child(work):
    """Whether work succeeds in a process of its own: it may change what it sees."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def mount_over():
    if kernel.mount(b"none", b"/tmp", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "")
    return True


def unmount():
    """What hides a place may hide the server's state."""
    if kernel.umount2(targets["dataDirectory"].encode(), 2) != 0:
        raise OSError(ctypes.get_errno(), "")
    return True


def new_user():
    if kernel.unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno(), "")
    return True


def trace():
    # PTRACE_SEIZE: unlike PTRACE_ATTACH it stops nobody.
    call(syscalls["ptrace"], 0x4206, targets["pid"], 0, 0)
    return is_server(targets["pid"])


def enter_namespaces():
    handle = os.open(f"/proc/{targets['pid']}/ns/mnt", os.O_RDONLY)
    if kernel.setns(handle, 0) != 0:
        raise OSError(ctypes.get_errno(), "")
    return is_server(targets["pid"])


def netlink():
    """Interfaces of the computer, as the kernel tells them (RTM_GETLINK)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(2)
        sock.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
        sock.recv(65536)
    return {name for _, name in socket.if_nameindex()} - {"lo"} != set()


def listening():
    wanted = f":{targets['port']:04X} "
    return any(wanted in read(f"/proc/net/{name}").decode() for name in ("tcp", "tcp6"))


def keyring():
    for ring in (-3, -4, -5):
        key = kernel.syscall(syscalls["keyctl"], 10, ring, b"user", targets["keyName"].encode(), 0)
        if key > 0:
            return True
    return False


def io_uring_read(path):
    """Opens a file by a ring instead of a system call: IORING_OP_OPENAT."""
    parameters = ctypes.create_string_buffer(120)
    ring = call(425, 4, parameters)
    entries, = struct.unpack_from("=I", parameters, 0)
    head, tail, mask, _, _, _, array = struct.unpack_from("=7I", parameters, 40)
    completion = struct.unpack_from("=6I", parameters, 80)
    queue = mmap.mmap(ring, array + 4 * entries, offset=0)
    done = mmap.mmap(ring, completion[5] + 16 * entries * 2, offset=0x8000000)
    work = mmap.mmap(ring, 64 * entries, offset=0x10000000)
    name = ctypes.create_string_buffer(path.encode())
    work[0:64] = struct.pack("=BBHiQQIIQ24x", 18, 0, 0, -100, 0, ctypes.addressof(name), 0, os.O_RDONLY, 7)
    queue[array : array + 4] = struct.pack("=I", 0)
    queue[tail : tail + 4] = struct.pack("=I", 1)
    call(426, ring, 1, 1, 1, None, 0)
    _, result, _ = struct.unpack_from("=QiI", done, completion[5])
    if result < 0:
        raise OSError(-result, "")
    return True


syscalls = {
    "x86_64": {"ptrace": 101, "keyctl": 250},
    "aarch64": {"ptrace": 117, "keyctl": 219},
}[os.uname().machine]
data = targets["dataDirectory"]
pid = targets["pid"]

probe("password file", lambda: read(targets["passwordFile"]))
for file in ("preferences.json", "molehill.db", "tls/key.pem"):
    probe(f"read {file}", lambda file=file: read(f"{data}/{file}"))
probe("write the state", lambda: may_write(f"{data}/preferences.json"))
probe("environment by /proc", lambda: targets["startVariable"].encode() in read(f"/proc/{pid}/environ"))
probe("memory by /proc", lambda: is_server(pid) and os.open(f"/proc/{pid}/mem", os.O_RDONLY) > 0)
probe("other processes", lambda: any(is_server(each) for each in os.listdir("/proc") if each.isdigit()))
probe("signal", lambda: os.kill(pid, 0) is None and is_server(pid))
probe("ptrace", trace)
probe("enter its namespaces", enter_namespaces)
probe("TCP to its port", lambda: connect(socket.AF_INET, ("127.0.0.1", targets["port"])))
probe("abstract socket", lambda: connect(socket.AF_UNIX, "\0" + targets["socketName"]))
probe("netlink", netlink)
probe("its sockets in /proc/net", listening)
# Outside of a box these would change the computer.
if targets["isBoxed"]:
    probe("mount", lambda: in_child(mount_over))
    probe("unmount what hides", lambda: in_child(unmount))
probe("user namespace", lambda: in_child(new_user))
probe("write /sys", lambda: any(map(may_write, ["/sys/kernel/mm/ksm/run", "/sys/power/state"])))
probe("write /proc/sys", lambda: may_write("/proc/sys/kernel/core_pattern"))
probe("keyring", keyring)
probe("io_uring", lambda: io_uring_read(f"{data}/preferences.json"))
print(json.dumps(found))
