"""What a drill breaks and brings back: the machines of one lake, and the audit of what is there afterwards."""

import contextlib
import os
import pathlib
import shutil
import signal
import time
from typing import NamedTuple

from book import BATCH, NAMESPACE
from drill_clients import WITHIN_SECONDS, Door, Ledger, Load, Stock, Watch, until
from machine import Machine
from s3 import Bucket

FLUSH = "tidemark compact"
#: Batches that are acknowledged before anything breaks, at least.
BATCHES_BEFORE = 40
#: Instants of before whose documents are compared.
PROBES = 3


class Outcome(NamedTuple):
    """Of one recovery: seconds until it is ready and answers right, and until it acknowledges; batches that were acknowledged, those of
    them that were missing, and over how many seconds they had come; the size of the lake; what else there is to tell."""

    answers: float
    takes: float
    acknowledged: int
    missing: int
    over: float
    records: int
    size: int
    told: str = ""


class Site:
    """The machines of one lake and all that is known of it. Its store is a bucket, or the folder of its only machine."""

    def __init__(self, home, options, s3=None, log="local"):
        self.home, self.options, self.log = pathlib.Path(home), options, log
        self.bucket = Bucket(s3).make() if s3 else None
        self.left = []
        self.ledger, self.stock, self.machines = Ledger(log), Stock(), []

    def machine(self, *settings, bucket=None):
        """Another machine, that nothing runs on."""
        bucket = bucket or self.bucket
        place = [f'store = "{bucket.url}"', *(['log = "object"'] if self.log == "object" else [])] if bucket else []
        made = Machine(self.home / f"machine-{len(self.machines)}", [*place, *settings], bucket.variables if bucket else {})
        file = made.home / "etc/tidemark/tidemark.toml"
        # Who drills asks more often than a client may.
        file.write_text(file.read_text().replace("requests_per_minute = 6000\n", ""))
        self.machines.append(made)
        return made

    def move(self, bucket):
        """Machines from here on know another bucket."""
        self.left.append(self.bucket)
        self.bucket = bucket

    def begin(self, machine):
        """A machine that serves, and the lake of the size that was asked for, all of it in files."""
        self.operate(machine, "systemctl start tidemark")
        self.door = Door(machine)
        until(self.door.is_ready, lambda: f"it does not serve: {machine.journal()}")
        self.stock.grow(self.door, self.options.events)
        self.flush(machine)
        return machine

    def flush(self, machine):
        """Everything into files. An owner whose store was slow for longer than its lease asks for patience."""
        until(lambda: machine.run(FLUSH)[0] == 0, lambda: f"nothing is flushed: {machine.journal()[-3000:]}")

    def operate(self, machine, commands):
        status, output = machine.run(commands)
        assert status == 0, f"{commands}\n{output}\n{machine.journal()[-3000:]}"
        return output

    def repeats(self):
        return range(self.options.repeats)

    def next_machine(self):
        """One that clients will find, and that nothing runs on yet."""
        made = self.machine()
        self.door.urls.append(made.url)
        return made

    def load(self):
        """A tenth more of everything, which is in no file yet, then the senders, well at work."""
        self.stock.grow(self.door, max(self.options.events // 10, 100))
        return self.send()

    def send(self):
        load = Load(self.ledger, self.door)
        self.ledger.wait(BATCHES_BEFORE, WITHIN_SECONDS)
        return load

    def in_files_up_to(self):
        """Up to when what clients sent is in files, and no longer in the log alone."""
        ((at,),) = self.door.rows(f"SELECT system_time FROM system.namespaces WHERE namespace = '{NAMESPACE}'")
        return at

    def size(self, machine):
        if self.bucket:
            return sum(self.bucket.sizes().values())
        return sum(file.stat().st_size for file in (machine.home / "var/lib/tidemark/lake").rglob("*") if file.is_file())

    def recover(self, load, machine, began, commands="", *, on=None, question=None, repairs=False, safe_up_to=None, is_whole=True):
        """Runs commands on the machine that is to serve, or `on` another, with the clock running until the question has its right answer;
        then all is audited. Only what was acknowledged after `safe_up_to` may be missing; clients send it again. Where answers are not wrong
        but what is to be repaired, it `repairs`; where that leaves something over, not all `is_whole`."""
        watch = Watch(machine.url, question or self.stock.question(), began, repairs)
        if commands:
            self.operate(on or machine, commands)
        self.operated_at = time.monotonic()
        load = load or self.send()
        answers = max(watch.end(), self.operated_at - began if repairs else 0)
        takes = self.heard(machine, began) - began
        load.end()
        self.door = Door(machine)
        acknowledged, missing = self.ledger.acknowledged(), self.ledger.missing(self.door)
        over = self.ledger.send_again(self.door, missing, safe_up_to) if safe_up_to else 0
        if is_whole and (safe_up_to or not missing):
            self.audit()
        records = self.stock.records + BATCH * len(self.ledger.receipts)
        return Outcome(answers, takes, acknowledged, len(missing), over, records, self.size(machine))

    def heard(self, machine, began):
        until(lambda: self.ledger.since(began, machine.url), "nothing is acknowledged any more")
        return self.ledger.since(began, machine.url)

    def audit(self):
        self.stock.check(self.door)
        self.ledger.audit(self.door, PROBES)

    def end(self):
        for machine in self.machines:
            kill(machine)
        for machine in self.machines:
            assert "panicked" not in machine.journal(), machine.journal()[-3000:]
            shutil.rmtree(machine.home)
        # LocalStack's go with it.
        for bucket in [self.bucket, *self.left] if self.bucket and "TIDEMARK_S3_ENDPOINT" in os.environ else []:
            bucket.remove()


def kill(machine):
    """Ends its process at once, if there is one; from when on there was none to ask."""
    began = time.monotonic()
    if not (machine.home / "pid").exists():
        return began
    pid = machine.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), f"process {pid} does not die")
    # The number may soon be somebody else's.
    (machine.home / "pid").unlink()
    return began


def is_alive(pid):
    """Whether it runs; one that has ended may wait for somebody who asks how."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def lose(machine):
    """The machine with all that is on its disks."""
    began = kill(machine)
    shutil.rmtree(machine.home / "var/lib/tidemark")
    return began


def holds(site):
    """The question that asks for the newest acknowledged batch too, which a lake that lost anything lacks first."""
    sql, answer = site.stock.question()
    batch = max(site.ledger.heard)[-1]
    of_batch = f"SELECT count(*) FROM {NAMESPACE}.events WHERE split_part(id, '-', 1) = 'b{batch}'"
    return f"SELECT *, ({of_batch}) AS newest FROM ({sql})", (*answer, BATCH)
