"""Kill a comparison, its workers and its S3 server with -9 at random moments, and check the store afterwards.

One study is killed repeatedly until it is complete, then another on a fresh store. Two series kill the command and one
of its workers in turn; a third kills the S3 server, which restarts after a while. After each study its margins and
datamodels must equal those of an undisturbed run, bit for bit. Meanwhile a watcher reads every shard as soon as it is
listed: none may be partial, and none that was once listed may be written again. At the end `modeldiff verify` must find
nothing but strays.

    python -m benchmarks.drills [log, drills.jsonl by default [kills on file://, on s3://, of the server: 50 50 20]]

The log gets a line per finished study. Started again with the same log, the drills continue where they stopped.
"""

import os
import platform
import random
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from harness.drills import Drill, environment, logged, private_server, table, undisturbed
from harness.s3_server import s3_server
from modeldiff_core.store import StoreSettings


def main() -> None:
    """Run the remaining part of the three series, and print the table of all outcomes."""
    log = Path(sys.argv[1] if len(sys.argv) > 1 else "drills.jsonl").absolute()
    wanted = [int(word) for word in sys.argv[2:]] or [50, 50, 20]
    chance = random.Random(datetime.now(UTC).timestamp())
    before = logged(log)
    with tempfile.TemporaryDirectory(prefix="drills-") as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with s3_server(folder / "s3") as server:
            os.environ.update(server.environment)
            surroundings = environment(folder, **server.environment)
            with private_server(folder, surroundings):
                expected, duration = undisturbed(folder, surroundings)
                print(f"undisturbed: {duration:.0f} s", file=sys.stderr, flush=True)
                count = iter(range(1_000_000))

                def files() -> StoreSettings:
                    return StoreSettings(str(folder / f"files-{next(count)}"))

                def objects() -> StoreSettings:
                    return StoreSettings(f"s3://{server.bucket}/{next(count)}", server.endpoint)

                series = [("file://", files, None), ("s3://", objects, None), ("s3:// server", objects, server)]
                for (label, settings, victim), kills in zip(series, wanted, strict=False):
                    mine = [outcome for outcome in before if outcome.series == label]
                    Drill(label, settings, surroundings, folder, chance, mine, log).run(
                        kills, expected, duration, victim
                    )
    outcomes = logged(log)
    print(
        f"{datetime.now(UTC):%Y-%m-%d} · {platform.machine()}, {os.cpu_count()} cores · undisturbed: {duration:.0f} s"
    )
    print(table(outcomes))
    complaints = [complaint for outcome in outcomes for complaint in outcome.complaints]
    print("\n".join(complaints))
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
