#!/usr/bin/env python3
"""Requests per second of an empty handler: our server (build/probe_http_server) beside uvicorn and Starlette, which carry
vLLM's server (pip install uvicorn httptools starlette), in turn, with one client program.

  bench_http.py [BUILD] [SECONDS] [ROUNDS]
"""
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def empty(request):
    return PlainTextResponse("ok\\n")


app = Starlette(routes=[Route("/empty", empty)])
"""


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
    seconds = sys.argv[2] if len(sys.argv) > 2 else "3"
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "empty_app.py").write_text(APP)
        ours = subprocess.Popen([build / "probe_http_server", "port=0"], stdout=subprocess.PIPE, text=True)
        our_port = int(re.search(r"port (\d+)", ours.stdout.readline())[1])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            peer_port = free.getsockname()[1]
        peer = subprocess.Popen([sys.executable, "-m", "uvicorn", "--port", str(peer_port), "--http", "httptools", "--no-access-log", "--log-level", "error",
                                 "empty_app:app"], cwd=folder)
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", peer_port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
            print("| connections | kept | server | requests/s | us of its processor per request | p50 us | p99 us |")
            print("|---|---|---|---|---|---|---|")
            for connections, way in ((1, []), (64, []), (512, []), (64, ["close"])):
                best = {}
                for _ in range(rounds):
                    for name, process, port in (("twllm", ours, our_port), ("uvicorn", peer, peer_port)):
                        used = processor_seconds(process.pid)
                        done = subprocess.run([build / "bench_http", str(port), str(connections), seconds, "/empty", *way], stdout=subprocess.PIPE,
                                              check=True)
                        result = json.loads(done.stdout)
                        assert result["not_200"] == 0
                        result["cpu"] = (processor_seconds(process.pid) - used) / (result["requests_per_second"] * float(seconds)) * 1e6
                        if name not in best or result["requests_per_second"] > best[name]["requests_per_second"]:
                            best[name] = result
                for name, result in best.items():
                    print(f"| {connections} | {'no' if way else 'yes'} | {name} | {result['requests_per_second']:,} | {result['cpu']:.1f} | "
                          f"{result['p50_us']} | {result['p99_us']} |")
                print(f"| | | ratio | {best['twllm']['requests_per_second'] / best['uvicorn']['requests_per_second']:.1f} | "
                      f"{best['uvicorn']['cpu'] / best['twllm']['cpu']:.1f} | | |")
        finally:
            ours.terminate()
            peer.terminate()


if __name__ == "__main__":
    main()
