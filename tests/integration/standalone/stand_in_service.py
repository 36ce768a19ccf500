"""Be a small service: answer /readyz on a port, and misbehave as told.

Modes: ``grandchildren`` (two, one leading a session of its own and without the mark in its environment), ``deaf``
(ignores SIGTERM), ``dies`` (ends at once with a message), ``never`` (never ready).
"""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
NEW_SESSION = [sys.executable, "-c", "import os, time; os.setsid(); time.sleep(600)"]


def main() -> None:
    """Serve until ended."""
    port, mode = int(sys.argv[1]), sys.argv[2]
    if mode == "dies":
        sys.stderr.write("I cannot work like this\n")
        sys.exit(3)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "grandchildren":
        subprocess.Popen(NEW_SESSION)
        subprocess.Popen(SLEEP, env={"PATH": os.environ["PATH"]})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if mode == "never" else 200)
            self.end_headers()
            self.wfile.write(b'{"ready": false, "reason": "not today"}' if mode == "never" else b"{}")

        def log_message(self, *arguments: object) -> None:
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
