"""`python -m soak`: the run, its report, and as its last line the verdict, which its exit code says too."""

import argparse
import pathlib
import random
import shutil
import signal
import sys
import tempfile

from s3 import LocalStack

from . import report, verdict
from .run import Run, made
from .trouble import Trouble


def main():
    told = arguments()
    # Everything that was started ends with the run, however that ends.
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit("soak was told to end"))
    # The proxies of the stores share this process with all senders, and are not to wait for them.
    sys.setswitchinterval(0.001)
    home = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-soak-", dir=told.home))
    print(f"seed {told.seed}, {told.minutes:g} minutes, in {home}", flush=True)
    stack = LocalStack(told.localstack, made(home / "s3"))
    try:
        run = Run(told, home, stack.s3, Trouble()).go()
    finally:
        stack.stop()
    report.write(run, told.report, told.json)
    reasons = verdict.complaints(run)
    if not reasons:
        shutil.rmtree(home)
    else:
        print(f"what is left to look at: {home}", flush=True)
    print(verdict.line(run, reasons), flush=True)
    return 1 if reasons else 0


def arguments():
    words = argparse.ArgumentParser(prog="soak")
    words.add_argument("--minutes", type=float, default=45, help="how long there is load; what is behind it takes a few more")
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("--note", default="", help="a sentence for the report, such as what else runs on this machine")
    words.add_argument("--report", type=pathlib.Path, required=True)
    words.add_argument("--json", type=pathlib.Path, required=True)
    words.add_argument("--localstack", required=True, help="the Python that LocalStack is installed for")
    words.add_argument("--home", type=pathlib.Path, default=None, help="where everything lies while it runs, and stays if it fails")
    told = words.parse_args()
    told.seed = random.randrange(1 << 32) if told.seed is None else told.seed
    return told


if __name__ == "__main__":
    sys.exit(main())
