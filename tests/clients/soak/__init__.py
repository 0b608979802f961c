"""`cargo xtask soak`: two lakes under half load for as long as is said, while everything goes wrong, and the audit behind it.

1. [`load`]: how much this machine takes, then half of it, by the clock: latency counts from when a batch was due.
2. [`churn`]: one lake whose owners are killed, ended, and stopped and woken when another has the lake.
3. [`steady`]: one lake whose owner lives on, and whose memory, files and threads are watched.
4. [`ledger`]: what was sent to a lake, what is known of it, and what must therefore be there.
5. [`probes`]: instants whose answer is known, asked for now and again and again.
6. [`slope`], [`verdict`], [`report`]: what came of it.

Both lakes lie in one S3 and keep their logs there, and their stores fail by a seeded plan (faults.py) all the time."""
