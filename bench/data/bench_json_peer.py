"""python3 bench_json_peer.py BUILD FILE: parses FILE by bench_json and by Python's json, in turn, and prints the ratio."""
import json
import pathlib
import re
import subprocess
import sys
import time

build, path = sys.argv[1:3]
data = pathlib.Path(path).read_bytes()
theirs, ours = [], []
for _ in range(7):
    start = time.perf_counter()
    json.loads(data)
    theirs.append((time.perf_counter() - start) * 1e3)
    out = subprocess.run([f"{build}/bench_json", path, "3"], capture_output=True, text=True, check=True).stdout
    ours.append(float(re.search(r"best ([\d.]+) ms", out)[1]))
theirs.sort(), ours.sort()
print(f"{len(data) / 1e6:.1f} MB: {ours[3]:.1f} ms, Python's json {theirs[3]:.1f} ms, {theirs[3] / ours[3]:.1f} times (medians of 7)")
