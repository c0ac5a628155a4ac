"""fairctl translate: kube-dns, AKS, node-local-dns and older Corefiles. The rules of each alone: test/unit/conf. What comes out passes fairlead -check."""
import json, subprocess, textwrap
import pytest, yaml
from server import BINARY
from test_fairctl_frame import run

AKS_CLUSTER = "kubernetes cluster.local in-addr.arpa ip6.arpa {"


@pytest.fixture
def make(tmp_path):
    def write(data=None, name=None, text=None, file="in"):
        if text is None:
            text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name or 'kube-dns'}\n  namespace: kube-system\ndata:\n"
            for key, value in data.items():
                text += f"  {key}: |\n" + textwrap.indent(value.rstrip("\n") + "\n", "    ")
            assert yaml.safe_load(text)["kind"] == "ConfigMap"
        (tmp_path / file).write_text(text)
        return tmp_path / file
    write.dir = tmp_path
    return write


def check(make, text):
    (make.dir / "Corefile").write_text(text)
    p = subprocess.run([BINARY, "-check", "-conf", str(make.dir / "Corefile")], capture_output=True, text=True, timeout=30)
    return p.returncode, p.stdout + p.stderr


def good(make, file, *args):
    """The Corefile and what was said; it must pass."""
    p = run("translate", file, *args)
    assert p.returncode == 0, p.stderr
    assert check(make, p.stdout)[0] == 0, check(make, p.stdout)[1] + p.stdout
    return p.stdout, p.stderr


# ---- kube-dns ----

def test_kube_dns(make):
    out, said = good(make, make({"stubDomains": '{"acme.local": ["1.2.3.4"], "b.test": ["[fd00::1]:5353", "1.2.3.5"]}',
                                 "upstreamNameservers": '["8.8.8.8", "8.8.4.4"]', "federations": "prod=example.com", "other": "x"}))
    assert "    forward . 8.8.8.8 8.8.4.4 {\n" in out and "pods insecure" in out
    assert "acme.local:53 {\n    errors\n    cache 30\n    forward . 1.2.3.4\n}\n" in out and "forward . [fd00::1]:5353 1.2.3.5\n" in out
    assert 'federation "prod" of example.com is left out' in said and "other: this key is not kube-dns's" in said
    out, said = good(make, make({}), "--cluster-domain", "k8s.test.")
    assert "kubernetes k8s.test in-addr.arpa" in out and "forward . /etc/resolv.conf {" in out and not said


@pytest.mark.parametrize("text,line,want", [
    ("kind: ConfigMap\ndata:\n  stubDomains: |\n    {\"a\":\n     [}\n", 5, "stubDomains:2: invalid character '}' in JSON"),
    ("kind: ConfigMap\ndata:\n  upstreamNameservers: |\n    [\"dns.google\"]\n", 3, "address dns.google: missing port in address"),
    ("kind: ConfigMap\ndata:\n  stubDomains: {a: [b]}\n", 3, "stubDomains: is no text"),
    ("kind: ConfigMap\ndata: [\n", 3, "yaml: "), ("kind: Service\n", 1, "holds no ConfigMap of kube-dns"),
])
def test_bad_config_maps(make, text, line, want):
    p = run("translate", make(text=text))
    assert p.returncode == 1 and not p.stdout and f"{make.dir}/in:{line}: " in p.stderr and want in p.stderr


# ---- AKS: the documented examples ----

