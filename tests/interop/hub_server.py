"""A hub on this machine: the part of huggingface.co's interface that downloads use, and ways for it to misbehave.

Its own behaviour is checked by huggingface_hub, which downloads from it in test_hub_pull.py. Large files are LFS files:
the hub redirects to a second host, as huggingface.co does to its CDN.
"""
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse


class Repo:
    def __init__(self, files, lfs=(), token=None, gated=False):
        self.files, self.lfs, self.token, self.gated = dict(files), set(lfs), token, gated
        self.commit = hashlib.sha1(repr(sorted((n, hashlib.sha256(d).hexdigest()) for n, d in files.items())).encode()).hexdigest()
        self.refs = {"main": self.commit}
        self.listing = {}  # file: members of its entry to replace

    def entry(self, name):
        data = self.files[name]
        entry = {"rfilename": name, "size": len(data), "blobId": git_sha1(data)}
        if name in self.lfs:
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        entry.update(self.listing.get(name, {}))
        return {k: v for k, v in entry.items() if v is not None}

    def etag(self, name):
        data = self.files[name]
        return hashlib.sha256(data).hexdigest() if name in self.lfs else git_sha1(data)


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, code, body=b"", **fields):
        self.send_response(code)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in fields:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, code, error, text):
        self.answer(code, json.dumps({"error": text}).encode(), X_Error_Code=error, X_Error_Message=text)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server.hub
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        with hub.lock:
            hub.seen.append((self.server.role, self.command, self.path, dict(self.headers.items())))
            fault = next((f for f in hub.faults if f.matches(self.server.role, self.command, path)), None)
            if fault:
                fault.left -= 1
        try:
            if fault and fault.code:
                return self.answer(fault.code, b"no", **fault.fields)
            self.handle_path(hub, path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def handle_path(self, hub, path, fault):
        if self.server.role == "cdn":
            return self.send_data(hub.blobs[path[1:]], fault)
        at = re.fullmatch(r"/api/models/(.+?)/(revision|tree)/([^/]+(?:/[^/]+)*?)/?", path)
        if at:
            repo = self.find(hub, at[1], at[3])
            if repo and at[2] == "revision":
                self.answer(200, json.dumps({"id": at[1], "modelId": at[1], "sha": repo.commit, "gated": repo.gated,
                                             "siblings": [repo.entry(n) for n in repo.files]}).encode())
            elif repo:
                self.answer(200, json.dumps([{"type": "file", "path": n, "oid": git_sha1(d), "size": len(d)}
                                             | ({"lfs": {"oid": repo.etag(n), "size": len(d), "pointerSize": 134}} if n in repo.lfs else {})
                                             for n, d in repo.files.items()]).encode())
            return
        at = re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path)
        repo = at and self.find(hub, at[1], at[2])
        if not at:
            return self.refuse(404, "", "no such page")
        if not repo:
            return
        if at[3] not in repo.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        data, etag = repo.files[at[3]], repo.etag(at[3])
        common = {"X_Repo_Commit": repo.commit, "Accept_Ranges": "bytes"}
        if at[3] in repo.lfs:
            hub.blobs[etag] = data
            self.answer(302, b"", Location=f"{hub.cdn}/{etag}?signature=x", X_Linked_Etag=f'"{etag}"',
                        X_Linked_Size=str(len(data)), ETag='"pointer"', **common)
        else:
            self.send_data(data, fault, ETag=f'"{etag}"', **common)

    def find(self, hub, name, revision):
        repo = hub.repos.get(name)
        given = self.headers.get("Authorization")
        if repo and repo.token and given != f"Bearer {repo.token}":
            if given:
                return self.refuse(401, "", "Invalid credentials in Authorization header")
            repo = None if not repo.gated else repo
            if repo:
                return self.refuse(401, "GatedRepo", "Access to model is restricted. You must be authenticated.")
        if not repo:
            return self.refuse(401 if not given else 404, "RepoNotFound", "Repository not found")
        if repo.gated and repo.gated == "closed":
            return self.refuse(403, "GatedRepo", "Access is restricted and you are not in the authorized list.")
        if revision not in (repo.commit, *repo.refs):
            return self.refuse(404, "RevisionNotFound", "Invalid rev id: x")
        return repo

    def send_data(self, data, fault, **fields):
        hub, code, total = self.server.hub, 200, len(data)
        if not (fault and fault.ignores_ranges) and self.headers.get("Range"):
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            first, last = int(first), int(last) if last else total - 1
            data, code = data[first : last + 1], 206
            fields["Content_Range"] = f"bytes {first}-{first + len(data) - 1}/{total}"
        fields["Content_Length"] = str(len(data))
        if self.command == "HEAD":
            return self.answer(code, b"", **fields)
        self.answer(code, b"", **fields)
        piece = 1 << 18
        limit = len(data) if not fault or fault.cut is None else fault.cut
        for at in range(0, limit, piece):
            self.wfile.write(data[at : min(at + piece, limit)])
            with hub.lock:
                hub.n_sent += min(piece, limit - at)
            if hub.delay:
                time.sleep(hub.delay)
        if limit < len(data):
            self.close_connection = True


class Fault:
    """What goes wrong with the next `left` requests to a role ("hub" or "cdn") whose path matches."""

    def __init__(self, role, path, left=1, code=0, cut=None, ignores_ranges=False, method="GET", **fields):
        self.role, self.path, self.left, self.code, self.cut = role, path, left, code, cut
        self.ignores_ranges, self.method, self.fields = ignores_ranges, method, fields

    def matches(self, role, method, path):
        return self.left > 0 and role == self.role and method == self.method and re.search(self.path, path)


class Hub:
    def __init__(self):
        self.repos, self.blobs, self.faults, self.seen = {}, {}, [], []
        self.lock, self.n_sent, self.delay, self.servers = threading.Lock(), 0, 0, []
        for role in ("hub", "cdn"):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads, server.hub, server.role = True, self, role
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.servers.append(server)
        self.url = f"http://127.0.0.1:{self.servers[0].server_port}"
        self.cdn = f"http://localhost:{self.servers[1].server_port}"

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
