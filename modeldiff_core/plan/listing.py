"""What a store holds, known from one listing of each folder."""

from collections.abc import Collection, Iterator

from modeldiff_core.store import Listed, ObjectStore


class Listing(Collection[str]):
    """The keys of a store's objects: of some folders by one listing each, of others by a look-up.

    A folder is listed when something below it is asked for, and again after ``forget``.
    """

    def __init__(self, store: ObjectStore, folders: tuple[str, ...]) -> None:
        self.store = store
        below = tuple(f"{folder}/" for folder in folders)
        self.folders = tuple(dict.fromkeys(folder for folder in folders if not folder.startswith(below)))
        self._listed: dict[str, dict[str, Listed]] = {}

    def __contains__(self, key: object) -> bool:
        name = str(key)
        folder = self._folder(name)
        return self.store.exists(name) if folder is None else name in self._objects(folder)

    def __iter__(self) -> Iterator[str]:
        for folder in self.folders:
            yield from self._objects(folder)

    def __len__(self) -> int:
        return sum(len(self._objects(folder)) for folder in self.folders)

    def about(self, key: str) -> Listed | None:
        """Return what the listing says of an object; None if it is not there or in none of the folders."""
        folder = self._folder(key)
        return None if folder is None else self._objects(folder).get(key)

    def below(self, prefix: str) -> tuple[str, ...]:
        """Return the listed keys that begin with a prefix, in order."""
        folder = self._folder(prefix)
        names = self._objects(folder) if folder is not None else self.store.sizes(prefix.rpartition("/")[0])
        return tuple(sorted(key for key in names if key.startswith(prefix)))

    def forget(self) -> None:
        """Drop all listings, so that a folder is listed again when it is asked for."""
        self._listed.clear()

    def _folder(self, key: str) -> str | None:
        return next((folder for folder in self.folders if key.startswith(f"{folder}/")), None)

    def _objects(self, folder: str) -> dict[str, Listed]:
        if folder not in self._listed:
            self._listed[folder] = self.store.listing(folder)
        return self._listed[folder]
