"""LocalStack's S3, with all that it writes below one folder: `python serve.py FOLDER PORT`. Run by the Python it is installed for.

It ends when its standard input does, so that it outlives nobody who started it, however they end.

By itself it keeps objects in one folder of /tmp and settings in /var/lib and in the home, which two at once would share."""

import os
import pathlib
import sys
import threading

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
objects, temporary = folder / "objects", folder / "tmp"
for made in (objects, temporary):
    made.mkdir(parents=True, exist_ok=True)
os.environ.update({
    "SERVICES": "s3",
    "EAGER_SERVICE_LOADING": "1",
    "GATEWAY_SERVER": "hypercorn",
    "GATEWAY_LISTEN": f"127.0.0.1:{port}",
    # Nothing is asked of the network, and no other port is opened.
    "DISABLE_EVENTS": "1",
    "DNS_ADDRESS": "0",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    # The folders of a host, not those of a container, wherever this runs.
    "OVERRIDE_IN_DOCKER": "0",
    "FILESYSTEM_ROOT": str(folder),
    "HOME": str(folder),
    "TMPDIR": str(temporary),
})

from localstack.services.s3 import provider  # noqa: E402: what is imported reads the environment
from localstack.runtime.main import main  # noqa: E402

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
provider.DEFAULT_S3_TMP_DIR = str(objects)
main()
