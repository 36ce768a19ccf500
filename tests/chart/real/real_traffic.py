"""Ask for predictions without a pause until standard input ends; then say what was answered, as JSON.

Two kinds of callers: one opens a connection for each request, one keeps its connection as long as the server does.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import urllib3

_KINDS = ("new", "kept")


def main() -> None:
    """Run: URL, token file, model, number of features."""
    url, token, model, features = sys.argv[1], Path(sys.argv[2]).read_text().strip(), sys.argv[3], int(sys.argv[4])
    body = {"inputs": [{"name": "features", "shape": [1, features], "datatype": "FP32", "data": [1.0] * features}]}
    counts: dict[str, Any] = {kind: {"good": 0, "bad": []} for kind in _KINDS}
    ending = threading.Event()

    def ask(kind: str) -> None:
        headers = {"authorization": f"Bearer {token}"} | ({"connection": "close"} if kind == "new" else {})
        with urllib3.PoolManager(retries=False, timeout=10) as pool:
            while not ending.is_set():
                try:
                    answer = pool.request("POST", f"{url}/v2/models/{model}/infer", json=body, headers=headers)
                    if answer.status != 200:
                        counts[kind]["bad"].append(f"{answer.status} {answer.data[:200]!r}")
                    else:
                        counts[kind]["good"] += 1
                except urllib3.exceptions.HTTPError as error:
                    counts[kind]["bad"].append(repr(error)[:200])
                ending.wait(0.005)

    threads = [threading.Thread(target=ask, args=(kind,)) for kind in _KINDS]
    for thread in threads:
        thread.start()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.stdin.read()
    ending.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main()
