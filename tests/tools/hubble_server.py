# SPDX-License-Identifier: BSD-2-Clause
"""A server of Hubble's API that is not ours: gRPC's own library, with answers that are
fixed, or odd.

usage: hubble_server.py PROTOS SOCKET MODE [CERT KEY [CA]]

PROTOS is where the messages of the definitions were made as Python. SOCKET is the path of a
Unix socket, or HOST:PORT. The request of GetFlows is printed as JSON, a line each.
"""
import os
import signal
import socket
import sys
import threading
import time
from concurrent import futures

sys.path.insert(0, sys.argv[1])

import grpc
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue, Int32Value, UInt32Value

import flow_pb2 as flow
import health_pb2 as health
import observer_pb2 as observer
import peer_pb2 as peer
import relay_pb2 as relay

MODE = sys.argv[3]
FOREVER = threading.Event()


def stamp(ns):
    return Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)


START = 1234567800000


def one_flow(i):
    f = flow.Flow(
        time=stamp(START + i * 10**9), Type=flow.L3_L4, node_name="k8s1", verdict=flow.DROPPED,
        IP=flow.IP(source="fd00::1" if i % 2 else "1.1.1.1",
                   destination="fd00::2" if i % 2 else "2.2.2.2"),
        source=flow.Endpoint(identity=4), destination=flow.Endpoint(identity=12345),
        event_type=flow.CiliumEventType(type=1, sub_type=133), drop_reason_desc=flow.POLICY_DENIED,
        is_reply=BoolValue(value=i == 2), Summary="TCP Flags: SYN")
    f.IP.ipVersion = flow.IPv6 if i % 2 else flow.IPv4
    f.l4.TCP.source_port = 31793
    f.l4.TCP.destination_port = 8080
    if i == 3:
        f.verdict = flow.FORWARDED
        f.event_type.type, f.event_type.sub_type = 5, 0
        f.policy_match_type = 1
        f.traffic_direction = flow.INGRESS
        f.ingress_allowed_by.add(name="web", kind="CiliumNetworkPolicy")
        f.destination.namespace, f.destination.pod_name = "default", "web\x1b[31m"
        f.l7.type = flow.REQUEST
        f.l7.http.method = "GET"
        f.l7.http.headers.add(key="a", value="b")
    return observer.GetFlowsResponse(flow=f, node_name="k8s1", time=f.time)


