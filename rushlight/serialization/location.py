"""Where storages go when they are loaded: location tags, ``map_location``, and devices that do not exist here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..devices import device
from ..untyped_storage import TypedStorage, UntypedStorage
from .storages import meta_storage

Tagger = Callable[[Any], str | None]
Deserializer = Callable[[Any, str], Any]
Restore = Callable[[UntypedStorage, str], UntypedStorage]
MapLocation = Callable[[Any, str], Any] | device | str | dict[str, str] | None

_MAP_TO_CPU = (
    " If you are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') "
    "to map your storages to the CPU."
)

_registry: list[tuple[int, Tagger, Deserializer]] = []


def register_package(priority: int, tagger: Tagger, deserializer: Deserializer) -> None:
    """Add a way to tag storages when saving and to place them when loading; asked in the order of `priority`.

    `tagger(storage)` gives a tag or None, `deserializer(storage, tag)` gives a storage or None.
    """
    _registry.append((priority, tagger, deserializer))
    _registry.sort(key=lambda entry: entry[0])


def location_tag(storage: UntypedStorage | TypedStorage) -> str:
    """The tag under which a storage is saved, such as ``"cpu"``.

    >>> torch.serialization.location_tag(torch.ones(1).untyped_storage())
    'cpu'
    """
    for _, tagger, _ in _registry:
        if location := tagger(storage):
            return location
    raise RuntimeError("don't know how to determine data location of " + _type_name(storage))


def default_restore_location(storage: UntypedStorage, location: str) -> UntypedStorage:
    """`storage`, moved to where its tag says; raises RuntimeError for a device that does not exist.

    >>> storage = torch.ones(1).untyped_storage()
    >>> torch.serialization.default_restore_location(storage, "cpu") is storage
    True
    """
    for _, _, deserializer in _registry:
        found = deserializer(storage, location)
        if found is not None:
            return found
    raise RuntimeError(f"don't know how to restore data location of {_type_name(storage)} (tagged with {location})")


def _type_name(storage: object) -> str:
    return "torch.storage." + type(storage).__name__


def _place_on_cpu(storage: UntypedStorage, location: str) -> UntypedStorage | None:
    return storage if location == "cpu" else None


def _place_on_meta(storage: UntypedStorage, location: str) -> UntypedStorage | None:
    return meta_storage(storage.nbytes()) if location == "meta" else None


def _refuse_accelerator(storage: UntypedStorage, location: str) -> None:
    kind = location.partition(":")[0]
    if kind == "mps":
        raise RuntimeError("torch.UntypedStorage(): Storage device not recognized: mps")
    if kind in ("cuda", "xpu", "mtia"):
        raise RuntimeError(
            f"Attempting to deserialize object on a {kind.upper()} device but torch.{kind}.is_available() is False."
            + _MAP_TO_CPU
        )
    if kind in ("hpu", "privateuseone"):
        raise RuntimeError(f"The {kind.upper()} device module is not registered." + _MAP_TO_CPU)


def _tag_of_own_device(storage: Any) -> str | None:
    return str(storage.device.type)


register_package(10, _tag_of_own_device, _place_on_cpu)
register_package(20, lambda storage: None, _refuse_accelerator)
register_package(22, lambda storage: None, _place_on_meta)


def restorer(map_location: MapLocation) -> Restore:
    """The function that places a loaded storage, given its tag."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(storage, map_location.get(location, location))
    if isinstance(map_location, (str, device)):
        return lambda storage, location: default_restore_location(storage, str(map_location))

    def ask_user(storage: UntypedStorage, location: str) -> UntypedStorage:
        found = map_location(storage, location)
        return default_restore_location(storage, location) if found is None else found

    return ask_user


def is_meta(map_location: MapLocation) -> bool:
    """Whether everything goes to the meta device, so that no bytes need be read."""
    return isinstance(map_location, (str, device)) and str(map_location) == "meta"
