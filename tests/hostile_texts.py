"""Texts that a formatter might take for its own words, and a reader of HTML that finds what they have become."""

from __future__ import annotations

from html.parser import HTMLParser

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</table></section><iframe src='javascript:alert(1)'>",
    '" onmouseover="alert(1)',
    "[click](javascript:alert(1)) ![x](javascript:alert(1)) <javascript:alert(1)>",
    "[click][1] \n\n[1]: javascript:alert(1)\n\n<script>alert(1)</script>",
    "\\<script>alert(1)\\</script> \\[a](javascript:alert(1))",
    "&lt;script&gt; &#60;script&#62; &amp;",
    "`<script>` ``a|b`` \\| | ~~a~~ **b** __c__ # d",
]
WORDS = [
    "$5 # $6 each", "$", "$$\\frac{1$", "\\$5 and $x^2$",
    "a & b < c > d_e % f # g {h} ~ ^ \\", "\\textbf{x} \\input{y}",
    "🐕 a dog 👨\u200d👩\u200d👧", "שלום עולם", "مرحبا بالعالم", "猫が座っている",
    "one\ntwo\r\n\n\nthree\tfour", "bell\x07 nul\x00 esc\x1b[31m",
    "half \ud83d of a pair", "word " * 2000, "x" * 10_000, "", "  ", "[a] *b*",
]  # fmt: skip
HOSTILE = [*MARKUP, *WORDS]


class Elements(HTMLParser):
    """Every element with the names of its attributes, every address, and the text of the table cells of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, tuple[str, ...]]] = set()
        self.addresses: list[str] = []
        self.scripts, self.cells, self._open = 0, [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.kinds.add((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value for name, value in attrs if name in ("href", "src")]
        self.scripts += tag == "script"
        if tag in ("td", "th"):
            self.cells.append("")
        self._open = tag if tag in ("td", "th") else self._open

    def handle_endtag(self, tag):
        self._open = "" if tag == self._open else self._open

    def handle_data(self, data):
        if self._open:
            self.cells[-1] += data