AKS = {
    "rewrite": ({"test.server": "<domain>.com:53 {\n    log\n    errors\n    rewrite stop {\n        name regex (.*)\\.<domain>\\.com {1}.default.svc.cluster.local\n"
                                "        answer name (.*)\\.default\\.svc\\.cluster\\.local {1}.<domain>.com\n    }\n"
                                "    forward . /etc/resolv.conf # you can redirect this to a specific DNS server such as 10.0.0.10\n}\n"}, "<domain>.com:53 {"),
    "forward server": ({"test.server": "foo.com:53 {\n    forward foo.com 1.1.1.1\n}\n"}, "    forward foo.com 1.1.1.1\n"),
    "private domain": ({"puglife.server": "puglife.local:53 {\n    errors\n    cache 30\n    forward . 192.11.0.1  # this is my test/dev DNS server\n}\n"},
                       "forward . 192.11.0.1 # this is my test/dev DNS server"),
    "stub domains": ({"test.server": "abc.com:53 {\n errors\n cache 30\n forward . 1.2.3.4\n}\nmy.cluster.local:53 {\n errors\n cache 30\n forward . 2.3.4.5\n}\n"},
                     "my.cluster.local:53 {\n    errors\n"),
    "hosts": ({"test.override": "hosts {\n    10.0.0.1 example1.org\n    10.0.0.2 example2.org\n    10.0.0.3 example3.org\n    fallthrough\n}\n"},
              "        10.0.0.3 example3.org\n"),
    "blocked zones": ({"a.server": "internal.cloudapp.net:53 {\n errors\n cache 30\n forward . /etc/resolv.conf\n}\n",
                       "b.server": "reddog.microsoft.com:53 {\n errors\n cache 30\n forward . /etc/resolv.conf\n}\n"}, "reddog.microsoft.com:53 {"),
    "log": ({"log.override": "log\n"}, "    log\n}\n"),
}


@pytest.mark.parametrize("name", AKS)
def test_aks_examples(make, name):
    data, want = AKS[name]
    out, said = good(make, make(data, "coredns-custom"))
    assert out.startswith(".:53 {\n    errors\n    ready\n") and AKS_CLUSTER in out and want in out and not said, out + said


ACCIDENTS = [
    ({"a.override": "log\nforward . 8.8.8.8\n"}, 0, 'a.override: a second forward in the default block, which CoreDNS refuses', "    log\n    forward . 8.8.8.8\n}\n"),
    ({"a.override": "forward corp.test 10.0.0.1\n"}, 0, "corp.test gets a server block of its own", "corp.test:53 {\n    errors\n    cache 30\n    forward . 10.0.0.1\n}\n"),
    ({"a.override": "forward . 8.8.8.8\nforward . 9.9.9.9\n"}, 1, "plugin/forward: this plugin can only be used once per Server Block", ""),
    ({"a.server": ".:53 {\n forward . 8.8.8.8\n}\n"}, 1, "cannot serve dns://.:53 - it is already defined: the root is the default block's", ""),
    ({"a.server": ". {\n log\n}\n"}, 1, "cannot serve dns://.:53 - it is already defined", ""),
    ({"a.server": "a.test:53 {\n log\n}\n", "b.server": "A.test. {\n log\n}\n"}, 1, "b.server: cannot serve dns://a.test.:53 - it is already defined", ""),
    ({"a.server": "log\n"}, 1, '"log" is no server block: lines of the default block belong under a key that ends in .override', ""),
    ({"a.override": "a.test:53 {\n log\n}\n"}, 1, '"a.test:53" is a server block: these belong under a key that ends in .server', ""),
    ({"a.override": "log\n}\n.:53 {\n"}, 1, "'}' closes nothing", ""), ({"a.server": "a.test {\n log\n"}, 1, 'the brace of "a.test" is not closed', ""),
    ({"notes.txt": "x", "a.override": "log\n"}, 0, "notes.txt: left out: only keys that end in .override or .server count", "    log\n"),
]


@pytest.mark.parametrize("data,status,want,out", ACCIDENTS)
def test_aks_accidents(make, data, status, want, out):
    p = run("translate", make(data, "coredns-custom"))
    assert (p.returncode, want in p.stderr, out in p.stdout) == (status, True, True), p.stderr + p.stdout
    assert bool(p.stdout) == (status == 0)
    if status == 0:
        assert check(make, p.stdout)[0] == 0


def test_aks_missing_bar(make):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: coredns-custom\ndata:\n  a.override: |\n    log\n  test.server:\n%s"
    for body in ("    a.test:53 {\n        errors\n        forward . 10.0.0.1\n    }\n", "    {errors: x}\n"):
        p = run("translate", make(text=text % body))
        assert p.returncode == 1 and f"{make.dir}/in:8: test.server: " in p.stderr and "a '|' is missing behind the key" in p.stderr
    p = run("translate", make(text=text % "" + "  b.override: log\n"))
    assert p.returncode == 0 and "in:8: test.server: empty" in p.stderr


# ---- node-local-dns ----

