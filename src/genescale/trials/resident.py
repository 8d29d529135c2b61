"""How long one variant takes in a process that holds the reference open: the program behind `single_resident_p99_ms`.

Called as `python -m genescale.trials.resident BUNDLE LINES.json`; prints the median and the 99th percentile in ms.
A process of its own, so that nothing of the benchmark's memory or garbage stands in the figure.
"""

import json
import statistics
import sys
from pathlib import Path

from genescale.clock import Clock, SystemClock
from genescale.genomics.annotate import Annotator
from genescale.genomics.bundle import Bundle


def single_calls_ms(annotator: Annotator, records: list[bytes], clock: Clock) -> list[float]:
    """Annotate the first tenth to warm up, then every record by itself; how long each of these took."""
    for record in records[: len(records) // 10]:
        b"".join(annotator.block(record))
    took_ms: list[float] = []
    for record in records:
        began_s = clock.monotonic_s()
        b"".join(annotator.block(record))
        took_ms.append((clock.monotonic_s() - began_s) * 1e3)
    return took_ms


def main(bundle: str, lines: str) -> None:
    """Print the median and the 99th percentile."""
    records = [line.encode() + b"\n" for line in json.loads(Path(lines).read_text())]
    took_ms = single_calls_ms(Annotator(Bundle.open(bundle)), records, SystemClock())
    sys.stdout.write(json.dumps([statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
