"""Upstreams of every kind that lie, stall, break off and come back, under reloads: every query has one answer in time, the right one, and what was
counted adds up. The seed is fixed; FL_SEED=n tries another."""
import asyncio, os, random, ssl
from certs import Authority
from chaos import QUIET, ROUGH, WORST, Chaos, Judge, ask_tcp, ask_udp
from server import BINARY, Server, free_port, metric, sanitized

CACHES = ("", "cache 30", "cache 30 {\n serve_stale 1m\n }", "cache 30 {\n serve_stale 1m verify\n prefetch 2 10s 90%\n }",
          "cache 30 {\n serve_stale 1m verify 50ms\n prefetch 1 10s 50%\n servfail 1s\n }",
          "cache 10 {\n success 100\n denial 100\n serve_stale 1h immediate 1s 2s\n prefetch 1\n }",
          "cache 30 {\n serve_stale 1m\n serve_stale_policy prefer_positive\n prefetch 1\n keepttl\n persist {dir}/kept 1s\n max_bytes 1M\n }",
          "cache 30 {\n serve_stale 1m verify\n servfail 0\n }")
WAYS = ("forward . {dns} {\n max_fails 1\n health_check 200ms\n read_timeout 1s\n hedge 50ms\n mix_case\n failover SERVFAIL REFUSED\n }",
        "forward . {dns} {\n force_tcp\n max_fails 0\n read_timeout 1s\n max_idle_conns 2\n max_age 11s\n }",
        "forward . {dns} {\n prefer_udp\n hedge\n policy round_robin\n expire 1s\n read_timeout 700ms\n max_connect_attempts 5\n }",
        "forward . {tls} {\n tls {ca}\n hedge 100ms\n read_timeout 1s\n failover SERVFAIL\n max_fails 1\n }",
        "forward . {https} {quic} {dns} {\n tls {ca}\n tls_servername dns.test\n hedge 30ms\n policy sequential\n read_timeout 1s\n"
        " next SERVFAIL NXDOMAIN\n max_fails 0\n }\n forward . {dns} {\n next_on_nodata\n mix_case\n max_concurrent 500\n }\n"
        " forward . {tls} {\n tls {ca}\n }",
        "forward . {https} {\n tls {ca}\n tls_servername dns.test\n doh_method GET\n }",
        "forward . {quic} {\n tls {ca}\n tls_servername dns.test\n }",
        "grpc . {grpc} {grpc} {\n tls {ca}\n tls_servername dns.test\n }")
FRONT = "(b) {\n tls {cert} {key}\n forward . {dns} {\n max_fails 0\n }\n}\n" + "".join(
    "%s://.:{%s} {\n import b\n}\n" % (way, way) for way in ("https", "quic", "grpc"))


def corefile(seed, n):
    """The n-th: what serves is the same, but for a line that makes it another configuration."""
    return "".join(f"z{i}.chaos:{{port}} {{\n prometheus 127.0.0.1:{{port2}}\n {CACHES[(i + seed) % len(CACHES)]}\n {way}\n" +
                   (" debug\n" if n % 2 and i % 3 == 0 else "") + f"}}\n# {n}\n" for i, way in enumerate(WAYS))


def descriptors(s):
    return len(os.listdir(f"/proc/{s.process.pid}/fd"))


async def trouble(r, ups, s, seed, over):
    n = 0
    while not over.is_set():
        await asyncio.sleep(r.uniform(.2, .5))
        for up in ups:
            up.modes = r.choices((ROUGH, QUIET, r.choice(WORST)), (5, 2, 3))[0]
        if r.random() < .4:
            n += 1
            s.write(corefile(seed, n))
            s.signal("SIGUSR1")
    for up in ups:
        up.modes = QUIET


async def storm(seed, names, front_names, tls):
    r, judge = random.Random(seed), Judge()
    ups = [await Chaos(10 * seed + i, tls if i > 1 else None).start() for i in range(4)]
    to = lambda scheme, some: " ".join(f"{scheme}127.0.0.1:{x.port}" for x in some)
    names = dict(names, dns=to("", ups[:2]), tls=" ".join(f"tls://127.0.0.1:{x.port}" for x in ups[2:]))
    with Server(FRONT.replace("{dns}", names["dns"]), **front_names), \
            Server(corefile(seed, 0).replace("{tls} {\n tls {ca}\n", "{tls} {\n tls {ca}\n tls_servername dns.test\n"), env={"GOMAXPROCS": "2"}, **names) as s:
        zones, over = [f"z{i}.chaos" for i in range(len(WAYS))], asyncio.Event()
        before = descriptors(s)
        bad = asyncio.create_task(trouble(r, ups, s, seed, over))
        asked = sum(await asyncio.gather(
            ask_udp(judge, random.Random(seed + 1), s.port, 1500, 500, 120, zones), ask_tcp(judge, random.Random(seed + 2), s.port, 8, 120, zones)))
        over.set()
        await bad
        loop = asyncio.get_running_loop()
        books = await loop.run_in_executor(None, lambda: [metric(s.port2, f"coredns_{x}_total") for x in (
            "dns_requests", "dns_responses", "cache_requests", "cache_hits", "cache_misses", "panics")])
        without = await loop.run_in_executor(None, metric, s.port2, "fairlead_queries_without_memory_total")
        assert s.process.poll() is None, s.log()
        held = descriptors(s)
        s.signal("SIGTERM")
        code = await loop.run_in_executor(None, s.exit_code)
        log = s.log()
    for up in ups:
        up.stop()
    return judge, asked, books, without, (before, held), code, log


def test_chaos(tmp_path):
    seed = int(os.environ.get("FL_SEED", 3))
    ca = Authority(tmp_path)
    cert, key = ca.issue("dns.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    ports = {way: free_port() for way in ("https", "quic", "grpc")}
    names = dict(ca=ca.ca, https=f"https://127.0.0.1:{ports['https']}", quic=f"quic://127.0.0.1:{ports['quic']}", grpc=f"127.0.0.1:{ports['grpc']}")
    judge, asked, books, without, held, code, log = asyncio.run(storm(seed, names, dict(ports, cert=cert, key=key), tls))
    assert not +judge.bad, judge.bad
    assert len(judge.took) == asked and judge.codes[0] > asked / 3
    # Once it was 8 s, where followers began to count anew; what lies between is for a busy machine.
    assert max(judge.took) < (4.5 + (10 if sanitized(BINARY) else 2.5)), max(judge.took)
    requests, responses, cache, hits, misses, panics = books
    assert requests == responses >= asked and cache == hits + misses and not panics and not without
    assert held[1] < held[0] + 200, held
    assert code == 0 and "Sanitizer" not in log and "runtime error" not in log, log
