"""Readable names of the categories in the data: `smartphone` is shown as "smartphones", `air_heater` as "air heaters"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Category:
    """A category. `name` is the readable plural, which events carry; `singular` names one product; `slug` is for URLs."""

    code: str
    name: str
    singular: str

    @property
    def slug(self) -> str:
        """The name in URLs: "air heaters" is `air-heaters`."""
        return slug_of(self.name)

    @property
    def title(self) -> str:
        """The name as a heading: "Smartphones", "TVs"."""
        return self.name[:1].upper() + self.name[1:]


# Singular and plural, where the rules below would be wrong.
_NAMES: Final[dict[str, tuple[str, str]]] = {
    "acoustic": ("guitar amplifier", "guitar amplifiers"),
    "alarm": ("car alarm", "car alarms"),
    "bath": ("bathtub", "bathtubs"),
    "carriage": ("stroller", "strollers"),
    "cartrige": ("ink cartridge", "ink cartridges"),
    "clocks": ("watch", "watches"),
    "compressor": ("air compressor", "air compressors"),
    "cpu": ("CPU", "CPUs"),
    "desktop": ("desktop computer", "desktop computers"),
    "diapers": ("diapers", "diapers"),
    "dolls": ("doll", "dolls"),
    "ebooks": ("e-book reader", "e-book readers"),
    "hair_cutter": ("hair clipper", "hair clippers"),
    "hammok": ("hammock", "hammocks"),
    "hdd": ("hard drive", "hard drives"),
    "headphone": ("headphones", "headphones"),
    "hood": ("cooker hood", "cooker hoods"),
    "keds": ("sneakers", "sneakers"),
    "light": ("work light", "work lights"),
    "memory": ("memory module", "memory modules"),
    "moccasins": ("moccasins", "moccasins"),
    "mouse": ("mouse", "computer mice"),
    "photo": ("camera", "cameras"),
    "player": ("car player", "car players"),
    "power_supply": ("power supply", "power supplies"),
    "radar": ("radar detector", "radar detectors"),
    "refrigerators": ("refrigerator", "refrigerators"),
    "sandals": ("sandals", "sandals"),
    "shoes": ("shoes", "shoes"),
    "skates": ("skates", "skates"),
    "slipons": ("slip-ons", "slip-ons"),
    "telephone": ("telephone", "telephones"),
    "tonometer": ("blood pressure monitor", "blood pressure monitors"),
    "toster": ("toaster", "toasters"),
    "toys": ("toy", "toys"),
    "trainer": ("exercise machine", "exercise machines"),
    "trousers": ("trousers", "trousers"),
    "tv": ("TV", "TVs"),
    "underwear": ("underwear", "underwear"),
    "vacuum": ("vacuum cleaner", "vacuum cleaners"),
    "video": ("camcorder", "camcorders"),
    "videocards": ("video card", "video cards"),
    "videoregister": ("dash cam", "dash cams"),
    "washer": ("washing machine", "washing machines"),
    "welding": ("welding machine", "welding machines"),
}


def category_of(category_code: str) -> Category | None:
    """The category in a dotted code, by its last part; None if the code is empty."""
    code = category_code.rpartition(".")[2]
    if not code:
        return None
    singular, name = _NAMES.get(code, (readable := code.replace("_", " "), pluralize(readable)))
    return Category(code, name, singular)


def pluralize(noun: str) -> str:
    """The plural of an English noun by rule: -s, -es after a sibilant, -ies for a consonant and y."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in ("", *"aeiou"):
        return noun[:-1] + "ies"
    return noun + "s"


def slug_of(name: str) -> str:
    """A name as it is written in a URL; a slug stays the same."""
    return "-".join(name.casefold().split())
