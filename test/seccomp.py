"""Runs a command under a seccomp profile, as a container engine would.

usage: seccomp.py PROFILE COMMAND [ARGUMENT]...

PROFILE has the format of the OCI runtime specification. The filter is made by
libseccomp, which the engines use too. As they do, it leaves out names of system
calls that this libseccomp does not know, and rules that say what the default
says. A profile with conditions, which containerd ignores, is refused.
"""

import ctypes
import json
import os
import sys

ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000}
OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
EPERM = 1
UNKNOWN = -1


class Comparison(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint), ("operator", ctypes.c_int), ("value", ctypes.c_uint64), ("value_two", ctypes.c_uint64)]


lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_arch_resolve_name.restype = ctypes.c_uint32
lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_arch_exist.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Comparison)]
lib.seccomp_load.argtypes = [ctypes.c_void_p]


def check(result, what):
    if result < 0:
        sys.exit(f"seccomp.py: {what}: {os.strerror(-result)}")


def only(keys, allowed):
    unknown = set(keys) - set(allowed.split())
    if unknown:
        sys.exit(f"seccomp.py: not in the OCI runtime specification: {' '.join(sorted(unknown))}")


def action_of(name, errno):
    action = ACTIONS[name]
    return action | errno if name == "SCMP_ACT_ERRNO" else action


def add_rule(context, rule, default, default_errno):
    only(rule, "names action errnoRet args")
    action = action_of(rule["action"], rule.get("errnoRet", default_errno))
    if action == default:
        return
    arguments = rule.get("args", [])
    comparisons = (Comparison * len(arguments))()
    for comparison, argument in zip(comparisons, arguments):
        only(argument, "index value valueTwo op")
        comparison.index = argument["index"]
        comparison.operator = OPERATORS[argument["op"]]
        comparison.value = argument["value"]
        comparison.value_two = argument.get("valueTwo", 0)
    for name in rule["names"]:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number != UNKNOWN:
            check(lib.seccomp_rule_add_array(context, action, number, len(arguments), comparisons), name)


def main():
    with open(sys.argv[1]) as file:
        profile = json.load(file)
    only(profile, "defaultAction defaultErrnoRet architectures flags syscalls")
    errno = profile.get("defaultErrnoRet", EPERM)
    default = action_of(profile["defaultAction"], errno)
    context = lib.seccomp_init(default)
    for name in profile["architectures"]:
        arch = lib.seccomp_arch_resolve_name(name.replace("SCMP_ARCH_", "").lower().encode())
        if arch == 0:
            sys.exit(f"seccomp.py: unknown architecture {name}")
        if lib.seccomp_arch_exist(context, arch) != 0:
            check(lib.seccomp_arch_add(context, arch), name)
    for rule in profile["syscalls"]:
        add_rule(context, rule, default, errno)
    check(lib.seccomp_load(context), "could not install the filter")
    os.execvp(sys.argv[2], sys.argv[2:])


main()
