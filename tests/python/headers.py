# SPDX-License-Identifier: BSD-2-Clause
"""What the public C headers declare, read from their text, and what a C compiler says of it."""
import ctypes
import os
import re
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(ROOT, "include")

# Headers of libraries beside this one, which this package does not open.
OTHERS = ("hubble.h", "hubble_client.h", "hubble_metrics.h")

SCALARS = {
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "uint8_t": ctypes.c_uint8,
    "uint16_t": ctypes.c_uint16,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "double": ctypes.c_double,
}


def header_files():
    folders = (os.path.join(INCLUDE, "cilium-lite"), os.path.join(INCLUDE, "cilium-lite", "sys"))
    return sorted(os.path.join(folder, name) for folder in folders for name in os.listdir(folder)
                  if name.endswith(".h") and name not in OTHERS)


def read_headers():
    """The text of all headers without comments and line continuations."""
    text = ""
    for path in header_files():
        with open(path, encoding="utf-8") as f:
            text += f.read()
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("\\\n", "")


class Headers:
    """The declarations, with types of ctypes; structs are taken from a module by name."""

    def __init__(self, module):
        self.module = module
        self.text = read_headers()
        # name: [(member, type)]
        self.structs = {
            name: [self.declaration(d) for d in body.split(";") if d.strip()]
            for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", self.text, re.S | re.M)}
        self.opaque = set(re.findall(r"^struct (\w+);", self.text, re.M))
        # name: [result, argument, ...]
        self.functions = {}
        for result, name, arguments in re.findall(
                r"^CLITE_API\s+([^;]*?)(\bclite_\w+)\s*\((.*?)\);", self.text, re.S | re.M):
            types = [] if arguments.strip() == "void" else [
                self.declaration(a)[1] for a in self.split(arguments)]
            self.functions[name] = [self.type(result), *types]
        self.macros = [name for name, value in re.findall(
            r"^#define (CLITE_\w+)[ \t]+(\S.*)$", self.text, re.M)
            if not value.startswith("__attribute__")]

    @staticmethod
    def split(arguments):
        """At commas outside of parentheses."""
        return re.split(r",(?![^()]*\))", arguments)

    def declaration(self, text):
        """(name, type) of a member or parameter."""
        text = " ".join(text.split())
        function = re.fullmatch(r"(.+?) ?\(\*(\w+)\)\((.*)\)", text)
        if function:
            result, name, arguments = function.groups()
            return name, ctypes.CFUNCTYPE(
                self.type(result), *(self.declaration(a)[1] for a in self.split(arguments)))
        array = re.fullmatch(r"(.+?)(\w+)\[(\d+)\]", text)
        if array:
            return array[2], self.type(array[1]) * int(array[3])
        base, name = re.fullmatch(r"(.*?)(\w+)", text).groups()
        return name, self.type(base)

    def type(self, text):
        """The ctypes type of a C type."""
        stars = text.count("*")
        base = text.replace("*", " ").replace("const", " ").split()
        if base[0] == "struct":
            cls = getattr(self.module, base[1])
        elif base == ["char"] and stars:
            # Text that the library reads or lends; a buffer that it writes.
            cls = ctypes.c_char_p if "const char *" in text else ctypes.POINTER(ctypes.c_char)
            stars -= 1
        elif base == ["void"]:
            cls = ctypes.c_void_p if stars else None
            stars = max(0, stars - 1)
        else:
            cls = SCALARS[base[0]]
        for _ in range(stars):
            cls = ctypes.POINTER(cls)
        return cls

    # -- what a compiler says

    def measure(self):
        """{"name": size}, {"struct.member": (offset, size)}, {"MACRO": value}"""
        lines = []
        for name, members in self.structs.items():
            lines.append(f'printf("size {name} %zu 0\\n", sizeof(struct {name}));')
            for member, _ in members:
                lines.append(f'printf("member {name}.{member} %zu %zu\\n", '
                             f"offsetof(struct {name}, {member}), "
                             f"sizeof(((struct {name} *)0)->{member}));")
        for name in self.macros:
            lines.append(f'printf("macro {name} %lld 0\\n", (long long){name});')
        result = {"size": {}, "member": {}, "macro": {}}
        for line in compile_and_run("\n".join(lines)).splitlines():
            kind, name, first, second = line.split()
            result[kind][name] = (int(first), int(second)) if kind == "member" else int(first)
        return result["size"], result["member"], result["macro"]


def compiler():
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")


def compile_and_run(body):
    """Output of a C program with the public headers."""
    source = ("#include <cilium-lite/cilium-lite.h>\n#include <cilium-lite/sys/bpf.h>\n"
              "#include <stdio.h>\n\nint main(void)\n{\n" + body + "\nreturn 0;\n}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "measure")
        with open(path + ".c", "w", encoding="utf-8") as f:
            f.write(source)
        subprocess.run([*compiler().split(), "-I", INCLUDE, "-o", path, path + ".c"], check=True)
        return subprocess.run([path], check=True, stdout=subprocess.PIPE, text=True).stdout
