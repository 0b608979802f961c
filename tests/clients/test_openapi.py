"""The description of the HTTP port: schemathesis asks a running server whether its answers are as described."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

from conftest import Server

ROOT = "root"
# A stream without an end.
LEFT_OUT = "/v1/{namespace}/events/tail"
# Switches the others off, which then answer 503, as they should: it is looked at by itself.
SWITCH = "/v1/maintenance"


def described(server):
    with urllib.request.urlopen(server.http + "/openapi.json", timeout=60) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        return json.load(answer)


def test_every_route_is_described_and_answers(server):
    document = described(server)
    assert document["openapi"].startswith("3.1") and len(document["paths"]) > 20
    for path, methods in document["paths"].items():
        filled = server.http + path.replace("{namespace}", "shop").replace("{collection}", "orders").replace("{name}", "x").replace("{id}", "x")
        for method in methods:
            request = urllib.request.Request(filled, method=method.upper(), headers={"Accept": "application/json"})
            try:
                status, code = urllib.request.urlopen(request, timeout=60).status, None
            except urllib.error.HTTPError as error:
                status, code = error.code, json.load(error)["code"]
            assert code not in ("unknown_path", "method_not_allowed") and status < 500, (method, path, status, code)
        if path == SWITCH:
            urllib.request.urlopen(urllib.request.Request(filled, method="DELETE"), timeout=60).close()


def test_answers_are_as_described(tmp_path):
    server = Server(tmp_path, token=ROOT)
    try:
        headers = {"Authorization": f"Bearer {ROOT}", "Content-Type": "application/json"}
        change = json.dumps({"op": "insert", "id": "1", "doc": {"n": 1}}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{server.http}/v1/nyc/flights/changes", change, headers), timeout=60).close()
        words = ["run", server.http + "/openapi.json", "--header", f"Authorization: Bearer {ROOT}",
                 "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
                 "response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth",
                 "--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "20261127", "--workers", "1",
                 "--suppress-health-check", "all", "--no-color"]
        # What the document shows as an example is there, so that more than refusals is looked at.
        for which in (["--exclude-path", LEFT_OUT, "--exclude-path", SWITCH], ["--include-path", SWITCH]):
            done = subprocess.run([sys.executable, "-m", "schemathesis.cli", *words, *which], capture_output=True, text=True, timeout=600, cwd=tmp_path)
            assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert server.process.poll() is None
    finally:
        server.stop()
