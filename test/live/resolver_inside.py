"""Runs in a mount and network namespace of its own (test_fairctl_search.py): a DNS server on 127.0.0.1:53 that answers as told, and programs
that resolve a name through it. Prints which names each program asked for, and how it ended, as JSON."""
import json, os, socket, subprocess, sys, threading
import dns.exception, dns.flags, dns.message, dns.rcode, dns.rrset

folder, cases = sys.argv[1], json.loads(sys.argv[2])
RCODE = {"N": dns.rcode.NOERROR, "X": dns.rcode.NXDOMAIN, "S": dns.rcode.SERVFAIL, "R": dns.rcode.REFUSED, "F": dns.rcode.NOERROR}
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
os.chmod(folder, 0o755)
open(folder + "/resolv.conf", "w").close()
open(folder + "/nsswitch.conf", "w").write("hosts: dns\n")
for name in ("resolv.conf", "nsswitch.conf"):
    subprocess.run(["mount", "--bind", f"{folder}/{name}", f"/etc/{name}"], check=True)
plan, asked = {}, []
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))


def serve():
    while True:
        raw, peer = server.recvfrom(4096)
        try:
            q = dns.message.from_wire(raw)
        except dns.exception.DNSException:
            continue
        name = q.question[0].name.to_text(omit_final_dot=True)
        if name not in asked:
            asked.append(name)
        letters = plan["answers"]
        what = letters[min(asked.index(name), len(letters) - 1)]
        if what == "T":
            continue
        r = dns.message.make_response(q)
        r.flags |= dns.flags.RA
        r.set_rcode(RCODE[what])
        if what == "F":
            kind = q.question[0].rdtype
            r.answer.append(dns.rrset.from_text(q.question[0].name, 5, "IN", kind, "192.0.2.1" if kind == 1 else "2001:db8::1"))
        server.sendto(r.to_wire(), peer)


threading.Thread(target=serve, daemon=True).start()
result = []
for case in cases:
    plan = case
    open(folder + "/resolv.conf", "w").write(case["conf"])
    one = {}
    for who, command in case["programs"].items():
        asked.clear()
        p = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        one[who] = [list(asked), p.returncode == 0]
    result.append(one)
print(json.dumps(result))
