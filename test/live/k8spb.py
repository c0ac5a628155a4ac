"""Kubernetes objects as protobuf, by the field numbers of k8s.io/api and apimachinery (generated.proto, v0.37): dict → bytes as a
real API server writes them, and bytes → fields for tests. Checked byte for byte against recorded answers (test_kube_fixtures.py).

A field is (number, JSON key, type). Types: s string, i integer, b bool, t Time, x IntOrString, j raw JSON, or a message's name; then
? only when present, * repeated, m map of strings. Without a suffix the server writes it always, empty too."""
import calendar
import json
import time

MESSAGES = {
    "ObjectMeta": [(1, "name", "s"), (2, "generateName", "s"), (3, "namespace", "s"), (4, "selfLink", "s"), (5, "uid", "s"),
                   (6, "resourceVersion", "s"), (7, "generation", "i"), (8, "creationTimestamp", "t"), (9, "deletionTimestamp", "t?"),
                   (10, "deletionGracePeriodSeconds", "i?"), (11, "labels", "m"), (12, "annotations", "m"),
                   (13, "ownerReferences", "OwnerReference*"), (14, "finalizers", "s*"), (17, "managedFields", "ManagedFields*")],
    "OwnerReference": [(1, "kind", "s"), (3, "name", "s"), (4, "uid", "s"), (5, "apiVersion", "s"), (6, "controller", "b?"),
                       (7, "blockOwnerDeletion", "b?")],
    "ManagedFields": [(1, "manager", "s"), (2, "operation", "s"), (3, "apiVersion", "s"), (4, "time", "t?"), (6, "fieldsType", "s"),
                      (7, "fieldsV1", "j?"), (8, "subresource", "s")],
    "ListMeta": [(1, "selfLink", "s"), (2, "resourceVersion", "s"), (3, "continue", "s"), (4, "remainingItemCount", "i?")],
    "Status": [(1, "metadata", "ListMeta"), (2, "status", "s"), (3, "message", "s"), (4, "reason", "s"), (5, "details", "Details?"),
               (6, "code", "i")],
    "Details": [(1, "name", "s"), (2, "group", "s"), (3, "kind", "s"), (4, "causes", "Cause*"), (5, "retryAfterSeconds", "i"),
                (6, "uid", "s")],
    "Cause": [(1, "reason", "s"), (2, "message", "s"), (3, "field", "s")],
    "Namespace": [(1, "metadata", "ObjectMeta"), (2, "spec", "NamespaceSpec"), (3, "status", "NamespaceStatus")],
    "NamespaceSpec": [(1, "finalizers", "s*")],
    "NamespaceStatus": [(1, "phase", "s")],
    "Service": [(1, "metadata", "ObjectMeta"), (2, "spec", "ServiceSpec"), (3, "status", "ServiceStatus")],
    "ServiceSpec": [(1, "ports", "ServicePort*"), (2, "selector", "m"), (3, "clusterIP", "s"), (4, "type", "s"), (5, "externalIPs", "s*"),
                    (7, "sessionAffinity", "s"), (8, "loadBalancerIP", "s"), (9, "loadBalancerSourceRanges", "s*"),
                    (10, "externalName", "s"), (11, "externalTrafficPolicy", "s"), (12, "healthCheckNodePort", "i"),
                    (13, "publishNotReadyAddresses", "b"), (14, "sessionAffinityConfig", "SessionAffinity?"), (17, "ipFamilyPolicy", "s?"),
                    (18, "clusterIPs", "s*"), (19, "ipFamilies", "s*"), (20, "allocateLoadBalancerNodePorts", "b?"),
                    (21, "loadBalancerClass", "s?"), (22, "internalTrafficPolicy", "s?"), (23, "trafficDistribution", "s?")],
    "ServicePort": [(1, "name", "s"), (2, "protocol", "s"), (3, "port", "i"), (4, "targetPort", "x"), (5, "nodePort", "i"),
                    (6, "appProtocol", "s?")],
    "SessionAffinity": [(1, "clientIP", "ClientIP?")],
    "ClientIP": [(1, "timeoutSeconds", "i?")],
    "ServiceStatus": [(1, "loadBalancer", "LoadBalancer")],
    "LoadBalancer": [(1, "ingress", "Ingress*")],
    "Ingress": [(1, "ip", "s"), (2, "hostname", "s"), (3, "ipMode", "s?")],
    "EndpointSlice": [(1, "metadata", "ObjectMeta"), (2, "endpoints", "Endpoint*"), (3, "ports", "EndpointPort*"), (4, "addressType", "s")],
    "Endpoint": [(1, "addresses", "s*"), (2, "conditions", "Conditions"), (3, "hostname", "s?"), (4, "targetRef", "Reference?"),
                 (5, "deprecatedTopology", "m"), (6, "nodeName", "s?"), (7, "zone", "s?"), (8, "hints", "Hints?")],
    "Conditions": [(1, "ready", "b?"), (2, "serving", "b?"), (3, "terminating", "b?")],
    "Hints": [(1, "forZones", "Named*"), (2, "forNodes", "Named*")],
    "Named": [(1, "name", "s")],
    "EndpointPort": [(1, "name", "s?"), (2, "protocol", "s?"), (3, "port", "i?"), (4, "appProtocol", "s?")],
    "Reference": [(1, "kind", "s"), (2, "namespace", "s"), (3, "name", "s"), (4, "uid", "s"), (5, "apiVersion", "s"),
                  (6, "resourceVersion", "s"), (7, "fieldPath", "s")],
    "Pod": [(1, "metadata", "ObjectMeta"), (2, "spec", "PodSpec"), (3, "status", "PodStatus")],     # parts, see PARTIAL
    "PodSpec": [(10, "nodeName", "s"), (16, "hostname", "s"), (17, "subdomain", "s")],
    "PodStatus": [(1, "phase", "s"), (5, "hostIP", "s"), (6, "podIP", "s"), (12, "podIPs", "PodIP*")],
    "PodIP": [(1, "ip", "s")],
}
PARTIAL = {"PodSpec", "PodStatus"}      # messages of which only some fields are known here


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def bytes_field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def string_field(number, value):
    return bytes_field(number, value.encode())


