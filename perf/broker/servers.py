"""Private servers on this machine's loopback, or on a socket of their own, which confirm what is on the disk. They end with the process that started them."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

BUILT = pathlib.Path(__file__).resolve().parents[1] / ".build-broker"
READY = 90  # seconds
NATS = "nats-2.15.1/bin/nats-server"
RABBITMQ = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Ends what it started, with all its children, when our end of its input is closed.
KEEPER = """
setsid "$@" >"$LOG" 2>&1 </dev/null & server=$!
echo $server
read -r order
kill -KILL -$server
while pgrep -g $server -r R,S,D >/dev/null; do :; done
"""


class Missing(Exception):
    pass


class Server:
    """`address` is what its program is told: a port, or the path of a socket. Its files are in `directory`, which is made."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.directory.mkdir(parents=True)
        # Paths of sockets are short.
        self.own = pathlib.Path(tempfile.mkdtemp(prefix="broker-"))
        self.keeper = None
        try:
            command, environment = self.command()
            self.keeper = subprocess.Popen(["/bin/sh", "-c", KEEPER, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.directory,
                                           env={**os.environ, **environment, "LOG": str(self.own / "log")})
            self.session = int(self.keeper.stdout.readline())
            deadline = time.monotonic() + READY
            while not self.is_ready():
                if time.monotonic() > deadline or not pathlib.Path(f"/proc/{self.session}").exists():
                    raise RuntimeError(f"{command[0]} does not start: {self.said()[-500:]}")
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise

    def said(self):
        log = self.own / "log"
        return log.read_text() if log.exists() else ""

    def pids(self):
        return [int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*") if session_of(path) == self.session]

    def used(self):
        """Seconds of the processors that its processes took so far."""
        return sum(sum(map(int, stat(f"/proc/{pid}")[11:15] or [0])) for pid in self.pids()) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.keeper:
            self.keeper.stdin.close()
            self.keeper.wait(60)
            self.keeper.stdout.close()
        shutil.rmtree(self.own, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class Redis(Server):
    """Each turn of its loop appends what all clients sent, syncs that, and only then answers."""

    def command(self):
        self.address = str(self.own / "socket")
        return [installed("redis-server"), "--port", "0", "--unixsocket", self.address, "--dir", self.directory, "--save", "", "--appendonly", "yes",
                "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"], {}

    def is_ready(self):
        return talks(socket.AF_UNIX, self.address, b"PING\r\n", b"+PONG")


class JetStream(Server):
    """`sync_interval: always`: a sync for each message."""

    def command(self):
        program = BUILT / NATS
        if not program.exists():
            raise Missing(f"{program.name} is not built")
        settings = self.own / "settings"
        settings.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{self.own}"\njetstream {{ store_dir: "{self.directory}", sync_interval: always }}\n')
        return [program, "-c", settings], {}

    def is_ready(self):
        told = list(self.own.glob("*.ports"))
        found = told[0].read_text().rpartition(":")[2].split('"')[0] if told else ""
        if not found.isdigit():
            return False
        self.address = found
        return talks(socket.AF_INET, ("127.0.0.1", int(found)), b"", b"INFO")


class RabbitMQ(Server):
    """With its defaults. It would start a daemon for names that outlives it: here that is one of its session."""

    def command(self):
        if not RABBITMQ.exists():
            raise Missing("rabbitmq-server is not installed")
        ports = free_ports(3)
        self.address = ports[0]
        (self.own / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(self.own), "LANG": "C.UTF-8", "RABBITMQ_NODENAME": f"mr{ports[0]}@localhost", "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.own / "logs"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.own / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.own / "rabbit"), "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": ports[0], "RABBITMQ_DIST_PORT": ports[1], "ERL_EPMD_PORT": ports[2], "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        return ["/bin/sh", "-c", f"epmd -address 127.0.0.1 -port {ports[2]} & exec {RABBITMQ}"], environment

    def is_ready(self):
        return "Starting broker... completed" in self.said()


SERVERS = {"redis": Redis, "jetstream": JetStream, "rabbitmq": RabbitMQ}


def installed(program):
    found = shutil.which(program)
    if not found:
        raise Missing(f"{program} is not installed")
    return found


def talks(family, address, question, answer):
    try:
        with socket.socket(family) as client:
            client.settimeout(1)
            client.connect(address)
            client.sendall(question)
            return client.recv(64).startswith(answer)
    except OSError:
        return False


def free_ports(count):
    """Ports that nobody listened on a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def stat(process):
    """What follows the name in its line; nothing where it has ended."""
    try:
        return pathlib.Path(process, "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def session_of(process):
    fields = stat(process)
    return int(fields[3]) if fields else None
