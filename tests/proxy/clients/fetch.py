"""fetch.py URL OUT [UPLOAD]: urllib, which finds the proxy in the environment by itself."""
import sys
import urllib.request

url, out, *upload = sys.argv[1:]
data = open(upload[0], "rb").read() if upload else None
with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=20) as answer:
    open(out, "wb").write(answer.read())
