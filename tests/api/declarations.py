#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Read the public headers: names of functions, or members of structs.

    declarations.py functions HEADER...
    declarations.py layout HEADER...      a C program that prints sizes and offsets
"""
import re
import sys

COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRUCT = re.compile(r"^struct (clite_\w+) \{\n(.*?)^\};", re.S | re.M)
FUNCTION = re.compile(r"^CLITE_API\s[^;(]*?\b(clite_\w+)\s*\(", re.M)


def member_names(body):
    for declaration in body.split(";"):
        declaration = declaration.strip()
        if not declaration:
            continue
        function = re.search(r"\(\*(\w+)\)", declaration)
        if function:
            yield function[1]
            continue
        name = re.search(r"(\w+)\s*(\[[^\]]*\])?$", declaration)
        if not name or "," in declaration:
            sys.exit(f"cannot read the member '{declaration}'")
        yield name[1]


def layout(text):
    print("#include <cilium-lite/cilium-lite.h>")
    for header in ("hubble", "hubble_client", "hubble_metrics"):
        print(f"#include <cilium-lite/{header}.h>")
    print("#include <stdio.h>\n\nint main(void)\n{")
    for tag, body in STRUCT.findall(text):
        print(f'\tprintf("{tag} %zu\\n", sizeof(struct {tag}));')
        for name in member_names(body):
            print(f'\tprintf("{tag}.{name} %zu+%zu\\n", offsetof(struct {tag}, {name}), '
                  f"sizeof(((struct {tag} *)0)->{name}));")
    print("\treturn 0;\n}")


def main():
    text = "".join(COMMENT.sub("", open(p, encoding="utf-8").read()) for p in sys.argv[2:])
    if sys.argv[1] == "functions":
        print("\n".join(sorted(FUNCTION.findall(text))))
    else:
        layout(text)


main()
