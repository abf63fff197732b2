# SPDX-License-Identifier: BSD-2-Clause
"""Hold an ephemeral instance that denies everything: holder.py CLSACT DEVICE=ADDRESS..."""
import signal
import sys

import cilium_lite as cl

DENY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: deny}
spec:
  endpointSelector: {}
  ingress: [{}]
  ingressDeny: [{fromEntities: [all]}]
"""

with cl.Context(ephemeral=True, clsact=sys.argv[1] == "clsact") as ctx:
    for argument in sys.argv[2:]:
        device, address = argument.split("=")
        ctx.endpoints.add(device, ipv4=address)
    ctx.policy.load(DENY)
    print("ready", flush=True)
    signal.pause()
