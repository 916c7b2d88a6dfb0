"""What the idle platform costs: memory (PSS) of every process, and its CPU time over half a minute."""

import time

import psutil
from rich.console import Console
from rich.table import Table

from bench.sample_platform import sample_platform

SETTLE_SECONDS, IDLE_SECONDS = 10, 30


def main() -> None:
    """Print the table, and the totals in a line `FIGURE …`."""
    with sample_platform() as sample:
        time.sleep(SETTLE_SECONDS)
        processes = {pid: psutil.Process(pid) for pid in sample.platform.processes()}
        before = {pid: sum(process.cpu_times()[:2]) for pid, process in processes.items()}
        time.sleep(IDLE_SECONDS)
        table = Table(title="the idle platform with one replica")
        for heading in ("process", "PSS MB", "CPU % of a core"):
            table.add_column(heading, justify="left" if heading == "process" else "right")
        memory, cpu = 0.0, 0.0
        for pid, title in sample.platform.processes().items():
            if pid not in processes:
                continue
            pss = processes[pid].memory_full_info().pss / 1e6
            share = 100 * (sum(processes[pid].cpu_times()[:2]) - before[pid]) / IDLE_SECONDS
            memory, cpu = memory + pss, cpu + share
            table.add_row(title[:60], f"{pss:.1f}", f"{share:.2f}")
            print(f"FIGURE {title[:40]}: PSS {pss:.1f} MB, CPU {share:.2f} %")
    print(f"FIGURE total: PSS {memory:.0f} MB, CPU {cpu:.2f} % of a core")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
