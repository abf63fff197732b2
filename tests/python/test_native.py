# SPDX-License-Identifier: BSD-2-Clause
"""cilium_lite._native says the same as the C headers. Needs a C compiler, not the library."""
import ctypes
import inspect
import os
import re
import subprocess
import sys
import unittest

import cilium_lite
from cilium_lite import _native, enums

from headers import ROOT, Headers


class HeadersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.headers = Headers(_native)
        cls.sizes, cls.members, cls.macros = cls.headers.measure()

    def test_headers_were_read(self):
        """The reader has found what is there: it cannot pass by finding nothing."""
        text = self.headers.text
        self.assertEqual(len(self.headers.functions), text.count("CLITE_API ") - 1)  # its #define
        self.assertEqual(len(self.headers.structs) + len(self.headers.opaque),
                         len(set(re.findall(r"^struct (\w+)(?: \{|;)$", text, re.M))))
        self.assertGreater(len(self.headers.functions), 50)
        self.assertGreater(len(self.headers.structs), 20)
        self.assertGreater(len(self.macros), 50)

    def test_structs(self):
        ours = {name: cls for name, cls in vars(_native).items()
                if inspect.isclass(cls) and issubclass(cls, ctypes.Structure)
                and hasattr(cls, "_fields_")}
        self.assertEqual(set(ours), set(self.headers.structs))
        for name, cls in sorted(ours.items()):
            with self.subTest(name):
                self.assertEqual(cls._fields_, self.headers.structs[name])
                self.assertEqual(ctypes.sizeof(cls), self.sizes[name])
                for member, _ in cls._fields_:
                    field = getattr(cls, member)
                    self.assertEqual((field.offset, field.size),
                                     self.members[f"{name}.{member}"], member)

    def test_handles(self):
        for name in self.headers.opaque:
            cls = getattr(_native, name)
            self.assertTrue(issubclass(cls, ctypes.Structure), name)
            self.assertFalse(hasattr(cls, "_fields_"), name)

    def test_handles_are_not_taken_for_each_other(self):
        txn = ctypes.pointer(_native.clite_txn())
        with self.assertRaises(ctypes.ArgumentError):
            prototype = ctypes.CFUNCTYPE(*_native.PROTOTYPES["clite_fd"])
            prototype(lambda _: 0)(txn)

    def test_functions(self):
        self.assertEqual(set(_native.PROTOTYPES), set(self.headers.functions))
        for name, ours in sorted(_native.PROTOTYPES.items()):
            with self.subTest(name):
                self.assertEqual([describe(t) for t in ours],
                                 [describe(t) for t in self.headers.functions[name]])

    def test_constants(self):
        ours = {name: value for name, value in vars(_native).items()
                if name.startswith("CLITE_")}
        self.assertEqual(ours, self.macros)

    def test_enumerations(self):
        """Every number that a user may need has a name in Python."""
        prefixes = {
            "Direction": "CLITE_", "Action": "CLITE_", "Operator": "CLITE_OP_",
            "PeerKind": "CLITE_PEER_", "DefaultDeny": "CLITE_DEFAULT_DENY_",
            "ReservedIdentity": "CLITE_ID_", "IpcacheSource": "CLITE_IPCACHE_",
            "Algorithm": "CLITE_LB_", "Mode": "CLITE_MODE_", "ServiceKind": "CLITE_KIND_", "BackendState": "CLITE_BACKEND_",
            "ConntrackFlags": "CLITE_CT_", "EventType": "CLITE_EVENT_",
            "Verdict": "CLITE_VERDICT_", "WarningCode": "CLITE_WARNING_",
            "Enforcement": "CLITE_ENFORCE_", "Way": "CLITE_WAY_",
            "Aggregation": "CLITE_AGGREGATE_", "MetricType": "CLITE_METRIC_",
            "FlowKind": "CLITE_FLOW_"}
        named = set()
        for enumeration, prefix in prefixes.items():
            for name, member in getattr(enums, enumeration).__members__.items():
                self.assertEqual(member, self.macros[prefix + name], prefix + name)
                named.add(prefix + name)
        elsewhere = {m for m in self.macros if re.match(r"CLITE_(VERSION_|OPEN_|DEVICE_|REHEARSE_|TRACE_|FILTER_|FLOW_LOG_|SERVICE_|MASQUERADE_|E[A-Z]+$)", m)}
        elsewhere |= {"CLITE_ID_FIRST", "CLITE_ID_FIRST_CIDR"}
        self.assertLessEqual(set(self.macros) - named, elsewhere)


class PackageTest(unittest.TestCase):
    def test_versions(self):
        header = ".".join(str(getattr(_native, "CLITE_VERSION_" + part))
                          for part in ("MAJOR", "MINOR", "PATCH"))
        self.assertEqual(cilium_lite.__version__, header)
        with open(os.path.join(ROOT, "bindings/python/pyproject.toml"), encoding="utf-8") as f:
            self.assertIn(f'\nversion = "{header}"\n', f.read())

    def test_all(self):
        self.assertEqual(cilium_lite.__all__, sorted(cilium_lite.__all__))
        for name in cilium_lite.__all__:
            thing = getattr(cilium_lite, name)
            self.assertTrue(inspect.getdoc(thing), f"{name} has no docstring")

    def test_docstrings(self):
        """Every public method and property says what it does, and has types."""
        for name in cilium_lite.__all__:
            cls = getattr(cilium_lite, name)
            if not inspect.isclass(cls) or not cls.__module__.startswith("cilium_lite"):
                continue
            for key, member in vars(cls).items():
                function = member.fget if isinstance(member, property) else getattr(
                    member, "__func__", member)
                if key.startswith("_") or not inspect.isfunction(function):
                    continue
                with self.subTest(f"{name}.{key}"):
                    self.assertIn("return", function.__annotations__)
                    if key not in ("closed", "dropped", "context"):
                        self.assertTrue(function.__doc__)

    def test_every_module_is_installed(self):
        package = os.path.dirname(cilium_lite.__file__)
        with open(os.path.join(ROOT, "bindings/python/meson.build"), encoding="utf-8") as f:
            installed = re.findall(r"'cilium_lite/([\w.]+)'", f.read())
        there = [name for name in os.listdir(package) if name.endswith((".py", ".typed"))]
        self.assertEqual(sorted(installed), sorted(there))

    def run_python(self, program, **environment):
        environment = {**os.environ, **environment}
        environment["PYTHONPATH"] = os.path.dirname(os.path.dirname(cilium_lite.__file__))
        return subprocess.run([sys.executable, "-c", program], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

    def test_library_that_is_not_there(self):
        """Importing needs no library; the first use says what is missing."""
        done = self.run_python(
            "import cilium_lite as cl\n"
            "try:\n    cl.version()\n"
            "except ImportError as e:\n    print(e)",
            CILIUM_LITE_LIBRARY="/nowhere/libcilium-lite.so")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("CILIUM_LITE_LIBRARY=/nowhere/libcilium-lite.so", done.stdout)

    def test_library_that_is_another(self):
        done = self.run_python(
            "import cilium_lite as cl\n"
            "try:\n    cl.version()\n"
            "except ImportError as e:\n    print(e)",
            CILIUM_LITE_LIBRARY=ctypes.util.find_library("c") or "libc.so.6")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("has no function clite_", done.stdout)


def describe(kind):
    """Types of functions are compared by what they take: they are not always the same object."""
    if isinstance(kind, type) and issubclass(kind, ctypes._CFuncPtr):
        return "function", kind._restype_, kind._argtypes_
    return kind


if __name__ == "__main__":
    unittest.main()
