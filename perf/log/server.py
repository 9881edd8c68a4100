"""A private PostgreSQL server, as a user who wants its best sets it up, on a Unix socket only."""
import glob
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

# Durable as it is by default: fsync, full_page_writes and synchronous_commit stay on. What is changed keeps checkpoints, background work and new log files
# out of the measured seconds.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "1GB",
    "wal_buffers": "64MB",
    "min_wal_size": "1GB",
    "max_wal_size": "8GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1d",
    "autovacuum": "off",
    "jit": "off",
    "logging_collector": "off",
}
READY = 30  # seconds


class Missing(Exception):
    pass


def binaries():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise Missing("no PostgreSQL server in /usr/lib/postgresql (Debian: postgresql-15)")
    return pathlib.Path(found[-1]).parent


class Server:
    """Started in `directory`, which is made. `environment` leads libpq to it. AHEAD_MIB=400 of the log's files are there to be written over."""

    def __init__(self, directory):
        self.bin = binaries()
        # The server refuses to be root.
        self.user = ["--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
        self.data = pathlib.Path(directory).resolve() / "postgres"
        # Paths of sockets are short.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="log-peers-"))
        self.environment = {"PGHOST": str(self.sockets), "PGUSER": "postgres", "PGPORT": "5432"}
        self.process, self.log = None, None
        try:
            self.make()
            self.start()
            # As after an hour of work: there are files of the log to write over.
            ahead = int(os.environ.get("AHEAD_MIB", "400"))
            self.execute(f"SELECT count(pg_logical_emit_message(false, 'ahead', repeat('x', 1048576))) FROM generate_series(1, {ahead})", "CHECKPOINT")
        except BaseException:
            self.stop()
            raise

    def make(self):
        self.data.mkdir(parents=True)
        if self.user:
            for path in (self.data, self.sockets):
                shutil.chown(path, "postgres", "postgres")
        self.data.chmod(0o700)
        if subprocess.run(["setpriv", *self.user, "test", "-w", self.data], check=False).returncode != 0:
            raise Missing(f"the user postgres cannot reach {self.data}: choose a DIRECTORY whose parents it may pass")
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = subprocess.run(["setpriv", *self.user, self.bin / "initdb", "-D", self.data, *options], capture_output=True, text=True, cwd="/")
        if made.returncode != 0:
            raise RuntimeError(f"initdb: {made.stderr.strip()[-500:]}")

    def start(self):
        settings = {**SETTINGS, "unix_socket_directories": str(self.sockets)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.log = open(self.sockets / "log", "w+")
        # It ends with this process, however that ends.
        command = ["setpriv", *self.user, "--pdeathsig", "INT", self.bin / "postgres", "-D", self.data, *options]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd="/")
        deadline = time.monotonic() + READY
        while subprocess.run([self.bin / "pg_isready", "-q"], env={**os.environ, **self.environment}).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"PostgreSQL does not start: {self.log.read()[-500:]}")
            time.sleep(0.02)

    def execute(self, *statements):
        commands = [word for statement in statements for word in ("-c", statement)]
        subprocess.run([self.bin / "psql", "-X", "-q", "-d", "postgres", "-v", "ON_ERROR_STOP=1", *commands],
                       env={**os.environ, **self.environment}, check=True, stdout=subprocess.DEVNULL)

    def used(self):
        """Seconds of the processors that the server took so far, with its processes that have ended."""
        own = self.process.pid
        children = pathlib.Path(f"/proc/{own}/task/{own}/children").read_text().split()
        ticks = 0
        for pid, fields in [(own, slice(11, 15)), *((child, slice(11, 13)) for child in children)]:
            try:
                ticks += sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[fields]))
            except FileNotFoundError:
                pass  # ended just now
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        if self.log:
            self.log.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
