"""Asks pacparser what a PAC file says of each host: python pac.py FILE HOST…

Prints a line per host: what a client of the file would use.
"""

import sys

import pacparser

file, *hosts = sys.argv[1:]
pacparser.init()
pacparser.parse_pac_file(file)
for host in hosts:
    answer = pacparser.find_proxy(f"https://{host}/v2/", host)
    if answer is None:
        sys.exit(f"no answer for {host}")
    print(answer)
