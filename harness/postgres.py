"""A PostgreSQL server on loopback with its data in a folder of its own; root runs it as the system's postgres user."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.ports import free_ports


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Yield the address of an empty database, in Prefect's words, until the block ends; folder: one that others may
    enter.
    """
    data, port = folder / "data", free_ports()
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(data, user.pw_uid, user.pw_gid)
    _run("initdb", "--pgdata", str(data), "--username", "modeldiff", "--auth", "trust", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k '' -c fsync=on"
    _run("pg_ctl", "start", "--wait", "--pgdata", str(data), "--log", str(data / "log.txt"), "--options", options)
    try:
        yield f"postgresql+asyncpg://modeldiff@127.0.0.1:{port}/postgres"
    finally:
        _run("pg_ctl", "stop", "--mode", "immediate", "--pgdata", str(data))


def _run(program: str, *arguments: str) -> None:
    command = [_found(program), *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *command]
    # not a pipe: the server that pg_ctl starts would keep it open
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)


def _found(program: str) -> str:
    places = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True), os.environ.get("PATH", "")]
    found = shutil.which(program, path=os.pathsep.join(places))
    if found is None:
        raise FileNotFoundError(f"{program} is not installed; docker/system-packages.sh postgres brings it")
    return found
