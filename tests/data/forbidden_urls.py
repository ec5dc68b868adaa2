#!/usr/bin/env python3
"""Writes forbidden-urls.tsv: relay URLs that must never lead to a connection, and why not.

    tests/data/forbidden_urls.py > tests/data/forbidden-urls.tsv

Each line: stage, reason, URL and, where the host is a name, the addresses it resolves to. Stage "parse": the URL
is none; "guard": its address may not be dialled. Bytes that a line cannot hold are written \\xNN.
"""

CHARACTER = "space, control or non-ASCII character in a URL"
FORBIDDEN = "forbidden character in a URL"
QUAD = "not a dotted-quad IPv4 address"
HOST = "not a host name (letters, digits and hyphens)"
NO_HOST = "no host, or it is too long"
PORT = "not a port from 1 to 65535"
IPV6 = "not an IPv6 address"
USER = "user information in a URL"

# An address and why it may not be dialled: the ends of each range, and what is known to live there.
V4 = {
    "this network": "0.0.0.0 0.0.0.1 0.255.255.255",
    "private": "10.0.0.0 10.0.0.5 10.96.0.1 10.255.255.255 172.16.0.0 172.17.0.1 172.20.10.1 172.31.255.255 "
    "192.168.0.0 192.168.1.1 192.168.255.255",
    "shared address space": "100.64.0.0 100.64.0.1 100.100.100.200 100.127.255.255",
    "loopback": "127.0.0.0 127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.255",
    "cloud platform service": "168.63.129.16",
    "link-local": "169.254.0.0 169.254.169.253 169.254.169.254 169.254.170.2 169.254.255.255",
    "protocol assignments": "192.0.0.0 192.0.0.170 192.0.0.192 192.0.0.255",
    "documentation": "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255",
    "6to4 relay": "192.88.99.0 192.88.99.255",
    "benchmarking": "198.18.0.0 198.18.0.1 198.19.255.255",
    "multicast": "224.0.0.0 224.0.0.1 224.0.0.251 239.255.255.250 239.255.255.255",
    "reserved": "240.0.0.0 240.0.0.1 255.255.255.254",
    "broadcast": "255.255.255.255",
}
V6 = {
    "unspecified": "::",
    "loopback": "::1 0:0:0:0:0:0:0:1 ::0001 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:0:127.0.0.1 "
    "64:ff9b::127.0.0.1 64:ff9b:1::7f00:1 2002:7f00:1:: 2002:7f00:0001::1 "
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "this network": "::2 ::0.1.2.3 ::ffff:0.0.0.0 64:ff9b:: 64:ff9b::0.0.0.1 2002:: 2002:0:1::",
    "link-local": "fe80:: fe80::1 fe80::a9fe:a9fe febf::1 ::ffff:169.254.169.254 ::169.254.169.254 "
    "64:ff9b::169.254.169.254 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1 "
    "2001:0:4136:e378:8000:63bf:5601:5601",
    "private": "::ffff:10.0.0.1 ::10.0.0.1 ::ffff:192.168.1.1 ::ffff:0:10.0.0.1 ::ffff:172.16.0.1 "
    "64:ff9b::10.0.0.1 64:ff9b:1::192.168.1.1 2002:a00:1:: 2002:c0a8:101::1 2002:ac10:1::1 "
    "2001:0:4136:e378:8000:63bf:f5ff:fffe 2001:0:4136:e378:8000:63bf:3f57:fefe",
    "shared address space": "::ffff:100.64.0.1 64:ff9b::100.100.100.200 2002:6440:1::1",
    "multicast": "ff00:: ff01::1 ff02::1 ff02::fb ff05::2 ff0e::1 ffff::1 ::ffff:224.0.0.1 64:ff9b::224.0.0.1",
    "cloud platform service": "::ffff:168.63.129.16 64:ff9b::168.63.129.16 2002:a83f:8110::1",
    "reserved": "::ffff:240.0.0.1 2002:f000:1::1",
    "broadcast": "::ffff:255.255.255.255 64:ff9b::ffff:ffff",
    "IPv4-mapped": "::ffff:8.8.8.8 ::ffff:25.2.0.1",
    "IPv4-compatible": "::8.8.8.8",
    "IPv4-translated": "::ffff:0:8.8.8.8",
    "NAT64": "64:ff9b::8.8.8.8",
    "local NAT64": "64:ff9b:1::8.8.8.8",
    "6to4": "2002:808:808::1 2002:1902:1::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
    "discard-only": "100:: 100::1",
    "protocol assignments": "2001:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:20::1 2001:1ff::1",
    "documentation": "2001:db8:: 2001:db8::1 2001:db8:ffff::1 3fff:: 3fff:fff::1",
    "segment routing": "5f00:: 5f00:ffff::1",
    "unique local": "fc00:: fc00::1 fd00::1 fd00:ec2::254 fd12:3456:789a::1 fdff::1",
    "site-local": "fec0:: fec0::1 feff::1",
    "not global unicast": "100:0:0:1::1 200::1 400::1 1fff::1 4000::1 6000::1 8000::1 c000::1 e000::1 fe00::1 fe7f::1",
}
# Ways to write 127.0.0.1, 10.0.0.1, 169.254.169.254 and the like that resolvers take.
LEGACY_V4 = """
127.1 127.0.1 127.65535 10.1 10.0.1 192.168.257 169.254.43518 2130706433 167772161 2852039166 3232235777 0 1 017700000001
0x7f000001 0x7F000001 0X7f000001 0xa9fea9fe 0x0a000001 0x 0x0 00 0177.1 0177.0.0.1 0177.0.0.01 0x7f.1 0x7f.0.0.1
0x7f.0x0.0x0.0x1 127.0.0.0x1 127.0.0.01 127.00.0.1 127.0.0.001 0127.0.0.1 010.0.0.1 10.0.0.010 0xa.0.0.1 0xc0.0xa8.1.1
0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.0376.43518 425.510.425.510 256.0.0.1 127.0.0.256 1.2.3 1.2.3.4.5 4294967296
127.0.0.1.1 999999999999 0.0 0.0.0 x.1 relay.example.0x7f relay.127 1.0x
"""
NOT_IPV6 = """
[fe80::1%25eth0] [fe80::1%251] [::1 [] [:] [:::1] [1::2::3] [::g] [12345::1] [::1]x [::1].
[::ffff:127.1] [::ffff:0x7f.0.0.1] [127.0.0.1] [localhost] [v1.fe80::a] [0:0:0:0:0:0:0:0:1] [::1]] [::ffff:256.0.0.1]
"""
BAD_HOSTS = """
%31%32%37.0.0.1 127%2e0%2e0%2e1 %6c%6f%63%61%6c%68%6f%73%74 local%68ost 127.0.0.1%2f.example localhost%20 -localhost localhost-
local_host 127.0.0.1..  .localhost localhost.. a..b relay.example,127.0.0.1 127.0.0.1; (127.0.0.1) *.relay.example $host
relay!example relay.example&127.0.0.1 127.0.0.1=relay.example relay~example 'localhost' a+b
"""
# Names, and what the name server says of them. The first is fine, which must not help the second.
NAMES = [
    ("loopback", "localhost", "127.0.0.1"),
    ("loopback", "LOCALHOST", "127.0.0.1"),
    ("loopback", "localhost.", "::1"),
    ("loopback", "localhost.localdomain", "127.0.0.1"),
    ("loopback", "ip6-localhost", "::1"),
    ("loopback", "a.b.localhost", "127.0.0.1"),
    ("loopback", "127.0.0.1.wild.test", "127.0.0.1"),
    ("loopback", "127-0-0-1.wild.test", "127.0.0.1"),
    ("loopback", "7f000001.wild.test", "127.0.0.1"),
    ("loopback", "0x7f000001.wild.test", "127.0.0.1"),
    ("loopback", "xn--lcalhost-54a.test", "127.0.0.1"),
    ("loopback", "xn--ocalhost-6kg.test", "127.0.0.1"),
    ("loopback", "mapped.test", "::ffff:127.0.0.1"),
    ("loopback", "compatible.test", "::127.0.0.1"),
    ("loopback", "sixtofour.test", "2002:7f00:1::"),
    ("loopback", "nat64.test", "64:ff9b::7f00:1"),
    ("this network", "zero.test", "0.0.0.0"),
    ("unspecified", "zero6.test", "::"),
    ("link-local", "metadata.google.internal", "169.254.169.254"),
    ("link-local", "metadata", "169.254.169.254"),
    ("link-local", "instance-data.ec2.internal", "169.254.169.254"),
    ("link-local", "local6.test", "fe80::1"),
    ("unique local", "instance-data6.ec2.internal", "fd00:ec2::254"),
    ("shared address space", "metadata.tencentyun.test", "100.100.100.200"),
    ("cloud platform service", "wireserver.test", "168.63.129.16"),
    ("private", "kubernetes.default.svc", "10.96.0.1"),
    ("private", "kubernetes.default.svc.cluster.local", "10.96.0.1"),
    ("private", "db", "10.0.0.5"),
    ("private", "redis.internal", "172.17.0.2"),
    ("private", "router.lan", "192.168.1.1"),
    ("private", "private.test.", "10.0.0.5"),
    ("multicast", "many.test", "224.0.0.1"),
    ("broadcast", "all.test", "255.255.255.255"),
    ("documentation", "paper.test", "192.0.2.1"),
    ("private", "mixed.test", "25.2.9.1,10.0.0.5"),
    ("private", "mixed-first.test", "10.0.0.5,25.2.9.1"),
    ("loopback", "mixed6.test", "25.2.9.1,::1"),
    ("link-local", "mixed-last.test", "25.2.9.1,25.2.9.2,25.2.9.3,169.254.169.254"),
    ("port", "ssh.test:22", "25.2.9.1"),
    ("port", "redis.test:6379", "25.2.9.1"),
    ("port", "mail.test:25", "25.2.9.1"),
    ("port", "postgres.test:5432", "25.2.9.1"),
]
DENIED_PORTS = (
    1,
    7,
    19,
    21,
    22,
    23,
    25,
    53,
    110,
    111,
    135,
    139,
    143,
    389,
    445,
    465,
    514,
    587,
    636,
    873,
    993,
    1023,
    1433,
    1521,
    2049,
    2375,
    2376,
    2379,
    2380,
    3306,
    3389,
    5432,
    5672,
    5900,
    5984,
    6000,
    6379,
    9042,
    9092,
    9200,
    9300,
    10250,
    11211,
    27017,
)

