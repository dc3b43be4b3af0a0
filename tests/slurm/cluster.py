"""A real SLURM of one node on loopback, from Debian's packages; it stops what it has started and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
DATABASE = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb-admin", "mariadb")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "sacct", "sacctmgr")
LINK = Path("/etc/slurm/slurm.conf")  # where srun looks inside a job, whose SLURM_CONF the executor takes away
PORT = 26817


def missing(accounting: bool) -> list[str]:
    """The programs that aren't installed."""
    os.environ["PATH"] += ":/usr/sbin"
    needed = [*DAEMONS, *COMMANDS, *(DATABASE if accounting else [])]
    return [name for name in needed if shutil.which(name) is None]


def until(there: Callable[[], object], what: str, seconds: float = 60) -> object:
    """What `there` returns once it is true; an `AssertionError` where that takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = there()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


def ok(*command: str | Path) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def runs(number: int, name: str) -> bool:
    """Whether that process is there, and is that program."""
    try:
        return name.encode() in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


class Cluster:
    """munge, slurmctld and slurmd, with slurmdbd and MariaDB for accounting. Use as a context."""

    def __init__(self, accounting: bool) -> None:
        self.accounting, self.user = accounting, "root"
        self.base = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.base.chmod(0o755)  # munge wants the whole path of its socket open to all
        self.conf = self.base / "etc" / "slurm.conf"

    def __enter__(self) -> Cluster:
        for name in ("etc", "state", "spool", "run", "log", "dev"):
            (self.base / name).mkdir()
        try:
            self._munge()
            if self.accounting:
                self._mariadb()
            self._configure()
            LINK.parent.mkdir(exist_ok=True)
            if not LINK.exists() or LINK.is_symlink():
                LINK.unlink(missing_ok=True)
                LINK.symlink_to(self.conf)
            os.environ["SLURM_CONF"] = str(self.conf)
            if self.accounting:
                self._accounts()
            self.start("slurmctld")
            self.start("slurmd")
            until(lambda: "idle" in self.output("sinfo", "-h", "-o", "%T"), "an idle node", 30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if (self.base / "run" / "slurmctld.pid").is_file():
            subprocess.run(["timeout", "10", "scancel", "-u", self.user], capture_output=True, check=False)
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self.stop(name)
        if LINK.is_symlink() and LINK.readlink() == self.conf:
            LINK.unlink()
        os.environ.pop("SLURM_CONF", None)
        shutil.rmtree(self.base, ignore_errors=True)

    def output(self, *command: str) -> str:
        """What a command of SLURM prints."""
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def start(self, name: str) -> None:
        """Start slurmctld or slurmd, which become daemons by themselves."""
        subprocess.run([shutil.which(name), "-f", str(self.conf)], check=True, capture_output=True)

    def pid(self, name: str) -> int | None:
        """The daemon's process, if it is the one that this cluster has started."""
        file = self.base / "run" / f"{name}.pid"
        if not file.is_file() or not file.read_text().strip():
            return None
        number = int(file.read_text())
        return number if runs(number, name) else None

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop one daemon, and wait until it has gone."""
        number = self.pid(name)
        if number is None:
            return
        os.kill(number, how)
        end = time.monotonic() + 15
        while runs(number, name) and time.monotonic() < end:  # it removes its pid file before it has ended
            time.sleep(0.1)
        if runs(number, name):
            os.kill(number, signal.SIGKILL)

    def _munge(self) -> None:
        key = self.base / "etc" / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        run, log = self.base / "run", self.base / "log"
        options = {
            "key-file": key, "socket": run / "munge.socket", "pid-file": run / "munged.pid",
            "log-file": log / "munged.log", "seed-file": self.base / "etc" / "munge.seed",
        }  # fmt: skip
        subprocess.run([shutil.which("munged"), *(f"--{k}={v}" for k, v in options.items())], check=True)

    def _mariadb(self) -> None:
        folder = self.base / "mysql"
        folder.mkdir(0o700)
        asked = ["mariadb-install-db", "--no-defaults", f"--user={self.user}", f"--datadir={folder}", "--skip-test-db"]
        subprocess.run([*asked, "--auth-root-authentication-method=socket"], check=True, capture_output=True)
        sock = folder / "socket"
        server = [shutil.which("mariadbd"), "--no-defaults", f"--user={self.user}", f"--datadir={folder}"]
        server += [f"--socket={sock}", f"--pid-file={self.base}/run/mariadbd.pid", f"--port={PORT + 3}"]
        server += ["--bind-address=127.0.0.1", "--skip-name-resolve", f"--log-error={self.base}/log/mariadb.log"]
        subprocess.Popen(server, start_new_session=True, stdin=subprocess.DEVNULL)
        until(lambda: ok("mariadb-admin", "--no-defaults", "-S", sock, "ping"), "MariaDB", 30)
        words = (
            "CREATE DATABASE slurm_acct_db; CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';"
            "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
        )
        subprocess.run(["mariadb", "--no-defaults", "-S", sock, "-e", words], check=True)

    def _configure(self) -> None:
        host, run, log = socket.gethostname().split(".")[0], self.base / "run", self.base / "log"
        # What is preempted waits until its credential has ended, two minutes by default.
        auth = f"AuthType=auth/munge\nAuthInfo=socket={run}/munge.socket,cred_expire=20\n"
        store = "AccountingStorageType=accounting_storage/none\n"
        if self.accounting:
            store = (
                "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
                f"AccountingStoragePort={PORT + 2}\nAccountingStoragePass={run}/munge.socket\n"
                "AccountingStoreFlags=job_comment\nAccountingStorageTRES=gres/gpu\n"
            )
            file = self.base / "etc" / "slurmdbd.conf"
            file.touch(0o600)
            file.write_text(
                f"{auth}DbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={PORT + 2}\nSlurmUser={self.user}\n"
                f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={PORT + 3}\n"
                f"StorageUser=slurm\nStoragePass=slurm\nStorageLoc=slurm_acct_db\nLogFile={log}/slurmdbd.log\n"
                f"PidFile={run}/slurmdbd.pid\n"
            )
        for k in range(2):  # GPUs that aren't there: devices that swallow all
            os.mknod(self.base / "dev" / f"nvidia{k}", 0o020666, os.makedev(1, 3))
        gres = f"NodeName={host} Name=gpu Type=none File={self.base}/dev/nvidia[0-1] Flags=nvidia_gpu_env\n"
        (self.base / "etc" / "gres.conf").write_text(gres)
        # config_overrides: the node is believed to be as large as the paper's profile asks for.
        self.conf.write_text(
            f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={self.user}\nSlurmdUser=root\n{auth}"
            f"SlurmctldPort={PORT}\nSlurmdPort={PORT + 1}\nCommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n"
            f"StateSaveLocation={self.base}/state\nSlurmdSpoolDir={self.base}/spool\n"
            f"SlurmctldPidFile={run}/slurmctld.pid\nSlurmdPidFile={run}/slurmd.pid\n"
            f"SlurmctldLogFile={log}/slurmctld.log\nSlurmdLogFile={log}/slurmd.log\nMailProg=/bin/true\n"
            "MpiDefault=none\nReturnToService=2\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
            "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=1\n"
            "JobAcctGatherParams=OverMemoryKill,UsePss\nSlurmdParameters=config_overrides\nKillWait=3\n"
            "SchedulerType=sched/backfill\nSchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2\n"
            f"SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU_Memory\nMinJobAge=600\nGresTypes=gpu\n{store}"
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs=32 RealMemory=400000 Gres=gpu:none:2 State=UNKNOWN\n"
            "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n"
            f"PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
            f"PartitionName=urgent Nodes={host} PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP\n"
        )

    def _accounts(self) -> None:
        subprocess.run([shutil.which("slurmdbd")], check=True)
        until(lambda: ok("sacctmgr", "-n", "list", "cluster"), "slurmdbd", 60)
        for words in ("cluster test", "account test", f"user {self.user} Account=test DefaultAccount=test"):
            subprocess.run(["sacctmgr", "-i", "add", *words.split()], check=False, capture_output=True)
