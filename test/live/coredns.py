"""CoreDNS beside us: COREDNS=/path/to/coredns, or where it is found."""
import os, shutil
import pytest
from server import Server

COREDNS = os.environ.get("COREDNS") or shutil.which("coredns") or shutil.which("coredns", path=os.path.expanduser("~/go/bin"))
needs_coredns = pytest.mark.skipif(not COREDNS, reason="no CoreDNS (COREDNS=/path/to/coredns, or in PATH)")


def coredns(corefile, **kw):
    return Server(corefile, binary=COREDNS, **kw)
