"""Renders the letters of src/eval/needle_map.c's labels into src/eval/pages/glyphs.bin, for PNG pictures.

    pip install pillow && python tools/make_glyphs.py NotoSansCJK-Regular.ttc

ASCII and the few other characters that labels use, in the three sizes that pictures have, from Noto Sans CJK TC (SIL
Open Font License 1.1, glyphs-license.txt; Debian: fonts-noto-cjk). The file: "TWGL", u32 count, then per glyph u32 code, u8 size, width,
height, i8 left, i8 top (from the baseline, down is positive), u8 advance, u16 zero, u32 offset of its pixels; pixels are
4 bits each, rows one behind the other without a gap, the high half of a byte first. Sorted by size, then code.
"""
import pathlib
import struct
import sys

from PIL import Image, ImageDraw, ImageFont

SIZES = (11, 13, 15)
OTHERS = "《》出師表大海撈針長度（字）深得分·…–"
INDEX_TC = 3  # of the collection: JP, KR, SC, TC, HK

entries, pixels = [], bytearray()
for size in SIZES:
    font = ImageFont.truetype(sys.argv[1], size, index=INDEX_TC)
    assert "TC" in font.getname()[0], font.getname()
    for code in sorted({*range(32, 127), *map(ord, OTHERS)}):
        text = chr(code)
        left, top, right, bottom = font.getbbox(text, anchor="ls")
        width, height = max(right - left, 0), max(bottom - top, 0)
        image = Image.new("L", (max(width, 1), max(height, 1)))
        ImageDraw.Draw(image).text((-left, -top), text, font=font, fill=255, anchor="ls")
        values = [min(15, (image.getpixel((x, y)) + 8) // 17) for y in range(height) for x in range(width)]
        values += [0] * (len(values) % 2)
        entries.append((code, size, width, height, left, top, round(font.getlength(text)), len(pixels)))
        pixels += bytes(a << 4 | b for a, b in zip(values[::2], values[1::2]))
head = b"TWGL" + struct.pack("<I", len(entries))
start = len(head) + 16 * len(entries)
body = b"".join(struct.pack("<IBBBbbBHI", c, s, w, h, l, t, a, 0, start + o) for c, s, w, h, l, t, a, o in entries)
out = pathlib.Path(__file__).resolve().parent.parent / "src/eval/pages/glyphs.bin"
out.write_bytes(head + body + pixels)
print(f"{out}: {len(entries)} glyphs, {out.stat().st_size} bytes")