lines = []


def parse(reason, *urls):
    lines.extend(("parse", reason, url, "") for url in urls)


def guard(reason, *urls, answers=""):
    lines.extend(("guard", reason, url, answers) for url in urls)


for why, addresses in V4.items():
    guard(why, *(f"ws://{a}" for a in addresses.split()), f"wss://{addresses.split()[-1]}:443/nostr")
for why, addresses in V6.items():
    guard(why, *(f"wss://[{a}]" for a in addresses.split()), f"ws://[{addresses.split()[0]}]:8080/")
guard(
    "loopback",
    "ws://127.0.0.1.",
    "WS://127.0.0.1:80",
    "ws://127.0.0.1:5432",
    "ws://127.0.0.1:7334",
    "ws://127.0.0.1:65535",
    "ws://127.0.0.1/%2e%2e/",
    "ws://127.0.0.1?relay.example",
    "wss://[::1]:6379",
    "ws://127.0.0.1:22/..//http://relay.example",
)
guard("port", *(f"wss://25.2.9.1:{port}" for port in DENIED_PORTS), "wss://[2a01:2::9]:22")
guard("plaintext", "ws://25.2.9.1", "ws://[2a01:2::9]:8080")
for why, name, answers in NAMES:
    guard(why, f"wss://{name}", answers=answers)
