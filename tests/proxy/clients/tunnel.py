"""tunnel.py URL OUT [UPLOAD]: http.client, whose CONNECT is HTTP/1.0 and has no Host before Python 3.12."""
import http.client
import os
import sys
from urllib.parse import urlsplit

url, out, *upload = sys.argv[1:]
body = open(upload[0], "rb").read() if upload else None
proxy = urlsplit(os.environ["https_proxy"])
while True:
    target = urlsplit(url)
    connection = http.client.HTTPSConnection(proxy.hostname, proxy.port, timeout=20)
    connection.set_tunnel(target.hostname, 443)
    connection.request("PUT" if upload else "GET", target.path, body)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 307:
        break
    url = answer.headers["Location"]
open(out, "wb").write(content)
sys.exit(answer.status != 200)
