#!/usr/bin/env python3
"""Add io_uring to a seccomp profile of a container engine.

  make-seccomp.py default.json                  in the engine's own format
  make-seccomp.py --oci default.json            as the OCI runtime specification has it
  make-seccomp.py --operator NAME default.json  as an object of the Security Profiles Operator

default.json is the profile that the engine comes with, or one of your own. The
new profile goes to standard output. It allows what the old one allows, and
io_uring_setup, io_uring_enter and io_uring_register.

Docker and Podman have rules that depend on the architecture, the kernel and the
capabilities of the container ("includes", "excludes", "archMap"). containerd,
and so most of Kubernetes, ignores these conditions and would apply each rule.
With --oci and --operator, they are decided here: for the architectures that
--arch names (default: amd64 and arm64, in one profile), a kernel that has
io_uring, and the capabilities that engines give a container by default, with
those that --cap adds.
"""

import argparse
import json
import sys

CALLS = ["io_uring_enter", "io_uring_register", "io_uring_setup"]

# What Docker, containerd and CRI-O give, as far as profiles ask for it.
DEFAULT_CAPS = ["CAP_AUDIT_WRITE", "CAP_SYS_CHROOT"]

# Go's names of architectures, which conditions use, and those of libseccomp.
ARCHES = {
    "amd64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "arm64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}


def allow_io_uring(profile):
    """The profile, with a rule for the calls and without others on them."""
    syscalls = []
    for rule in profile["syscalls"]:
        # Old releases of Docker have one "name" for each rule.
        names = rule.get("names") or [rule["name"]]
        names = [name for name in names if name not in CALLS]
        if names:
            rule = {key: value for key, value in rule.items() if key != "name"}
            syscalls.append({**rule, "names": names})
    syscalls.append({"names": CALLS, "action": "SCMP_ACT_ALLOW"})
    return {**profile, "syscalls": syscalls}


def holds(rule, arch, caps):
    """Does the rule apply to a container of this architecture, with these?"""
    includes = rule.get("includes") or {}
    excludes = rule.get("excludes") or {}
    # minKernel: each kernel that has io_uring is later than what profiles ask
    # for, which is 4.8.
    return (
        (not includes.get("arches") or arch in includes["arches"])
        and arch not in excludes.get("arches", [])
        and set(includes.get("caps", [])) <= caps
        and not set(excludes.get("caps", [])) & caps
    )


def decide(profile, arches, caps):
    """The profile without conditions."""
    syscalls = []
    for rule in profile["syscalls"]:
        if any(holds(rule, arch, caps) for arch in arches):
            syscalls.append(
                {key: rule[key] for key in ("names", "action", "errnoRet", "args") if rule.get(key) is not None and rule[key] != []}
            )
    decided = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet") if key in profile}
    decided["architectures"] = [name for arch in arches for name in ARCHES[arch]]
    decided["syscalls"] = syscalls
    return decided


def as_operator_object(profile, name):
    """What to give to kubectl apply, for the Security Profiles Operator.

    It knows no defaultErrnoRet: what is not allowed fails with EPERM.
    """
    spec = {key: value for key, value in profile.items() if key != "defaultErrnoRet"}
    return {
        "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1",
        "kind": "SeccompProfile",
        "metadata": {"name": name},
        "spec": spec,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oci", action="store_true")
    parser.add_argument("--operator", metavar="NAME")
    parser.add_argument("--arch", action="append", choices=sorted(ARCHES))
    parser.add_argument("--cap", action="append", default=[])
    parser.add_argument("default", type=argparse.FileType())
    arguments = parser.parse_args()

    profile = allow_io_uring(json.load(arguments.default))
    if (arguments.oci or arguments.operator) and "architectures" not in profile:
        profile = decide(profile, arguments.arch or ["amd64", "arm64"], {*DEFAULT_CAPS, *arguments.cap})
    if arguments.operator:
        profile = as_operator_object(profile, arguments.operator)
    json.dump(profile, sys.stdout, indent="\t")
    print()


if __name__ == "__main__":
    main()
