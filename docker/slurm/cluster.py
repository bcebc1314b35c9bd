"""A Dask cluster of SLURM jobs for `runner=dask`, on the login node: one job always, more while there is work.

Needs dask-jobqueue beside the platform. Jobs are described in ~/.config/dask/jobqueue.yaml (see jobqueue.yaml here).
Usage: python docker/slurm/cluster.py --most 16 [--port 8786] [--script]
"""

import argparse
import threading

from dask_jobqueue import SLURMCluster


def main() -> None:
    """Start it, say how a command is pointed at it, and wait."""
    parser = argparse.ArgumentParser(description="A Dask cluster of SLURM jobs, until interrupted.")
    parser.add_argument("--most", type=int, required=True, help="most jobs at a time")
    parser.add_argument("--port", type=int, default=8786, help="of the scheduler, on the login node")
    parser.add_argument("--script", action="store_true", help="print the script of a job and end")
    asked = parser.parse_args()
    with SLURMCluster(scheduler_options={"port": asked.port, "dashboard_address": "127.0.0.1:8787"}) as cluster:
        if asked.script:
            print(cluster.job_script())
            return
        # A flow looks for workers before it has work; a shard is minutes of work, so each that waits is worth a job.
        # One that is idle for a minute goes back.
        cluster.adapt(minimum_jobs=1, maximum_jobs=asked.most, target_duration="1ms", interval="1s", wait_count=60)
        print(f"runner=dask runner.address={cluster.scheduler_address} runner.workers={asked.most}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
