"""The rig of the benchmarks where it could lie: what a latency counts from, what a plot shows, rows that are not there."""
import json, pathlib, signal, subprocess, sys, time, xml.etree.ElementTree

from server import BINARY
from upstream import Upstream, wait_for

TOOLS = pathlib.Path(BINARY).parent
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import svg  # noqa: E402


def test_open_loop_counts_from_when_a_question_was_due(tmp_path):
    """The client stands still for a while: its questions go late, and that is their latency, as it would be a user's."""
    questions = tmp_path / "q"
    questions.write_text("a.test A\n")
    with Upstream(lambda q, wire, peer: wire[:2] + b"\x80" + wire[3:]) as echo:
        load = subprocess.Popen([TOOLS / "bench_load", "127.0.0.1", str(echo.port), questions, "-r", "500", "-t", "3"], stdout=subprocess.PIPE)
        wait_for(lambda: len(echo.seen) > 100)                  # it is at work
        load.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        load.send_signal(signal.SIGCONT)
        got = json.loads(load.communicate(timeout=60)[0])
    assert got["sent"] >= 1400, got                             # none left out: 500 a second for three seconds
    assert got["p90_us"] >= 50000, got                          # a fifth of them were due while it stood still, for 350 ms on average
    assert got["p50_us"] <= got["p90_us"] <= got["p99_us"] <= got["p999_us"]


def test_plot(tmp_path):
    path = svg.lines(tmp_path / "x.svg", "a < b", "load", "µs", [("one", "g", False, [(10, 1), (1000, 100)]), ("two", "g", True, [(100, 10)])])
    root = xml.etree.ElementTree.parse(path).getroot()
    lines = root.findall("{*}polyline")
    (x0, y0), (x1, y1) = ([float(v) for v in p.split(",")] for p in lines[0].get("points").split())
    x, y = map(float, lines[1].get("points").split(","))
    assert x0 < x1 and y0 > y1                                  # up is more
    assert abs(x - (x0 + x1) / 2) < 0.11 and abs(y - (y0 + y1) / 2) < 0.11       # both axes are logarithmic
    assert lines[0].get("stroke") == lines[1].get("stroke") and lines[1].get("stroke-dasharray")
    texts = [t.text for t in root.findall("{*}text")]
    assert {"a < b", "load", "µs", "one", "two", "10", "100", "1k"} <= set(texts)


def test_unknown_row():
    done = subprocess.run([ROOT / "bench/run", "--only", "mix", "nonsense"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "no such row: nonsense" in done.stderr
