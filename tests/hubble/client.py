# SPDX-License-Identifier: BSD-2-Clause
"""A client of Hubble's API that shares nothing with the server but the .proto files: gRPC's
own library, and messages that protoc makes when the test runs. And a way to drive a server.
"""
import atexit
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

import grpc
from google.protobuf import json_format

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROTO = os.path.join(ROOT, "src", "hubble", "proto")
BUILD = os.environ["BUILD"]
PATIENCE = 30  # seconds in which everything that is awaited has happened on a slow machine

_made = tempfile.mkdtemp(prefix="clite-hubble")
atexit.register(shutil.rmtree, _made)
subprocess.run(["protoc", "-I", PROTO, "-I", "/usr/include", "--python_out", _made]
               + [f + ".proto" for f in ("flow", "observer", "peer", "relay", "health")], check=True)
sys.path.insert(0, _made)

import flow_pb2 as flow  # noqa: E402
import health_pb2 as health  # noqa: E402
import observer_pb2 as observer  # noqa: E402
import peer_pb2 as peer  # noqa: E402


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


class Server:
    """A server in a process of its own."""

    def __init__(self, wrapper=(), **options):
        self.process = subprocess.Popen(
            [*wrapper, os.path.join(BUILD, "tests", "hubble", "hubble_server")]
            + [f"{k}={v}" for k, v in options.items()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.answer()

    def answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        if not ready:
            raise AssertionError("the server does not answer")
        line = self.process.stdout.readline()
        if not line.startswith("ok"):
            raise AssertionError(f"the server says '{line.strip()}'")
        return line[2:].strip()

    def command(self, *words, **options):
        self.process.stdin.write("\t".join([*map(str, words)] + [f"{k}={v}" for k, v in options.items()])
                                 + "\n")
        return self.answer()

    def listen(self, address, **options):
        self.command("listen", address, **options)
        return self.status()["address"]

    def flow(self, **options):
        return self.command("flow", **options)

    def flows(self, n, time_ns=1):
        self.command("flows", n, time_ns)

    def status(self):
        pairs = dict(word.split("=", 1) for word in self.command("status").split())
        return {k: int(v) if v.isdigit() else v for k, v in pairs.items()}

    def rss(self):
        """Bytes of memory that are there."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Client:
    """The methods of one server."""

    def __init__(self, address, credentials=None, options=()):
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        self.channel = grpc.secure_channel(address, credentials, options) if credentials else \
            grpc.insecure_channel(address, options)

    def close(self):
        self.channel.close()

    def unary(self, path, request, response, **options):
        call = self.channel.unary_unary(path, request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=response.FromString)
        return call(request, timeout=options.pop("timeout", PATIENCE), **options)

    def stream(self, path, request, response, **options):
        call = self.channel.unary_stream(path, request_serializer=lambda m: m.SerializeToString(),
                                         response_deserializer=response.FromString)
        return call(request, timeout=options.pop("timeout", PATIENCE), **options)

    def get_flows(self, options=None, **fields):
        return self.stream("/observer.Observer/GetFlows", observer.GetFlowsRequest(**fields),
                           observer.GetFlowsResponse, **(options or {}))

    def times(self, **fields):
        """Times of the flows that are there, in nanoseconds."""
        return [nanoseconds(r.time) for r in self.get_flows(**fields)]

    def get_agent_events(self, **fields):
        return self.stream("/observer.Observer/GetAgentEvents",
                           observer.GetAgentEventsRequest(**fields), observer.GetAgentEventsResponse)

    def get_debug_events(self, **fields):
        return self.stream("/observer.Observer/GetDebugEvents",
                           observer.GetDebugEventsRequest(**fields), observer.GetDebugEventsResponse)

    def server_status(self):
        return self.unary("/observer.Observer/ServerStatus", observer.ServerStatusRequest(),
                          observer.ServerStatusResponse)

    def nodes(self):
        return self.unary("/observer.Observer/GetNodes", observer.GetNodesRequest(),
                          observer.GetNodesResponse).nodes

    def namespaces(self):
        return self.unary("/observer.Observer/GetNamespaces", observer.GetNamespacesRequest(),
                          observer.GetNamespacesResponse).namespaces

    def notify(self, **options):
        return self.stream("/peer.Peer/Notify", peer.NotifyRequest(), peer.ChangeNotification,
                           **options)

    def check(self, service=""):
        return self.unary("/grpc.health.v1.Health/Check", health.HealthCheckRequest(service=service),
                          health.HealthCheckResponse)

    def watch(self, service=""):
        return self.stream("/grpc.health.v1.Health/Watch", health.HealthCheckRequest(service=service),
                           health.HealthCheckResponse)


def nanoseconds(timestamp):
    return timestamp.seconds * 10**9 + timestamp.nanos


def as_json(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