def get_flows(request, context):
    mask = list(request.field_mask.paths) # "IP" is no path that has a JSON form
    request.ClearField("field_mask")
    print(json_format.MessageToJson(request, indent=None, preserving_proto_field_name=True),
          "mask", len(mask), flush=True)
    if MODE == "error":
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad \x1b[31m filter: ü")
    if MODE == "huge":
        yield observer.GetFlowsResponse(node_name="x" * (5 << 20))
    if MODE == "large":
        yield observer.GetFlowsResponse(flow=flow.Flow(Summary="y" * (3 << 20)))
        return
    if MODE == "bomb":
        yield observer.GetFlowsResponse(
            flow=flow.Flow(ingress_allowed_by=[flow.Policy()] * (1 << 19)))
    if MODE == "many":
        answer = one_flow(0)
        for _ in range(30000):
            yield answer
        return
    if MODE == "future":
        yield observer.GetFlowsResponse(node_name="what is this?")
    number = min(request.number or 4, 4)
    for i in range(number) if request.first else range(4 - number, 4):
        yield one_flow(i)
    yield observer.GetFlowsResponse(lost_events=flow.LostEvent(
        source=flow.HUBBLE_RING_BUFFER, num_events_lost=7, cpu=Int32Value(value=1)))
    yield observer.GetFlowsResponse(node_status=relay.NodeStatusEvent(
        state_change=relay.NODE_UNAVAILABLE, node_names=["k8s2", "k8s3"]))
    if request.follow:
        FOREVER.wait()


def agent_events(_request, _context):
    def answer(**members):
        return observer.GetAgentEventsResponse(agent_event=flow.AgentEvent(**members),
                                               node_name="k8s1", time=stamp(START))
    yield answer(type=flow.AGENT_STARTED, agent_start=flow.TimeNotification(time=stamp(START)))
    yield answer(type=flow.ENDPOINT_CREATED, endpoint_update=flow.EndpointUpdateNotification(
        id=3, namespace="default", pod_name="web"))
    yield answer(type=flow.IPCACHE_UPSERTED, ipcache_update=flow.IPCacheNotification(
        cidr="10.0.0.0/8", identity=5, old_identity=UInt32Value(value=4), host_ip="1.2.3.4"))
    yield answer(type=flow.SERVICE_UPSERTED, service_upsert=flow.ServiceUpsertNotification(
        id=7, frontend_address={"ip": "fd00::1", "port": 80},
        backend_addresses=[{"ip": "10.0.0.1", "port": 8080}, {"ip": "10.0.0.2", "port": 8080}],
        type="ClusterIP", namespace="default", name="web"))
    yield answer(type=flow.POLICY_UPDATED, policy_update=flow.PolicyUpdateNotification(
        labels=["a=b", "c"], revision=9, rule_count=2))


def debug_events(_request, _context):
    yield observer.GetDebugEventsResponse(
        debug_event=flow.DebugEvent(
            type=flow.DBG_CT_LOOKUP, message="looked up", hash=UInt32Value(value=255),
            cpu=Int32Value(value=1),
            source=flow.Endpoint(ID=3, namespace="default", pod_name="web")),
        node_name="k8s1", time=stamp(START))


def get_nodes(_request, _context):
    return observer.GetNodesResponse(nodes=[
        observer.Node(name="foo", version="1", state=relay.NODE_CONNECTED, uptime_ns=10**12,
                      num_flows=500, max_flows=1000, address="1.2.3.4",
                      tls=observer.TLS(enabled=True, server_name="foo.bar.tls")),
        observer.Node(name="bar", version="2", state=relay.NODE_UNAVAILABLE, address="5.6.7.8"),
        observer.Node(name="baz", version="3", state=relay.NODE_GONE)])


def get_namespaces(_request, _context):
    return observer.GetNamespacesResponse(namespaces=[
        observer.Namespace(cluster="east", namespace="default"),
        observer.Namespace(namespace="kube-system")])


def server_status(_request, context):
    if MODE == "slow":
        FOREVER.wait()
    if MODE == "denied":
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
    return observer.ServerStatusResponse(
        num_flows=1234, max_flows=4095, seen_flows=50000, uptime_ns=100 * 10**9, version="test-1",
        num_connected_nodes=UInt32Value(value=2), num_unavailable_nodes=UInt32Value(value=1),
        unavailable_nodes=["k8s3"])


def check(request, _context):
    assert request.service == "hubble.server.Observer", request
    well = health.HealthCheckResponse.NOT_SERVING if MODE == "ill" else \
        health.HealthCheckResponse.SERVING
    return health.HealthCheckResponse(status=well)


def notify(_request, _context):
    yield peer.ChangeNotification(name="k8s1", address="1.2.3.4:4244", type=peer.PEER_ADDED)
    yield peer.ChangeNotification(name="k8s2", address="1.2.3.5:4244", type=peer.PEER_ADDED,
                                  tls=peer.TLS(server_name="k8s2.hubble"))
    if MODE != "ends":
        FOREVER.wait()


def unary(function, request):
    return grpc.unary_unary_rpc_method_handler(
        function, request_deserializer=request.FromString,
        response_serializer=lambda m: m.SerializeToString())


def stream(function, request):
    return grpc.unary_stream_rpc_method_handler(
        function, request_deserializer=request.FromString,
        response_serializer=lambda m: m.SerializeToString())


def services():
    generic = grpc.method_handlers_generic_handler
    yield generic("observer.Observer", {
        "GetFlows": stream(get_flows, observer.GetFlowsRequest),
        "GetAgentEvents": stream(agent_events, observer.GetAgentEventsRequest),
        "GetDebugEvents": stream(debug_events, observer.GetDebugEventsRequest),
        "GetNodes": unary(get_nodes, observer.GetNodesRequest),
        "GetNamespaces": unary(get_namespaces, observer.GetNamespacesRequest),
        "ServerStatus": unary(server_status, observer.ServerStatusRequest)})
    yield generic("grpc.health.v1.Health", {"Check": unary(check, health.HealthCheckRequest)})
    if MODE != "nopeers":
        yield generic("peer.Peer", {"Notify": stream(notify, peer.NotifyRequest)})


def credentials(cert, key, ca=None):
    def read(path):
        with open(path, "rb") as file:
            return file.read()
    return grpc.ssl_server_credentials(
        [(read(key), read(cert))], read(ca) if ca else None, require_client_auth=bool(ca))


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(8),
                         options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers(tuple(services()))
    if len(sys.argv) > 4:
        port = server.add_secure_port(address, credentials(*sys.argv[4:]))
    else:
        port = server.add_insecure_port(address)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


# What comes instead of HTTP/2: after the client's first bytes, then the end.
RAW = {
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\nwhat?",
    "silent": b"",
    # SETTINGS, then HEADERS of stream 1 that say ":status 404"
    "http404": b"\0\0\0\4\0\0\0\0\0" b"\0\0\1\1\5\0\0\0\1\x8d",
    # SETTINGS, HEADERS ":status 200", DATA with half a message, end of the stream
    "half": b"\0\0\0\4\0\0\0\0\0" b"\0\0\1\1\4\0\0\0\1\x88"
            b"\0\0\x08\0\1\0\0\0\1" b"\0\0\0\1\0abc",
    # GOAWAY
    "goaway": b"\0\0\0\4\0\0\0\0\0" b"\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\0",
    # a length that no message may have
    "length": b"\0\0\0\4\0\0\0\0\0" b"\0\0\1\1\4\0\0\0\1\x88" b"\0\0\5\0\0\0\0\0\1"
              b"\0\xff\xff\xff\xff",
    # a message that is said to be compressed
    "compressed": b"\0\0\0\4\0\0\0\0\0" b"\0\0\1\1\4\0\0\0\1\x88" b"\0\0\5\0\0\0\0\0\1"
                  b"\1\0\0\0\0",
    # SETTINGS, then questions without end from one that reads no answer
    "pings": b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\6\0\0\0\0\0" b"12345678" * 500000,
    # bytes that are no message
    "nonsense": b"\0\0\0\4\0\0\0\0\0" b"\0\0\1\1\4\0\0\0\1\x88" b"\0\0\x08\0\0\0\0\0\1"
                b"\0\0\0\0\3\xff\xff\xff",
}


def serve_raw(path, answer):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print(0, flush=True)
    while True:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(answer)
        if MODE in ("length", "nonsense", "compressed"):
            while connection.recv(65536):
                pass
        connection.close()


def main():
    address = sys.argv[2]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if MODE in RAW:
        serve_raw(address, RAW[MODE])
    elif MODE == "mute": # takes connections, says nothing
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        print(0, flush=True)
        while True:
            time.sleep(3600)
    else:
        serve("unix:" + address if address.startswith("/") else address)


main()
