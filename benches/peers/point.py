"""One document as of an instant in PostgreSQL, by an index on (key, sequence).

Use: point.py FILE QUESTIONS; FILE is Parquet with _id, _op, _system_time, _seq, a, b; QUESTIONS is CSV of id and instant in µs.
The cluster lives in a directory of its own and is reached by its socket from one psql, which tells what each statement took.
"""
import json, os, pathlib, pwd, re, shutil, subprocess, sys, tempfile
import duckdb

BINARIES = pathlib.Path(os.environ.get("POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
log, questions = sys.argv[1], [line.split(",") for line in open(sys.argv[2]).read().split()]
home = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-bench-pg-"))
environment = {**os.environ, "PGHOST": str(home), "PGUSER": "postgres", "PGDATABASE": "postgres", "PGTZ": "UTC"}
# The server refuses to run as root.
user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


def server(program, *words):
    subprocess.run([*user, BINARIES / program, *words], check=True, cwd=home, env=environment, stdout=subprocess.DEVNULL)


def psql(text):
    command = [BINARIES / "psql", "-XqAt", "-F", " ", "-v", "ON_ERROR_STOP=1"]
    return subprocess.run(command, input=text, check=True, env=environment, capture_output=True, text=True).stdout


try:
    csv = home / "log.csv"
    columns = "_id, _op, epoch_us(_system_time) AS t, _seq, a, b"
    duckdb.connect().execute(f"COPY (SELECT {columns} FROM read_parquet('{log}')) TO '{csv}' (HEADER FALSE)")
    os.chmod(home, 0o755)
    if user:
        os.chown(home, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
    server("initdb", "-D", home / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
    options = f"-c fsync=off -c shared_buffers=1GB -c max_wal_size=8GB -c listen_addresses= -c unix_socket_directories={home}"
    server("pg_ctl", "-D", home / "data", "-w", "-l", home / "log", "-o", options, "start")
    psql(f"""
        CREATE TABLE log (id text, op text, t bigint, seq bigint, a bigint, b bigint);
        \\copy log FROM '{csv}' (FORMAT csv)
        CREATE INDEX ON log (id, seq);
        VACUUM ANALYZE log;
    """.replace("        ", ""))
    ask = "EXECUTE point('{}', {});"
    told = psql(
        "PREPARE point(text, bigint) AS SELECT CASE op WHEN 'delete' THEN NULL ELSE a END, CASE op WHEN 'delete' THEN NULL ELSE b END"
        " FROM log WHERE id = $1 AND t <= $2 ORDER BY seq DESC LIMIT 1;\n\\timing on\n"
        + "\n".join("\\echo question\n" + ask.format(*question) for question in questions)
    )
    version = psql("SHOW server_version").split()[0]
    answers, wall = [], []
    for part in told.split("question\n")[1:]:
        wall.append(float(re.search(r"^Time: ([0-9.]+) ms", part, re.M).group(1)) / 1e3)
        row = re.match(r"(\d+) (\d+)\n", part)
        answers.append([int(row.group(1)), int(row.group(2))] if row else [])
    print(json.dumps({"peer": f"PostgreSQL {version}", "answers": answers, "cpu_s": [], "wall_s": wall}))
finally:
    if (home / "data" / "postmaster.pid").exists():
        server("pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
    shutil.rmtree(home, ignore_errors=True)
