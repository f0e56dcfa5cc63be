"""The needle's heat map as PNG: read by Python's zlib, chunk by chunk, and compared with the SVG of the same cells."""
import json
import re
import struct
import zlib

import pytest


def read_png(data):
    """(width, height, rows of (r, g, b)); checks signature, order of chunks, every CRC, zlib's checksum and the filters."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + size
    assert at == len(data) and [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"] and chunks[2][1] == b""
    width, height, depth, colour, compression, method, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, colour, compression, method, interlace) == (8, 2, 0, 0, 0)
    raw = zlib.decompress(chunks[1][1])
    assert len(raw) == height * (1 + 3 * width)
    above, rows = bytes(3 * width), []
    for y in range(height):
        line = raw[y * (1 + 3 * width) : (y + 1) * (1 + 3 * width)]
        assert line[0] == 2
        above = bytes((a + b) & 255 for a, b in zip(line[1:], above))
        rows.append([tuple(above[3 * x : 3 * x + 3]) for x in range(width)])
    return width, height, rows


@pytest.fixture
def drawn(twllm, tmp_path):
    lines = [{"context_length": f"{n}k", "depth_percent": 0.1 * i * 100, "score": (n * 7 + i * 3) % 11 / 10} for n in (1, 9, 17, 25) for i in range(1, 11)]
    (tmp_path / "needle.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def draw(language, *arguments):
        done = twllm("--lang", language, "eval", "needle", "--draw", tmp_path / "needle.jsonl", "--svg", tmp_path / "map.svg", "--png", tmp_path / "map.png", *arguments)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "map.svg").read_text(), read_png((tmp_path / "map.png").read_bytes())

    return draw


def test_both_pictures_have_the_same_colours(drawn):
    svg, (width, height, rows) = drawn("en")
    assert (width, height) == (800, 400)
    found = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="#(\w{6})"', svg)
    assert len(found) == 40 + 50
    for x, y, w, h, colour in found:
        pixel = rows[int(float(y) + float(h) / 2)][int(float(x) + float(w) / 2)]
        assert "%02X%02X%02X" % pixel == colour


def test_labels(drawn):
    """Words are there as dark pixels where the SVG has them; another language or title is another picture there only."""
    svg, (_, _, english) = drawn("en", "--title", "some/model")
    _, (_, _, mandarin) = drawn("zh", "--title", "some/model")
    _, (_, _, boxes) = drawn("zh", "--title", "罕")

    def dark(rows, x0, y0, x1, y1):
        return sum(sum(rows[y][x]) < 300 for y in range(y0, y1) for x in range(x0, x1))

    for rows in (english, mandarin):
        assert dark(rows, 250, 10, 520, 34) > 100  # the title
        assert dark(rows, 250, 36, 520, 56) > 60  # the subtitle
        assert dark(rows, 300, 355, 480, 375) > 40  # below
        assert dark(rows, 10, 100, 40, 290) > 20  # on the left, rising
        assert dark(rows, 765, 100, 795, 290) > 15  # on the right, falling
        assert dark(rows, 60, 70, 88, 320) > 100 and dark(rows, 90, 325, 680, 342) > 20  # ticks
    differing = {(x, y) for y in range(400) for x in range(800) if english[y][x] != mandarin[y][x]}
    assert differing and all(y < 34 or 355 <= y <= 375 or x < 40 or x > 760 for x, y in differing)
    assert boxes != mandarin and dark(boxes, 370, 36, 400, 56) >= 30  # a character that is not there: a box


def test_a_whole_grid_stays_small_and_readable(twllm, tmp_path):
    lines = [{"context_length": f"{n}k", "depth_percent": 0.1 * i * 100, "score": 1.0} for n in range(1, 129) for i in range(1, 11)]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = twllm("eval", "needle", "--draw", tmp_path / "n.jsonl", "--png", tmp_path / "n.png")
    assert done.returncode == 0, done.stderr
    data = (tmp_path / "n.png").read_bytes()
    assert len(data) < 80000
    assert read_png(data)[2][200][400] == (0x0C, 0xD7, 0x9F)