TEMPLATE = """__PILLAR__DNS__DOMAIN__:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
    health __PILLAR__LOCAL__DNS__:8080
    }
.:53 {
    errors
    cache 30
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__UPSTREAM__SERVERS__
    }
"""


def test_node_local(make):
    out, said = good(make, make(text=TEMPLATE), "--cluster-dns", "10.96.0.77", "--local-dns", "127.0.0.9", "--cluster-domain", "k8s.test")
    assert "__PILLAR__" not in out and out.startswith("k8s.test:53 {") and "bind 127.0.0.9 \n" in out and "forward . 10.96.0.77 {" in out and not said
    out, _ = good(make, make({"Corefile": TEMPLATE}, "node-local-dns"), "--cluster-dns", "10.96.0.77", "--local-dns", "127.0.0.9", "--listen-too", "127.0.0.8",
                  "--upstream", "9.9.9.9")
    assert "bind 127.0.0.9 127.0.0.8\n" in out and "forward . 9.9.9.9\n" in out
    p = run("translate", make(text=TEMPLATE))
    assert p.returncode == 1 and f"{make.dir}/in:10: __PILLAR__CLUSTER__DNS__: give --cluster-dns" in p.stderr and not p.stdout
    p = run("translate", make(text=". {\n bind __PILLAR__FOO__ x\n}\n"))
    assert p.returncode == 1 and f"{make.dir}/in:2: __PILLAR__FOO__: no such variable" in p.stderr


# ---- AKS LocalDNS ----

def zone(**more):
    return {"queryLogging": "Error", "protocol": "PreferUDP", "forwardDestination": "VnetDNS", "forwardPolicy": "Sequential", "maxConcurrent": 1000,
            "cacheDurationInSeconds": 3600, "serveStaleDurationInSeconds": 3600, "serveStale": "Immediate", **more}


def localdns(vnet=None, kube=None, mode="Required"):
    return json.dumps({"mode": mode, "vnetDNSOverrides": vnet or {}, "kubeDNSOverrides": kube or {}}, indent=2)


def test_localdns(make):
    tcp = zone(protocol="ForceTCP", forwardDestination="ClusterCoreDNS")
    p = run("translate", make(text=localdns({".": zone(), "cluster.local": tcp}, {".": zone(queryLogging="Log", serveStale="Disabled"),
                                                                                   "a.test": zone(forwardPolicy="RoundRobin", serveStale="Verify")})),
            "--cluster-dns", "10.0.0.10")
    assert p.returncode == 0 and not p.stderr and p.stdout.count(":53 {") == 5
    assert "cluster.local:53 {\n    errors\n    bind 169.254.10.10\n    forward . 10.0.0.10 {\n        force_tcp\n        policy sequential\n" in p.stdout
    assert ".:53 {\n    log\n    bind 169.254.10.11\n    template ANY ANY internal.cloudapp.net {" in p.stdout and "nsid localdns-pod" in p.stdout
    assert "policy round_robin" in p.stdout and "serve_stale 3600s verify\n        servfail 0" in p.stdout and p.stdout.count("serve_stale") == 3
    here = p.stdout.replace("169.254.10.1", "127.0.0.1")
    assert check(make, here)[0] == 0, check(make, here)[1] + here
    p = run("translate", make(text=localdns({".": {}}, mode="Preferred")), "--upstream", "10.1.1.1", "--output", "json")
    assert json.loads(p.stdout)["kind"] == "localdns" and "forward . 10.1.1.1 {" in p.stdout and "mode is not Required" in p.stderr


@pytest.mark.parametrize("vnet,kube,want", [
    ({".": zone(forwardDestination="ClusterCoreDNS")}, {}, 'vnetDNSOverrides: ".": forwardDestination: AKS refuses ClusterCoreDNS'),
    ({}, {"cluster.local": zone()}, 'kubeDNSOverrides: "cluster.local": forwardDestination: AKS refuses VnetDNS'),
    ({}, {"a.test": zone(protocol="ForceTCP", serveStale="Verify")}, "AKS refuses Verify together with ForceTCP"),
    ({"a.test": zone(protocol="UDP")}, {}, "protocol: is none of PreferUDP ForceTCP"), ({"a.test": zone(maxConcurrent=0)}, {}, "maxConcurrent: is no whole number"),
    ({"a {": zone()}, {}, '"a {": is no zone'), ({"a": 1}, {}, '"a": is no object'), ({}, {"a": {}}, "ClusterCoreDNS: give --cluster-dns"),
])
def test_localdns_refused(make, vnet, kube, want):
    p = run("translate", make(text=localdns(vnet, kube)))
    assert p.returncode == 1 and not p.stdout and f"{make.dir}/in:1: " in p.stderr and want in p.stderr


