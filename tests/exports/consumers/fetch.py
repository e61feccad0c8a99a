"""Asks for each URL with a library's defaults: fetch.py LIBRARY URL…. That it gets no answer is no failure."""

import sys


def main(library, *urls):
    fetch = {"urllib": urllib_fetch, "requests": requests_fetch}[library]()
    for url in urls:
        try:
            fetch(url)
        except OSError:
            pass


def urllib_fetch():
    import urllib.request

    return lambda url: urllib.request.urlopen(url, timeout=15)


def requests_fetch():
    import requests

    return lambda url: requests.get(url, timeout=15)


main(*sys.argv[1:])
