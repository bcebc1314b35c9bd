"""The process of the private Prefect server: one a home folder, and it serves until its last user is gone.

Commands start it as `python -m modeldiff_platform.flows.prefect_api.supervisor HOME`. POSIX record locks alone say who
uses the server and whether there is one: a lock belongs to one process, no fork inherits it, and the kernel drops it
however the process ends. So no process id is ever trusted, and nothing that a kill -9 leaves behind can mislead the
next start. A lease also names the flow runs of its holder, so that those of a killed command are marked as crashed: at
once or, if the server was killed too, by the next one.
"""

import fcntl
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import uvicorn

LINGER = 5.0  # seconds without a user or a waiting event before the server stops
LONGEST_BACKLOG = 120.0  # seconds that waiting events can keep a server that has no user
POLL = 0.5  # seconds between two looks at the leases
GRACE = 5  # seconds that open connections have to end
CRASH_TIMEOUT = 10.0  # seconds
ROOM = 4_000_000  # bytes; the database of a server that has recorded nothing yet has one or two million
LOCK_PATIENCE = 1.0  # seconds; clients that look whether the lock is held hold it themselves for an instant


@dataclass(frozen=True)
class Home:
    """The folder of one private server: Prefect's home in it, with the database, the log, the locks and the state."""

    root: Path

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def log(self) -> Path:
        return self.prefect / "server.log"

    @property
    def _lock(self) -> Path:
        return self.prefect / "server.lock"

    @property
    def _state(self) -> Path:
        return self.prefect / "server.json"

    @property
    def _leases(self) -> Path:
        return self.prefect / "leases"

    def create(self) -> None:
        """Makes the folders, readable by their owner only, since the API on them asks for no password."""
        for folder in (self.root, self.prefect, self._leases):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check_room(self) -> None:
        """Raises OSError unless there is room for a new database, which the server would fail without a word for."""
        with tempfile.TemporaryFile(dir=self.prefect) as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def lease(self) -> Iterator["Lease"]:
        """Keeps the server up from here on, also one that was about to stop."""
        name = uuid.uuid4().hex
        unlocked, locked = self._leases / f"{name}.new", self._leases / f"{name}.lease"
        with unlocked.open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            unlocked.rename(locked)  # only now, since a lease that is not locked counts as a dead user's
            try:
                yield Lease(file)
            finally:
                locked.unlink(missing_ok=True)

    def has_users(self) -> bool:
        """Return whether another living process holds a lease."""
        return any(run_ids is None for _, run_ids in self._looked_at())

    def clear_dead_leases(self, crash: Callable[[str], None]) -> None:
        """Removes the leases of dead processes, after `crash` was called for each flow run that one had begun.

        A lease that `crash` raises OSError for stays, and `crash` is called for its runs again.
        """
        for path, run_ids in self._looked_at():
            if run_ids is None:
                continue
            try:
                for run_id in run_ids:
                    crash(run_id)
            except OSError:
                continue
            path.unlink(missing_ok=True)

    def _looked_at(self) -> Iterator[tuple[Path, list[str] | None]]:
        """Each lease, with the flow runs that its holder noted if that is dead, and None if it lives."""
        for path in self._leases.glob("*.lease"):
            try:
                with path.open("r+") as file:
                    dead = _try_lock(file.fileno(), fcntl.LOCK_EX)
                    run_ids = file.read().split() if dead else None
            except FileNotFoundError:
                continue
            yield path, run_ids

    def lock_server(self) -> bool:
        """Makes this process the home's server until it ends; False if another one is.

        Nothing closes the file: a server that is still closing its database counts as living.
        """
        file = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE
        while not (mine := _try_lock(file, fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return mine

    def has_server(self) -> bool:
        """Return whether a server lives (it may still be starting, or already stopping)."""
        with self._lock.open("a+") as file:
            return not _try_lock(file.fileno(), fcntl.LOCK_SH)

    def publish(self, state: "ServerState") -> None:
        """Writes the state in one step, so that no reader sees a part of it."""
        partial = self._state.with_suffix(".new")
        partial.write_text(json.dumps(asdict(state)))
        partial.replace(self._state)

    def withdraw(self) -> None:
        """Removes the state: whoever comes now waits for this server to end and starts the next."""
        self._state.unlink(missing_ok=True)

    def state(self) -> "ServerState | None":
        """Return what the server last published; worth something only while `has_server`."""
        try:
            return ServerState(**json.loads(self._state.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Lease:
    """A command's hold on the server, and the place where it notes its flow runs: what is found there after it died.

    Notes go through the one open file, because closing another on the same path would drop the lock.
    """

    file: TextIO

    def note(self, run_id: str) -> None:
        """Writes down a flow run of this process; past the buffer, which a full disk would fail again at the end."""
        os.write(self.file.fileno(), f"{run_id}\n".encode())


@dataclass(frozen=True)
class ServerState:
    """Where a server that takes requests is found; `machine` because loopback means nothing on another one."""

    url: str
    pid: int
    machine: str


def _try_lock(file: int, operation: int) -> bool:
    try:
        fcntl.lockf(file, operation | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # either may mean "held", says POSIX
        return False
    return True


def settings_of_server(home: Home, port: int) -> dict[str, str]:
    """Return the whole configuration of the private server; nothing of the user's own Prefect settings reaches it."""
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        # the API asks for no password, so pages of other sites must not reach it through the user's browser
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        # by default each event is a transaction of its own, and the UI lags behind a run by tens of seconds
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }


def _waiting_events() -> int:
    """Events that clients have sent and that are not in the database yet; a server that stops now would lose them."""
    from prefect.server.utilities.messaging.memory import Topic

    # copies, because the server's own thread changes both while this one looks
    topics = list(Topic._topics.values())
    return sum(subscription._queue.qsize() for topic in topics for subscription in list(topic._subscriptions))


def _crash(url: str, run_id: str) -> None:
    """Marks a flow run as crashed whose process is gone; raises OSError if this server cannot do that now."""
    why = "The command ended without a word: it was killed, or its machine went down. Run it again to go on."
    body = json.dumps({"state": {"type": "CRASHED", "name": "Crashed", "message": why}, "force": False}).encode()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(  # noqa: S310
        f"{url}/api/flow_runs/{run_id}/set_state", body, {"Content-Type": "application/json"}
    )
    try:
        direct.open(request, timeout=CRASH_TIMEOUT).close()  # the server leaves a run that has ended as it is
    except urllib.error.HTTPError as error:
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:  # below: deleted in the UI, nothing to mark
            raise


def _stop_after_last_user(home: Home, server: "uvicorn.Server", state: ServerState) -> None:
    published = False
    used = busy = time.monotonic()
    try:
        while not server.should_exit:
            if server.started and not published:
                home.publish(state)
                published = True
            if server.started:
                home.clear_dead_leases(partial(_crash, state.url))
            now = time.monotonic()
            if home.has_users():
                used = busy = now
            elif _waiting_events() and now - used < LONGEST_BACKLOG:
                busy = now
            elif now - busy > LINGER:
                # A client takes its lease before it reads the state. So after the withdrawal either its lease is
                # seen here, or it finds no state and waits for the next server.
                home.withdraw()
                if not home.has_users():
                    break
                published = False
            time.sleep(POLL if published else 0.05)
    finally:
        server.should_exit = True
        time.sleep(2 * GRACE)
        os._exit(1)  # reached only if the server hangs; this thread ends with its process otherwise


def _bind(listener: socket.socket, killed: ServerState | None) -> int:
    """Return the port of the server that was killed, where its users still seek it, or else any that is free."""
    # Its connections may still be closing; Linux shares their port if they were accepted with this option too.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if killed and killed.machine == socket.gethostname():
        with suppress(OSError, ValueError):
            listener.bind(("127.0.0.1", urlsplit(killed.url).port or 0))
            return int(listener.getsockname()[1])
    listener.bind(("127.0.0.1", 0))
    return int(listener.getsockname()[1])


def serve(home: Home) -> None:
    """Serves until the last user is gone; only for the process that holds the server's lock."""
    killed = home.state()  # a server that ends in order leaves none
    home.withdraw()
    os.truncate(home.log, 0)
    with socket.socket() as listener:
        port = _bind(listener, killed)
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            del os.environ[name]
        os.environ.update(settings_of_server(home, port))
        os.chdir(home.prefect)  # Prefect would read .env, prefect.toml and pyproject.toml in the user's current folder

        import uvicorn
        from prefect.server.api.server import create_app

        config = uvicorn.Config(create_app(final=True), log_level="warning", timeout_graceful_shutdown=GRACE)
        server = uvicorn.Server(config)
        state = ServerState(f"http://127.0.0.1:{port}", os.getpid(), socket.gethostname())
        threading.Thread(target=_stop_after_last_user, args=(home, server, state), daemon=True).start()
        try:
            server.run(sockets=[listener])
        finally:
            home.withdraw()


def _exit(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def main() -> None:
    """Serves the home folder named on the command line, unless another process does."""
    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again when it is done: leave through `finally`
    home = Home(Path(sys.argv[1]))
    if home.lock_server():
        serve(home)


if __name__ == "__main__":
    main()