def int_field(number, value):
    return varint(number << 3) + varint(value)


def time_body(text):
    return int_field(1, calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))) + int_field(2, 0) if text else b""


def int_or_string(value):
    value = 0 if value is None else value
    text = isinstance(value, str)
    return int_field(1, int(text)) + int_field(2, 0 if text else value) + string_field(3, value if text else "")


def one(number, kind, value):
    if kind == "s":
        return string_field(number, value or "")
    if kind in "ib":
        return int_field(number, int(value or 0))
    if kind == "t":
        return bytes_field(number, time_body(value))
    if kind == "x":
        return bytes_field(number, int_or_string(value))
    if kind == "j":
        return bytes_field(number, string_field(1, json.dumps(value, separators=(",", ":"))))
    return bytes_field(number, encode(kind, value or {}))


def encode(message, data):
    out = []
    for number, key, kind in MESSAGES[message]:
        value = data.get(key)
        if kind == "m":
            for k in sorted(value or {}):
                out.append(bytes_field(number, string_field(1, k) + string_field(2, value[k])))
        elif kind[-1] == "*":
            out.extend(one(number, kind[:-1], v) for v in value or ())
        elif kind[-1] == "?":
            if value is not None:
                out.append(one(number, kind[:-1], value))
        else:
            out.append(one(number, kind, value))
    return b"".join(out)


# ---- what stands around objects ----

MAGIC = b"k8s\0"


def unknown(version, kind, raw):
    meta = string_field(1, version) + string_field(2, kind)
    return MAGIC + bytes_field(1, meta) + bytes_field(2, raw) + b"\x1a\0\x22\0"


def event(kind, envelope):
    body = string_field(1, kind) + bytes_field(2, bytes_field(1, envelope))
    return len(body).to_bytes(4, "big") + body


def list_meta(rv, cont="", remaining=None):
    return encode("ListMeta", {"resourceVersion": str(rv), "continue": cont, "remainingItemCount": remaining})


# ---- reading, for tests ----

def read_varint(b, i):
    n = shift = 0
    while True:
        n |= (b[i] & 127) << shift
        shift += 7
        i += 1
        if b[i - 1] < 128:
            return n, i


def fields(b):
    """(number, wire type, value) of each field of a message."""
    i = 0
    while i < len(b):
        tag, i = read_varint(b, i)
        if tag & 7 == 0:
            value, i = read_varint(b, i)
        elif tag & 7 == 2:
            n, i = read_varint(b, i)
            value, i = b[i:i + n], i + n
            assert len(value) == n
        else:
            raise ValueError(f"wire type {tag & 7}")
        yield tag >> 3, tag & 7, value


def first(b, number):
    return next((v for n, _, v in fields(b) if n == number), None)


def frames(b):
    """The WatchEvent messages of a stream, as (type, envelope)."""
    i = 0
    while i < len(b):
        n = int.from_bytes(b[i:i + 4], "big")
        body, i = b[i + 4:i + 4 + n], i + 4 + n
        assert len(body) == n
        yield first(body, 1).decode(), first(first(body, 2), 1)


def opened(envelope):
    """(kind, raw) of an envelope."""
    assert envelope[:4] == MAGIC
    return first(first(envelope[4:], 1), 2).decode(), first(envelope[4:], 2)


def known(message, b):
    """A message without the fields that MESSAGES does not name, so that partial ones can be compared."""
    table = {number: kind for number, _, kind in MESSAGES[message]}
    out = []
    for number, wire, value in fields(b):
        if number not in table:
            assert message in PARTIAL, (message, number)
            continue
        inner = table[number].rstrip("?*")
        if inner in MESSAGES:
            value = known(inner, value)
        out.append(bytes_field(number, value) if wire == 2 else int_field(number, value))
    return b"".join(out)
