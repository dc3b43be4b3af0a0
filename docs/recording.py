"""A terminal's recording as an SVG of 20 seconds: `python docs/recording.py docs/figures/quick.svg make quick`.

The command runs in a pseudo-terminal, pyte gives the screen at each moment, and Rich draws the screens as one strip,
which the picture moves past its window.  For readers who prefer reduced motion, the last screen stands still.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import socket
import struct
import sys
import termios
import time
from contextlib import suppress
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template

COLUMNS, LINES = 88, 28  # of the terminal
SECONDS, HOLD, SCREENS = 20, 5, 36  # of the picture; of its last screen; screens at most
CELL, LINE = 12.2, 24.4  # width and height of a character in Rich's pictures
PLACES = (socket.gethostname(), str(Path.home()), str(Path.cwd()))  # must be in no picture, since it is published

PICTURE = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height">
<title>$command: $elapsed minutes in $seconds seconds</title>
<style>
.t-matrix { font: 20px DejaVu Sans Mono, Menlo, Consolas, monospace }
.title { font: bold 18px DejaVu Sans, Helvetica, Arial, sans-serif; fill: #c5c8c6; text-anchor: middle }
$styles
.strip { transform: translateY(-${last}px) }
@media (prefers-reduced-motion: no-preference) { .strip { animation: play ${seconds}s step-end infinite } }
@keyframes play { $moves }
</style>
<clipPath id="window"><rect width="$width" height="$window"/></clipPath>
<rect width="$width" height="$height" rx="8" fill="#292929"/>
<path d="M 24 22 h 0 m 22 0 h 0 m 22 0 h 0" stroke="#6b6b6b" stroke-width="14" stroke-linecap="round"/>
<text class="title" x="50%" y="28">$command</text>
<g transform="translate(10,42)" clip-path="url(#window)"><g class="strip">
$backgrounds<g class="t-matrix">$matrix</g></g></g>
</svg>
""")


def recorded(command: list[str]) -> list[tuple[float, bytes]]:
    """A command's output to its terminal, each piece with its second; exits if the command fails."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        os.execvpe(command[0], command, os.environ | {"TERM": "xterm-256color"})
    start, pieces = time.monotonic(), []
    with suppress(OSError):  # on Linux: the command has closed its side
        while piece := os.read(terminal, 65536):
            pieces.append((time.monotonic() - start, piece))
    if status := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        sys.exit(b"".join(p for _, p in pieces).decode(errors="replace") + f"{shlex.join(command)} ended with {status}")
    return pieces


def screens(pieces: list[tuple[float, bytes]]) -> list[tuple[float, list]]:
    """The screens that differ, at equal steps of time: seconds since the start, and lines as Rich's text."""
    import pyte

    screen = pyte.Screen(COLUMNS, LINES)
    stream, found, fed = pyte.ByteStream(screen), [], 0
    for moment in (pieces[-1][0] * (k / SCREENS) for k in range(1, SCREENS + 1)):
        while fed < len(pieces) and pieces[fed][0] <= moment:
            stream.feed(pieces[fed][1])
            fed += 1
        if shown := [place for place in PLACES if place in "".join(screen.display)]:
            sys.exit(f"the terminal shows {', '.join(shown)}, which is this machine's own: nothing is drawn")
        lines = [styled([screen.buffer[y][x] for x in range(COLUMNS)]) for y in range(LINES)]
        if not found or lines != found[-1][1]:
            found.append((moment, lines))
    return found


def styled(row: list):
    """A line of pyte's characters as Rich's text."""
    from rich.style import Style
    from rich.text import Text

    def look(c) -> Style:  # pyte's colours: 5f87ff, brightred, and brown for yellow
        names = (name.replace("bright", "bright_").replace("brown", "yellow") for name in (c.fg, c.bg))
        fg, bg = (re.sub("^([0-9a-f]{6})$", r"#\1", name) for name in names)
        return Style(color=fg, bgcolor=bg, bold=c.bold, reverse=c.reverse)

    line = Text.assemble(*(("".join(c.data for c in run), style) for style, run in groupby(row, look)))
    line.rstrip()
    return line


def picture(command: str, shown: list[tuple[float, list]]) -> str:
    """The screens as one animated SVG, the elapsed time under each."""
    from rich.console import Console

    console = Console(width=COLUMNS, record=True, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    passed = [f"{int(second) // 60}:{int(second) % 60:02d}" for second, _ in shown]
    for (_, lines), clock in zip(shown, passed, strict=True):
        for line in [*lines, f"[dim]{clock:>{COLUMNS}}"]:
            console.print(line, highlight=False)
    parts = console.export_svg(code_format="{styles}\0{backgrounds}\0{matrix}", unique_id="t").split("\0")
    styles, backgrounds, matrix = (re.sub(' clip-path="[^"]*"|<text[^>]*>\n</text>', "", part) for part in parts)
    window = (LINES + 1) * LINE
    starts = [0.0, *(second / shown[-1][0] * (1 - HOLD / SECONDS) for second, _ in shown[1:])]
    moves = " ".join(f"{at:.2%} {{ transform: translateY(-{k * window:g}px) }}" for k, at in enumerate(starts))
    numbers = {"last": (len(shown) - 1) * window, "window": window, "height": window + 52, "width": COLUMNS * CELL + 20}
    texts = {"styles": styles, "backgrounds": backgrounds, "matrix": matrix, "moves": moves, "command": escape(command)}
    sizes = {name: f"{number:g}" for name, number in numbers.items()}
    return PICTURE.substitute(texts, **sizes, elapsed=passed[-1], seconds=SECONDS)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    file, *command = sys.argv[1:]
    Path(file).write_text(picture(shlex.join(command), screens(recorded(command))), encoding="utf-8")
