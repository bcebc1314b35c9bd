"""Living17: 17 groups of four animal classes of ImageNet (Santurkar et al., 2021, BREEDS)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modeldiff_core.data.expected import Expected
from modeldiff_core.data.image_folder import by_folder
from modeldiff_core.data.listings import ImageFiles, Listing

# The authors' procedure on their modified hierarchy: the nodes of depth 5 below "living thing" with at least four
# ImageNet classes, by WordNet number, and four classes of each drawn with NumPy's RandomState(2). The same 68 classes
# come out for a random and for no split into source and target; the first two of a group are the source's.
LIVING17 = {
    "salamander": ("n01631663", "n01632777", "n01630670", "n01632458"),  # eft, axolotl, common newt, spotted
    "turtle": ("n01669191", "n01665541", "n01664065", "n01667114"),  # box, leatherback, loggerhead, mud
    "lizard": ("n01685808", "n01689811", "n01694178", "n01675722"),  # whiptail, alligator, African chameleon, gecko
    "snake": ("n01740131", "n01735189", "n01751748", "n01742172"),  # night, garter, sea, boa constrictor
    "spider": ("n01774750", "n01773157", "n01773797", "n01775062"),  # tarantula, black and gold, garden, wolf
    "grouse": ("n01796340", "n01798484", "n01797886", "n01795545"),  # ptarmigan, prairie chicken, ruffed, black
    "parrot": ("n01818515", "n01820546", "n01817953", "n01819313"),  # macaw, lorikeet, African grey, cockatoo
    "crab": ("n01978287", "n01980166", "n01978455", "n01981276"),  # Dungeness, fiddler, rock, king
    "dog": ("n02088466", "n02086079", "n02111500", "n02086910"),  # bloodhound, Pekinese, Great Pyrenees, papillon
    "wolf": ("n02114855", "n02114712", "n02114548", "n02114367"),  # coyote, red, white, timber
    "fox": ("n02120505", "n02120079", "n02119022", "n02119789"),  # grey, Arctic, red, kit
    "domestic cat": ("n02123159", "n02124075", "n02123394", "n02123597"),  # tiger cat, Egyptian, Persian, Siamese
    "bear": ("n02134418", "n02133161", "n02134084", "n02132136"),  # sloth, American black, ice, brown
    "beetle": ("n02172182", "n02174001", "n02167151", "n02168699"),  # dung, rhinoceros, ground, long-horned
    "butterfly": ("n02281406", "n02276258", "n02280649", "n02277742"),  # sulphur, admiral, cabbage, ringlet
    "ape": ("n02483362", "n02480495", "n02480855", "n02481823"),  # gibbon, orangutan, gorilla, chimpanzee
    "monkey": ("n02490219", "n02493509", "n02493793", "n02492660"),  # marmoset, titi, spider monkey, howler
}


@dataclass(frozen=True, kw_only=True)
class Living17(ImageFiles):
    """ImageNet's train/SYNSET/* and val/SYNSET/*, of which the 68 synsets of Living17 are read.

    Whole it has 88,400 training images at most and 3,400 test images. Metadata: synset, the WordNet number.
    """

    resolution: int = 256

    def expected(self) -> Expected:
        return self._size(88_400, len(LIVING17))

    def listings(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        train, test = (_with_synset(root / part) for part in ("train", "val"))
        return tuple(LIVING17), train, test


def _with_synset(part: Path) -> Listing:
    listing = by_folder(part, LIVING17)
    return replace(listing, metadata={"synset": np.array([path.parent.name for path in listing.paths])})