# ---- older Corefiles ----

OLD = """# ours
.:53 {
    errors # keep
    health
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        upstream
        fallthrough in-addr.arpa ip6.arpa
    }
    proxy corp.test 10.0.0.1:53
    proxy . /etc/resolv.conf
    cache 30
}
"""


def test_migrates(make):
    out, said = good(make, make(text=OLD))
    assert out.startswith("# ours\n.:53 {\n    errors # keep\n    health {\n        lameduck 5s\n    }\n") and "upstream" not in out and "proxy" not in out
    assert "    forward . /etc/resolv.conf {\n        max_concurrent 1000\n    }\n    cache 30\n    ready\n}\n" in out
    assert out.endswith("corp.test {\n    forward . 10.0.0.1:53 {\n        max_concurrent 1000\n    }\n    loop\n    errors\n    cache 30\n}\n")
    lines = [ln.split(f"{make.dir}/in:")[1] for ln in said.splitlines()]
    assert '7: Option "upstream" in plugin "kubernetes" is removed in 1.7.0.' in lines
    assert '10: Plugin "proxy" is removed in 1.5.0. It is replaced by "forward".' in lines and '2: Plugin "ready" is added as a default in 1.5.0.' in lines


def test_json_and_config_map(make):
    p = run("translate", make({"Corefile": OLD}, "coredns"), "--output", "json")
    tree = json.loads(p.stdout)
    assert (tree["kind"], tree["from"], tree["to"]) == ("corefile", "1.4.0", "1.15.0") and "proxy" not in tree["corefile"]
    notice = next(n for n in tree["notices"] if n.get("option") == "upstream")
    assert notice == {"line": 7 + 7, "severity": "removed", "message": 'Option "upstream" in plugin "kubernetes" is removed in 1.7.0.',
                      "plugin": "kubernetes", "option": "upstream", "version": "1.7.0"}
    quoted = yaml.safe_dump({"kind": "ConfigMap", "data": {"Corefile": OLD}}, default_style='"')
    assert json.loads(run("translate", make(text=quoted), "--output", "json").stdout)["corefile"] == tree["corefile"]
    tree = json.loads(run("translate", make(text=". {\n federations\n}\n"), "--output", "json").stdout)
    assert [n["severity"] for n in tree["notices"]] == ["unsupported"] and tree["from"] == "1.9.4"


@pytest.mark.parametrize("text,args,want", [
    (OLD, ["--from", "1.4"], "start version '1.4' not supported"), (OLD, ["--from", "1.9.4", "--to", "1.8.0"], "cannot migrate up to '1.8.0' from '1.9.4'"),
    (OLD, ["--to", "2.0.0"], "cannot migrate up to '2.0.0'"), (". {\n log\n", [], "in:1: the brace of \".\" is not closed"),
    (". {\n log\n}\n}\n", [], "in:4: '}' closes nothing"), (". {\n log \"x\n}\n", [], "in:2: a quote is not closed"), ("{\n", [], "yaml: "),
    ("a.test b.test {\n proxy a.test 1.1.1.1\n}\n", ["--from", "1.3.1"], "in:2: unhandled migration of multi-domain/port server block"),
    (OLD, ["--kind", "kube-dns"], "in:1: is no ConfigMap"),
])
def test_bad_corefiles(make, text, args, want):
    p = run("translate", make(text=text), *args)
    assert p.returncode == 1 and want in p.stderr and not p.stdout, p.stderr


def test_flags(make):
    p = run("translate", make.dir / "none")
    assert p.returncode == 1 and f"open {make.dir}/none: no such file or directory" in p.stderr
    for args in (["--bogus"], ["--kind", "x"], ["--cluster-domain", "a {"], []):
        assert run("translate", *([make(text=OLD)] if args else []), *args).returncode == 2
