# SPDX-License-Identifier: BSD-2-Clause
"""A web server for the tests: server.py NAME

Port 80, IPv4 and IPv6. / tells NAME and the address of the client; /stream sends until the
client leaves.
"""
import http.server
import socket
import socketserver
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path.startswith("/stream"):
            self.stream()
        else:
            client = self.client_address[0].replace("::ffff:", "")
            self.wfile.write(f"{sys.argv[1]} {client}\n".encode())

    def stream(self):
        try:
            while True:
                self.wfile.write(b"x" * 8192)
                time.sleep(0.002)  # the machine has other things to do
        except OSError:
            pass

    def log_message(self, *_arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without looking up names
        self.server_name, self.server_port = sys.argv[1], 80


server = Server(("::", 80), Handler)
print("ready", flush=True)
server.serve_forever()
