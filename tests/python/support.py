# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces, a bpf file system, and waiting, for the tests.

Everything has names of this process, and is removed when the test is over, however it ends.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import cilium_lite as cl

CLONE_NEWNET = 0x40000000
PREFIX = f"clite-py{os.getpid()}"
PATIENCE = 20  # seconds in which everything that is awaited has happened on a slow machine
ROOT = os.geteuid() == 0

needs_root = unittest.skipUnless(ROOT, "needs root: loads BPF programs")
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command, **options):
    """Run a command; what it says is in the exception if it fails."""
    options = {"check": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
               "text": True, "timeout": 60, **options}
    try:
        return subprocess.run(command, **options)
    except subprocess.CalledProcessError as e:
        raise AssertionError(f"{' '.join(command)}: {e.output}") from None


def wait_for(condition, what, patience=PATIENCE):
    """Wait until condition() is true, and return what it is."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {patience} s: {what}")
        time.sleep(0.01)


class Namespace:
    """A network namespace."""

    def __init__(self, name):
        self.name = f"{PREFIX}-{name}"
        self.path = f"/run/netns/{self.name}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def remove(self):
        run("ip", "netns", "del", self.name)

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def command(self, *command):
        """What runs a command in it."""
        return ["nsenter", f"--net={self.path}", *command]

    @contextlib.contextmanager
    def entered(self):
        """This thread is in it; sockets that it makes stay there."""
        with open("/proc/thread-self/ns/net", "rb") as before, open(self.path, "rb") as after:
            _setns(after.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


class Workload(Namespace):
    """A namespace with eth0, whose other end is a device of this name on the host."""

    def __init__(self, host, name, number):
        super().__init__(name)
        self.device = name
        self.ipv4 = f"10.77.0.{number}"
        self.ipv6 = f"fd77::{number:x}"
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", host.name)
        host.ip("link", "set", "dev", name, "up")
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", f"{self.ipv4}/32", "dev", "eth0")
        self.ip("addr", "add", f"{self.ipv6}/128", "dev", "eth0", "nodad")
        # Answered by the datapath: nobody has these addresses.
        self.ip("route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink")
        self.ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")


class RootTestCase(unittest.TestCase):
    """A test with a host namespace of its own, in which it is."""

    def setUp(self):
        if not ROOT:
            self.skipTest("needs root: loads BPF programs")
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.host = Namespace("host")
        self.stack.callback(self.host.remove)
        self.stack.enter_context(self.host.entered())

    def workload(self, name, number):
        workload = Workload(self.host, name, number)
        self.stack.callback(workload.remove)
        return workload

    def veth(self, name):
        """A device that leads to nowhere."""
        run("ip", "link", "add", "dev", name, "type", "veth", "peer", "name", name + "-peer")
        run("ip", "link", "set", "dev", name, "up")
        run("ip", "link", "set", "dev", name + "-peer", "up")
        return name

    def bpffs(self):
        """A bpf file system."""
        folder = tempfile.mkdtemp(prefix=PREFIX)
        self.stack.callback(os.rmdir, folder)
        run("mount", "-t", "bpf", "bpf", folder)
        self.stack.callback(run, "umount", folder)
        return folder

    def cgroup(self):
        """A mount of cgroup2, and a cgroup of its own there."""
        folder = tempfile.mkdtemp(prefix=PREFIX)
        self.stack.callback(os.rmdir, folder)
        run("mount", "-t", "cgroup2", "none", folder)
        self.stack.callback(run, "umount", folder)
        cgroup = tempfile.mkdtemp(prefix="clite-test.", dir=folder)
        self.stack.callback(os.rmdir, cgroup)
        return folder, cgroup

    def context(self, *arguments, **options):
        """A context that is closed in the end; ephemeral unless told otherwise."""
        if not arguments:
            options.setdefault("ephemeral", True)
        return self.stack.enter_context(cl.Context(*arguments, **options))

    def folder(self):
        folder = tempfile.mkdtemp(prefix=PREFIX)
        self.stack.callback(shutil.rmtree, folder)
        return folder

    def process(self, namespace, *command):
        """Start a command in a namespace; ended in the end."""
        process = subprocess.Popen(namespace.command(*command), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        self.stack.callback(_end, process)
        return process

    def python(self, namespace, program, *arguments):
        return self.process(namespace, sys.executable, "-u", program, *arguments)


def _end(process):
    process.kill()
    process.wait()
    process.stdout.close()
