/* SPDX-License-Identifier: BSD-2-Clause */
/* What is served: a function for each method. */
#pragma once

#include "hubble/grpc.h"

/* flows.c */
enum grpc_code serve_flows(struct stream *s, const ProtobufCMessage *message);
/* node.c */
enum grpc_code serve_status(struct stream *s, const ProtobufCMessage *message);
enum grpc_code serve_nodes(struct stream *s, const ProtobufCMessage *message);
enum grpc_code serve_namespaces(struct stream *s, const ProtobufCMessage *message);
enum grpc_code serve_peers(struct stream *s, const ProtobufCMessage *message);
/* agent.c */
enum grpc_code serve_agent_events(struct stream *s, const ProtobufCMessage *message);
