"""A site that speaks TLS, on the address and port it is given: what lies in a folder, and what it was asked, line by line."""
import http.server, os, ssl, sys

folder, address, port, certificate, key, seen = sys.argv[1:]


class Site(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=folder)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = self.headers.get("authorization", "").encode() + b"\n" + body
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, form, *arguments):
        with open(seen, "a") as file:
            file.write(form % arguments + "\n")


server = http.server.ThreadingHTTPServer((address, int(port)), Site)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
