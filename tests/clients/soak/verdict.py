"""What makes a run fail; each line is a reason, and no line is a run that passed."""

#: Percent an hour, of what is resident of the steady owner: the line of R-31.
MEMORY_MAX = 1.0
#: From the first half of what is judged to the second, in medians.
DESCRIPTORS_MAX, THREADS_MAX = 8, 4
#: Of what was acknowledged: more that was never sent, and the load was not what it is said to be.
SHED_MAX = 0.1
#: From so many minutes on a slope tells something.
JUDGED_MINUTES = 20


def complaints(run):
    """Of the figures of a run, as report.py writes them."""
    told = [f"{len(run['trouble'])} things went wrong, the first: {run['trouble'][0]}"] if run["trouble"] else []
    least = run["hits_min"]
    for name, lake in run["lakes"].items():
        told += [f"{name}: the fault {kind!r} came {hits} times, and {least} are needed" for kind, hits in lake["faults"].items() if hits < least]
        told += [f"{name}: {what} is none" for what in ("acknowledged", "probes", "answers", "upkeep") if not lake[what]]
        told += [f"{name}: the audit did not end"] if not lake["is_audited"] else []
        told += [f"{name}: {lake['shed']} batches were not sent at all"] if lake["shed"] > SHED_MAX * lake["acknowledged"] else []
    told += [f"an owner's death by {death} came {count} times, and {run['deaths_min']} are needed"
             for death, count in run["deaths"].items() if count < run["deaths_min"]]
    return told + grown(run["steady"], run["minutes"])


def grown(steady, minutes):
    """Files and threads always; memory where the run is long enough to tell."""
    told = []
    for what, most in (("descriptors", DESCRIPTORS_MAX), ("threads", THREADS_MAX)):
        first, last = steady[what]
        told += [f"{what} of the steady owner grew from {first} to {last}"] if last - first > most else []
    if minutes >= JUDGED_MINUTES:
        slope = steady["memory"]
        if slope is None:
            told.append("the steady owner's memory was not measured")
        elif slope["percent"] >= MEMORY_MAX:
            told.append(f"memory of the steady owner grows by {slope['percent']:.2f} % an hour, and less than {MEMORY_MAX} % is wanted")
    return told


def line(run, told):
    """The last line of a run."""
    sent = sum(lake["acknowledged"] for lake in run["lakes"].values())
    probes = sum(lake["probes"] for lake in run["lakes"].values())
    what = f"{run['minutes']:g} minutes, seed {run['seed']}, {sent} acknowledged batches, {sum(run['deaths'].values())} take-overs, {probes} probed instants"
    return f"soak FAILED ({what}): " + "; ".join(told) if told else f"soak passed ({what}): nothing lost, nothing doubled, every probed instant right"