guard("plaintext", "ws://plain.test", answers="25.2.9.1")

parse(
    QUAD, *(f"ws://{host}" for host in LEGACY_V4.split()), "wss://2130706433:443/", "wss://0x7f.1./", "ws://127.1."
)
parse(IPV6, *(f"wss://{host}" for host in NOT_IPV6.split()))
parse(
    HOST,
    *(f"wss://{host}" for host in BAD_HOSTS.split()),
    "wss://" + "a" * 64 + ".example",
    "wss://" + "a" * 100 + ".example",
)
parse(
    NO_HOST,
    "ws://",
    "ws:///",
    "ws:///127.0.0.1",
    "ws://:80",
    "ws://.",
    "ws://?127.0.0.1",
    "wss://" + "a." * 126 + "aa",
    "wss://" + ".".join(["a" * 62] * 5),
    "wss://" + "a" * 300,
)
parse(
    CHARACTER,
    "ws://１２７.０.０.１",
    "ws://①②⑦.⓪.⓪.①",
    "ws://127。0。0。1",
    "ws://127．0．0．1",
    "ws://ⓛocalhost",
    "ws://ｌｏｃａｌｈｏｓｔ",
    "ws://lоcalhost",
    "ws://localhoſt",
    "ws://ⅼocalhost",
    "ws://loc\u00adalhost",
    "ws://local\u200bhost",
    "ws://relay\u2024example",
    "ws://[::１]",
    "ws://bücher.example",
    "ws://relay.example/ü",
    "ws://127.0.0.1 ",
    " ws://127.0.0.1",
    "ws://127.0.0.1 .relay.example",
    "ws://relay.example\t",
    "ws://rel\tay.example",
    "ws://relay.example\n",
    "ws://relay.example/\r\nHost: 127.0.0.1",
    "ws://relay.example\r\n\r\nGET / HTTP/1.1",
    "ws://relay.example/ HTTP/1.1\r\nX: y",
    "ws://relay.example/\0",
    "ws://127.0.0.1\0.relay.example",
    "\x01ws://relay.example",
    "ws://relay.example/\x7f",
    "ws://\x1b[2J",
    "ws://relay.example/\u2028",
    "ws://relay.example:８０",
)
parse(
    "escaped control character in a URL",
    "ws://relay.example/%0d%0aX:%20y",
    "ws://relay.example/%0D%0A%0D%0AGET",
    "ws://relay.example/%00",
    "ws://localhost%00.relay.example",
    "ws://relay.example/%09",
    "ws://relay.example/?%1b",
    "ws://relay.example/%7f",
    "ws://relay.example/%7F",
    "ws://%0a127.0.0.1",
)
parse(
    "incomplete % escape in a URL",
    "ws://relay.example/%",
    "ws://relay.example/%0",
    "ws://relay.example/%zz",
    "ws://relay.example/%u000d",
    "ws://%",
    "wss://[::1%lo]",
    "wss://[fe80::1%eth0]",
)
parse(
    FORBIDDEN,
    "ws://relay.example\\@127.0.0.1",
    "ws://127.0.0.1\\.relay.example",
    "ws:\\\\127.0.0.1",
    "ws://\\127.0.0.1",
    "\\\\127.0.0.1\\x",
    "ws://relay.example/\\..\\",
    "ws://relay.example/<b>",
    'ws://relay.example/"',
    "ws://relay.example/{x}",
    "ws://relay.example/|",
    "ws://relay.example/`id`",
    "ws://relay.example/^",
    "<ws://127.0.0.1>",
)
parse(
    "a relay URL has no fragment",
    "ws://relay.example#@127.0.0.1",
    "ws://127.0.0.1#.relay.example",
    "ws://relay.example/#",
    "#",
)
parse(
    USER,
    "ws://user:password@relay.example",
    "ws://relay.example@127.0.0.1",
    "ws://127.0.0.1:80@relay.example",
    "ws://a@b@c",
    "ws://@127.0.0.1",
    "ws://:@127.0.0.1",
    "ws://relay.example:80@[::1]",
    "ws://relay.example%40@127.0.0.1",
    "wss://127.0.0.1&@relay.example",
)
parse(
    PORT,
    *(
        f"wss://25.2.9.1:{port}"
        for port in "0 00 080 0443 65536 65979 99999 4294967376 18446744073709551696 -1 -80 +80 8x 0x50 80.0 80: 80:80 :80 443,80 1e2".split()
    ),
    "wss://25.2.9.1:",
    "wss://relay.example:/",
    "wss://[2a01:2::9]:",
    "wss://[2a01:2::9]:0",
    "wss://[2a01:2::9]:65536",
    "wss://relay.example:%34%34%33",
    "wss://relay.example:443;80",
    "wss://relay.example:-0",
)
parse("not a ws or wss URL", "http://127.0.0.1", "https://relay.example", "HTTP://localhost:80", "https://[::1]")
parse(
    "unknown URL scheme",
    "file:///etc/passwd",
    "ftp://127.0.0.1",
    "gopher://127.0.0.1:6379/_INFO",
    "unix:///var/run/docker.sock",
    "dict://127.0.0.1:11211",
    "wsss://relay.example",
    "ws+unix:///tmp/x",
    "javascript://%61lert(1)",
    "jar:http://127.0.0.1!/",
    "://127.0.0.1",
    "x-ws://127.0.0.1",
    "ldap://127.0.0.1",
    "wss:wss://127.0.0.1",
)
parse(
    "not an absolute URL",
    "127.0.0.1",
    "localhost:80",
    "//127.0.0.1",
    "/etc/passwd",
    "",
    "ws",
    "ws:",
    "ws:/127.0.0.1",
    "ws:127.0.0.1",
    "javascript:alert(1)",
    "data:text/plain,x",
    "mailto:root@localhost",
    "relay.example",
    "http:127.0.0.1",
    "ws;//127.0.0.1",
)
parse(
    "URL too long",
    "wss://relay.example/" + "a" * 8192,
    "wss://" + "a" * 600,
    "wss://relay.example/?" + "b" * 500,
    "wss://" + "a." * 300 + "example",
)


def escaped(url):
    return "".join(
        c if c >= " " and c not in "\x7f\\\u2028" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in url
    )


seen = set()
for stage, reason, url, answers in lines:
    assert url not in seen, url
    seen.add(url)
    print("\t".join((stage, reason, escaped(url), answers)))
