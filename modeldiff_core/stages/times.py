"""How long a result took, in an object of its own, so that computing a result again gives the same bytes."""

from modeldiff_core.errors import DamagedObject
from modeldiff_core.store import ObjectStore, read_record, write_record


def time_key(key: str) -> str:
    """Name of the object that holds the time of the object of that key."""
    return f"{key.rpartition('.')[0]}.time.json"


def write_time(store: ObjectStore, key: str, seconds: float) -> None:
    """Keep how long it took to compute the object of that key."""
    write_record(store, time_key(key), {"seconds": seconds})


def read_time(store: ObjectStore, key: str) -> float | None:
    """Return the seconds that it took; None where it was not measured, or what was kept cannot be read."""
    try:
        return float(read_record(store, time_key(key))["seconds"])
    except (FileNotFoundError, DamagedObject, KeyError, TypeError, ValueError):
        return None
