"""What every peer script shares: CPU of this process, and the one JSON line the benchmark reads."""
import json, resource, time


def cost(work):
    """Runs the work; its answer, CPU seconds, wall seconds."""
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answer = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return answer, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - wall


def tell(peer, measured):
    """measured: [(answer, cpu, wall)]"""
    print(json.dumps({"peer": peer, "answers": [[int(v or 0) for v in m[0]] for m in measured],
                      "cpu_s": [m[1] for m in measured], "wall_s": [m[2] for m in measured]}))
